package process

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gwdr/fleet"
)

// How often a process is killed in a loop: what is slower than that cannot be seen while a drill waits to verify it.
const (
	loopEvery    = 500 * time.Millisecond
	slowestEvery = 2 * time.Second
)

func every(f fleet.Fault) time.Duration {
	if f.With.Every == 0 {
		return loopEvery
	}
	return f.With.Every
}

func refuseLoop(f fleet.Fault) error {
	if e := every(f); e > slowestEvery {
		return fmt.Errorf("every: the lab restarts at least every %s, not every %s", slowestEvery, e)
	}
	return nil
}

// loop kills and starts every target, over and over, and does not wait until it serves.
func (s *supervisor) loop(ctx context.Context, f *fault) error {
	for _, c := range f.targets {
		c.hold(f.undo.Fault.ID)
	}
	err := s.bounce(ctx, f)
	f.background(ctx, func(ctx context.Context) {
		for sleep(ctx, every(f.undo.Fault)); ctx.Err() == nil; sleep(ctx, every(f.undo.Fault)) {
			if err := s.bounce(ctx, f); err != nil && ctx.Err() == nil {
				s.log.Warn("restart in a loop", "fault", f.undo.Fault.ID, "error", err)
			}
		}
	})
	return err
}

// bounce kills all targets, then starts all.
func (s *supervisor) bounce(ctx context.Context, f *fault) error {
	var errs []error
	for _, c := range f.targets {
		errs = append(errs, c.kill(ctx))
	}
	for _, c := range f.targets {
		errs = append(errs, c.start())
	}
	return errors.Join(errs...)
}

// unloop ends the loop and leaves every target running.
func (s *supervisor) unloop(ctx context.Context, f *fault) error {
	f.halt()
	return s.bringBack(ctx, f)
}

// lookRestarts waits until it has seen the target as three processes, by the start times that the system has of them.
func (l *Lab) lookRestarts(ctx context.Context, f fleet.Fault, t targetID) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*every(f)+time.Second, errors.New("it does not start again and again"))
	defer cancel()
	start, seen := time.Now(), map[identity]bool{}
	err := poll(ctx, "wait for restarts of "+t.ID, func() error {
		var now identity
		if readJSON(l.dir.pid(t.ID), &now) == nil && now.Alive() {
			seen[now] = true
		}
		if len(seen) < 3 {
			return fmt.Errorf("seen as %d processes", len(seen))
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	if t.Alive() {
		return "", fmt.Errorf("process %d of %s runs as before the fault", t.PID, t.ID)
	}
	return fmt.Sprintf("was 3 processes one after the other within %.1f s", time.Since(start).Seconds()), nil
}
