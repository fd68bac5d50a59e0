package drills

import (
	"context"
	"sync"
	"time"
)

// heart tells the guard that the drill is alive, and knows when it was not: a process that was frozen for longer than the
// lease finds its faults reverted.
type heart struct {
	guard Guard
	lease time.Duration
	stop  context.CancelFunc

	mu   sync.Mutex
	last time.Time
	err  error // once it has missed a beat
}

// startGuard starts the guard, and the heartbeat.
func (d *drill) startGuard(ctx context.Context) (err error) {
	lease := d.Scenario.Safety.Lease.D()
	if d.guard, err = d.Guard(ctx, d.record.run.Dir, lease); err != nil {
		return err
	}
	d.heart = &heart{guard: d.guard, lease: lease, last: time.Now()}
	ctx, d.heart.stop = context.WithCancel(context.WithoutCancel(ctx))
	go d.heart.run(ctx)
	return nil
}

func (h *heart) run(ctx context.Context) {
	tick := time.NewTicker(h.lease / 5)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			h.beat()
		}
	}
}

// beat returns an error if the guard is not there, or any beat came too late.
func (h *heart) beat() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if silent := now.Sub(h.last); silent > h.lease && h.err == nil {
		h.err = abortf(AbortLease, "the drill was frozen for %s, longer than the lease of its faults", silent.Round(time.Millisecond))
	}
	h.last = now
	if err := h.guard.Beat(); err != nil && h.err == nil {
		h.err = abortf(AbortGuard, "the guard process is gone, or hangs: %v", err)
	}
	return h.err
}

// missed returns why the guard cannot be relied upon any more.
func (h *heart) missed() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

// releaseGuard ends the guard: nothing is left to be reverted.
func (d *drill) releaseGuard() {
	d.heart.stop()
	if err := d.guard.Release(); err != nil {
		d.Log.Warn("guard", "err", err)
	}
}

// abandonGuard leaves to the guard what the drill could not revert.
func (d *drill) abandonGuard() {
	d.heart.stop()
	if err := d.guard.Abandon(); err != nil {
		d.Log.Error("guard", "err", err)
	}
}
