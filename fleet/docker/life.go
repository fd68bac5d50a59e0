package docker

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gwdr/fleet"
)

// refuseRestart refuses a container that would not be the same once it was started again.
func refuseRestart(_ *Fleet, _ fleet.Fault, c container, _ *target) error {
	if c.HostConfig.AutoRemove {
		return fmt.Errorf("it was run with --rm, and would be removed when it ends: %w", fleet.ErrUnsupported)
	}
	return refuseChance(c)
}

// refuseChance refuses a container with a port that is published wherever there is room.
func refuseChance(c container) error {
	for _, port := range slices.Sorted(maps.Keys(c.HostConfig.PortBindings)) {
		if slices.ContainsFunc(c.HostConfig.PortBindings[port], func(b binding) bool {
			return b.HostPort == "" || b.HostPort == "0" || strings.Contains(b.HostPort, "-")
		}) {
			return fmt.Errorf("its port %s is published wherever there is room, and would be elsewhere afterwards; publish it at a port of your choice: %w",
				port, fleet.ErrUnsupported)
		}
	}
	return nil
}

// letStayDown keeps the engine from starting the container again, now and when the engine itself is.
func (f *Fleet) letStayDown(ctx context.Context, t target) error {
	return f.setRestart(ctx, t, restartPolicy{Name: "no"})
}

func (f *Fleet) setRestart(ctx context.Context, t target, p restartPolicy) error {
	if err := f.engine.act(ctx, t.ID, "update", map[string]any{"RestartPolicy": p}); err != nil {
		return fmt.Errorf("set restart policy of %s to %s: %w", t.Name, p.Name, err)
	}
	return nil
}

// kill sends SIGKILL. The engine does it to a paused container as well.
func (f *Fleet) kill(ctx context.Context, t target) error {
	if err := f.engine.act(ctx, t.ID, "kill?signal=KILL", nil); err != nil {
		return fmt.Errorf("kill %s: %w", t.Name, err)
	}
	return nil
}

// start starts the container. An engine of 20.10 that ends just when it is told to start one leaves that one running, and
// has lost track of it when it is there again: it can neither start it nor end it then, and its next restart changes nothing.
func (f *Fleet) start(ctx context.Context, t target) error {
	err := f.engine.act(ctx, t.ID, "start", nil)
	switch {
	case err == nil:
		return nil
	case strings.Contains(err.Error(), "already exists"), strings.Contains(err.Error(), "already in use"):
		return fmt.Errorf("start %s: %w: %w", t.Name, errLost, err)
	}
	return fmt.Errorf("start %s: %w", t.Name, err)
}

// errLost says that the engine cannot mend a container.
var errLost = errors.New("the engine has lost track of it: remove it and create it anew")

// run starts the container unless it runs, or another fault keeps it down. It may be called for any fault: an engine that is
// started again starts only those with a restart policy.
func (f *Fleet) run(ctx context.Context, data undoData, t target) error {
	c, err := f.engine.inspect(ctx, t.ID)
	if err != nil || c.State.Running {
		return err
	}
	if other, err := f.heldDown(ctx, t.ID, data.Nonce); err != nil {
		return err
	} else if other != "" {
		return fmt.Errorf("it is kept down by fault %s, which is to be reverted before", other)
	}
	if err := f.start(ctx, t); err != nil {
		return err
	}
	f.options.Log.Info("container started", "container", t.Name)
	return nil
}

// revertRestart gives a container that runs again its restart policy, and its addresses: as after any restart, the engine may
// have chosen others.
func (f *Fleet) revertRestart(ctx context.Context, t target) error {
	c, err := f.engine.inspect(ctx, t.ID)
	if err != nil {
		return err
	}
	if c.HostConfig.RestartPolicy.normal() != t.Restart {
		if err := f.setRestart(ctx, t, t.Restart); err != nil {
			return err
		}
	}
	return f.connectAll(ctx, c, t)
}

func (f *Fleet) pause(ctx context.Context, t target) error {
	if err := f.engine.act(ctx, t.ID, "pause", nil); err != nil {
		return fmt.Errorf("pause %s: %w", t.Name, err)
	}
	return nil
}

func (f *Fleet) unpause(ctx context.Context, t target) error {
	c, err := f.engine.inspect(ctx, t.ID)
	if err != nil || !c.State.Paused {
		return err
	}
	if err := f.engine.act(ctx, t.ID, "unpause", nil); err != nil {
		return fmt.Errorf("unpause %s: %w", t.Name, err)
	}
	return nil
}

func isDown(c container, t target) error {
	switch {
	case c.State.Running:
		return fmt.Errorf("it is not down but %s", c.State.Status)
	case c.HostConfig.RestartPolicy.normal().Name != "no":
		return fmt.Errorf("the engine may start it again: its restart policy is %s", c.HostConfig.RestartPolicy.Name)
	}
	return nil
}

func isRestarted(c container, t target) error {
	if p := c.HostConfig.RestartPolicy.normal(); p != t.Restart {
		return fmt.Errorf("its restart policy is %s, it was %s", p.Name, t.Restart.Name)
	}
	return isConnected(c, t)
}

func isPaused(c container, _ target) error {
	if !c.State.Paused {
		return fmt.Errorf("it is not paused but %s", c.State.Status)
	}
	return nil
}

func isUnpaused(c container, _ target) error {
	if c.State.Paused {
		return errors.New("it is still paused")
	}
	return nil
}

// isAnother says of a restart loop that its container was started since.
func isAnother(c container, t target) error {
	if c.State.StartedAt == t.StartedAt {
		return errors.New("it was not started again")
	}
	return nil
}
