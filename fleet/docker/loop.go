package docker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gwdr/fleet"
)

// loopEvery is the time between two kills of a restart loop that says none.
const loopEvery = time.Second

// loop kills the targets of a fault and starts them again, over and over. It ends with the process that injected the fault,
// and as soon as the fault's mark is gone: then somebody else has reverted it.
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
	if f.marked(ctx, fault, data.Nonce) != nil {
		return ctx.Err() == nil && f.engine.reachable(ctx) != nil // it may be there when the engine is back
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

func (e *engine) reachable(ctx context.Context) error {
	return e.call(ctx, "GET", "/version", nil, nil)
}

// stopLoop ends the loop of a fault, and waits for the restart that is under way.
func (f *Fleet) stopLoop(nonce string) {
	f.mu.Lock()
	l := f.loops[nonce]
	delete(f.loops, nonce)
	f.mu.Unlock()
	if l != nil {
		l.cancel()
		<-l.done
	}
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
