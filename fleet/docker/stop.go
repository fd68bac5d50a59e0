package docker

import (
	"context"
	"fmt"
	"time"

	"gwdr/fleet"
)

const (
	// stopPatience is how long a container that says nothing else is given to end, as the engine does, in seconds.
	stopPatience = 10
	// maxPatience leaves the engine the rest of callTimeout, in seconds.
	maxPatience = 15
	// killed is the exit code of a process that SIGKILL ended.
	killed = 128 + 9
)

// prepareStop reads how long the container is to be given: what it was created with (docker run --stop-timeout,
// stop_grace_period in a compose file).
func prepareStop(f *Fleet, fault fleet.Fault, c container, t *target) error {
	t.Patience = stopPatience
	if own := c.Config.StopTimeout; own != nil {
		t.Patience = *own
	}
	if t.Patience < 0 || t.Patience > maxPatience {
		return fmt.Errorf("its stop timeout is %ds, and gwdr waits for at most %ds: %w", t.Patience, maxPatience, fleet.ErrUnsupported)
	}
	return refuseRestart(f, fault, c, t)
}

// stop sends the signal that the container's image names, or SIGTERM, and SIGKILL once its patience is over. It returns when
// the container is down.
func (f *Fleet) stop(ctx context.Context, t target) error {
	if err := f.engine.act(ctx, t.ID, fmt.Sprintf("stop?t=%d", t.Patience), nil); err != nil {
		return fmt.Errorf("stop %s: %w", t.Name, err)
	}
	return nil
}

// lookStopped sees as a client that nothing answers, and tells how its process ended: a drill of a graceful end in which it
// was killed is one of kill.
func (f *Fleet) lookStopped(ctx context.Context, t target) (string, error) {
	c, err := f.engine.inspect(ctx, t.ID)
	if err != nil {
		return "", err
	}
	silent, err := f.lookSilent(ctx, t)
	if c.State.ExitCode == killed {
		return fmt.Sprintf("it did not end within %s and was killed; %s", time.Duration(t.Patience)*time.Second, silent), err
	}
	return fmt.Sprintf("it ended by itself with exit code %d; %s", c.State.ExitCode, silent), err
}

// finishStop waits for the end of a container that was asked to end, and is about to: the engine goes on with it when the drill that
// asked is killed. One that was started since is left alone.
func (f *Fleet) finishStop(ctx context.Context, u fleet.Undo, data undoData, t target, c container) error {
	if u.Fault.Kind != fleet.Stop || !c.State.Running || c.State.StartedAt != t.StartedAt || f.marked(ctx, u.Fault.ID, data.Nonce) != nil {
		return nil
	}
	return f.stop(ctx, t)
}
