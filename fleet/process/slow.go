package process

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"gwdr/fleet"
)

// period is how often a slowed process stops and goes on. It is short beside what a client waits for, so that it sees
// slowness and no outages, and long beside the precision of timers.
const period = 50 * time.Millisecond

// watched is how long a look takes.
const watched = 8 * period

// The bounds of the share of time: with less the process hangs, with more nothing can be told from noise.
const (
	leastShare = 0.05
	mostShare  = 0.9
)

func refuseSlow(f fleet.Fault) error {
	if share := f.With.Share; share < leastShare || share > mostShare {
		return fmt.Errorf("share: the lab slows down to between %g and %g of the time, not %g", leastShare, mostShare, share)
	}
	return nil
}

// slow lets every target run for a share of the time only.
func (s *supervisor) slow(ctx context.Context, f *fault) error {
	run := time.Duration(f.undo.Fault.With.Share * float64(period))
	f.background(ctx, func(ctx context.Context) {
		for ctx.Err() == nil {
			signalAll(f.targets, syscall.SIGSTOP) // an error will be seen by whoever looks
			sleep(ctx, period-run)
			signalAll(f.targets, syscall.SIGCONT) // also when ctx has ended
			sleep(ctx, run)
		}
	})
	return nil
}

// stillThere reports which target has ended.
func stillThere(f *fault) error {
	for _, c := range f.targets {
		if r, _ := c.current(); !r.running() {
			return fmt.Errorf("%s %s", c.ID, c.died(r))
		}
	}
	return nil
}

// unslow ends the stops, and waits until all targets do their work.
func (s *supervisor) unslow(ctx context.Context, f *fault) error {
	f.halt()
	return s.resume(ctx, f)
}

// lookSlow samples whether the process is stopped, and holds that against the share asked for. It must be stopped for at
// least half of the time that it should be.
func (l *Lab) lookSlow(ctx context.Context, f fleet.Fault, t targetID) (string, error) {
	var samples, stops int
	for end := time.Now().Add(watched); time.Now().Before(end) && ctx.Err() == nil; sleep(ctx, time.Millisecond) {
		if !t.Alive() {
			return "", fmt.Errorf("process %d of %s is gone", t.PID, t.ID)
		}
		samples++
		if t.Stopped() {
			stops++
		}
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	ran := 1 - float64(stops)/float64(max(samples, 1))
	seen := fmt.Sprintf("process %d ran in %.0f %% of %d looks within %s", t.PID, 100*ran, samples, watched)
	switch {
	case stops == samples:
		return "", fmt.Errorf("%s is not slow but stopped: %s", t.ID, seen)
	case ran > (1+f.With.Share)/2:
		return "", fmt.Errorf("%s is not slow: %s", t.ID, seen)
	}
	return seen, nil
}

// sleep returns after d, or when ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
