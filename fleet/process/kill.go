package process

import (
	"context"
	"fmt"
	"syscall"

	"gwdr/fleet/proc"
)

// killAll sends SIGKILL to every target before it waits for any.
func (s *supervisor) killAll(ctx context.Context, f *fault) error {
	for _, c := range f.targets {
		c.hold(f.undo.Fault.ID)
	}
	for _, c := range f.targets {
		if err := c.signal(syscall.SIGKILL); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, proc.KillTimeout, fmt.Errorf("still there %s after SIGKILL", proc.KillTimeout))
	defer cancel()
	for _, c := range f.targets {
		if err := c.gone(ctx); err != nil {
			return err
		}
	}
	return nil
}

// stillDown reports which target runs again.
func stillDown(f *fault) error {
	for _, c := range f.targets {
		if r, _ := c.current(); r.running() {
			return fmt.Errorf("%s runs again, as process %d", c.ID, r.PID)
		}
	}
	return nil
}

// restart starts every target again, as it was, and waits until all do their work.
func (s *supervisor) restart(ctx context.Context, f *fault) error {
	for _, c := range f.targets {
		if err := c.start(); err != nil {
			return err
		}
	}
	if err := s.await(ctx, f.targets, program.ready); err != nil {
		return err
	}
	for _, c := range f.targets {
		c.hold("")
	}
	return nil
}
