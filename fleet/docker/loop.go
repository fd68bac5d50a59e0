package docker

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"gwdr/fleet"
)

// loopEvery is the time between two kills of a restart loop that says none.
const loopEvery = time.Second

// calmFor is how long nothing may happen to a container until another process's loop is taken to have ended. One round takes
// less, unless its process is frozen in the middle of it.
const calmFor = 2 * time.Second

// loop kills the targets of a fault and starts them again, over and over. It ends with the process that injected the fault,
// and as soon as another reverts the fault, which says so by a volume of its own.
type loop struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (f *Fleet) startLoop(ctx context.Context, fault fleet.Fault, data undoData) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	l := &loop{cancel: cancel, done: make(chan struct{})}
	f.mu.Lock()
	f.loops[data.Nonce] = l
	f.mu.Unlock()
	every := fault.With.Every
	if every == 0 {
		every = loopEvery
	}
	go func() {
		defer close(l.done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if ctx.Err() != nil || !f.again(ctx, fault.ID, data) {
				return
			}
		}
	}()
}

// again kills and starts the targets once, and reports whether the loop is to go on. What is begun is finished: a target is
// not left killed.
func (f *Fleet) again(ctx context.Context, fault string, data undoData) bool {
	err := f.marked(ctx, fault, data.Nonce)
	if err == nil {
		err = f.stopping(ctx, data.Nonce)
	}
	if err != nil {
		return errors.Is(err, errNoEngine) && ctx.Err() == nil // which may be back later
	}
	ctx = context.WithoutCancel(ctx)
	for _, stage := range []stage{(*Fleet).kill, (*Fleet).start} {
		for _, t := range data.Targets {
			if err := stage(f, ctx, t); err != nil && !errors.Is(err, errConflict) && !errors.Is(err, errNotFound) {
				f.options.Log.Warn("restart loop", "fault", fault, "err", err)
			}
		}
	}
	return true
}

// stopName names the volume that ends another process's loop.
func stopName(nonce string) string { return "gwdr-stop-" + nonce }

// stopping returns an error if somebody reverts the fault.
func (f *Fleet) stopping(ctx context.Context, nonce string) error {
	err := f.engine.call(ctx, http.MethodGet, "/volumes/"+stopName(nonce), nil, nil)
	switch {
	case errors.Is(err, errNotFound):
		return nil
	case err == nil:
		return errors.New("it is being reverted")
	}
	return err
}

// stopLoop ends the loop of a fault, and waits for the restart that is under way.
func (f *Fleet) stopLoop(ctx context.Context, fault fleet.Fault, data undoData) error {
	f.mu.Lock()
	l := f.loops[data.Nonce]
	delete(f.loops, data.Nonce)
	f.mu.Unlock()
	if l != nil {
		l.cancel()
		<-l.done
		return nil
	}
	if fault.Kind != fleet.RestartLoop || f.marked(ctx, fault.ID, data.Nonce) != nil {
		return nil
	}
	if err := f.engine.call(ctx, http.MethodPost, "/volumes/create", mark{Name: stopName(data.Nonce)}, nil); err != nil {
		return fmt.Errorf("end restart loop %s: %w", fault.ID, err)
	}
	return f.awaitCalm(ctx, data)
}

// awaitCalm waits until nothing has happened to the targets for a while.
func (f *Fleet) awaitCalm(ctx context.Context, data undoData) error {
	last, since := "", time.Now()
	for time.Since(since) < calmFor {
		now := ""
		for _, t := range data.Targets {
			c, err := f.engine.inspect(ctx, t.ID)
			if err != nil && !errors.Is(err, errNotFound) {
				return err
			}
			now += c.State.Status + c.State.StartedAt
		}
		if now != last {
			last, since = now, time.Now()
		}
		select {
		case <-ctx.Done():
			return errors.New("its containers are still being restarted")
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// lookLoop reads the engine's log of events: what its runtime said of the container's process, not what was asked for.
func (f *Fleet) lookLoop(ctx context.Context, t target) (string, error) {
	deaths, err := f.engine.deaths(ctx, t.ID, t.StartedAt)
	if err != nil {
		return "", err
	}
	if err := f.markedFor(ctx, t.ID, fleet.RestartLoop); err != nil {
		return "", err
	}
	if deaths == 0 {
		return "", errors.New("the engine's events tell of no end of its process")
	}
	return fmt.Sprintf("its process has ended %d times", deaths), nil
}
