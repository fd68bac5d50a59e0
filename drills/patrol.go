package drills

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"gwdr/fleet"
)

// patrol watches over a drill from arming to reverting, and aborts it: guardrails, the STOP file, the guard, the leases of
// the faults, the deadline, and the evidence itself.
type patrol struct {
	drill    *drill
	running  sync.WaitGroup
	mu       sync.Mutex
	leases   []*lease
	deadline *time.Timer
	waiting  string // what the deadline says, instead of what has not recovered
}

// lease is that of one fault.
type lease struct {
	undo  fleet.Undo
	until time.Time // when it ends if it is not renewed; under the patrol's mutex
	over  bool      // the fault is being reverted; under the patrol's mutex
}

const (
	patrolEvery = 50 * time.Millisecond
	showEvery   = 500 * time.Millisecond
)

func startPatrol(ctx context.Context, d *drill) *patrol {
	p := &patrol{drill: d}
	p.running.Go(func() { p.watch(ctx) })
	p.running.Go(func() { p.renewAll(ctx) })
	p.running.Go(func() { p.show(ctx) })
	if d.Health != nil {
		p.running.Go(func() { d.watchHealth(ctx) })
	}
	return p
}

// wait returns when the patrol has ended, after its context has.
func (p *patrol) wait() {
	p.running.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.deadline != nil {
		p.deadline.Stop()
	}
}

func (p *patrol) watch(ctx context.Context) {
	tick := time.NewTicker(patrolEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.drill.guard.Gone():
			p.drill.abort(abortf(AbortGuard, "the guard process is gone"))
			return
		case <-tick.C:
			if err := p.breach(); err != nil {
				p.drill.abort(err)
				return
			}
		}
	}
}

// show tells the screens which instances run.
func (p *patrol) show(ctx context.Context) {
	for sleep(ctx, showEvery) == nil {
		if instances, err := p.drill.Fleet.Instances(ctx); err == nil {
			p.drill.screens.tell(Event{At: p.drill.offset(), Fleet: instances})
		}
	}
}

// breach says why the drill must end now.
func (p *patrol) breach() error {
	d := p.drill
	if err := d.heart.missed(); err != nil {
		return err
	}
	if stopped(d.Evidence) {
		return abortf(AbortStop, "a %s file was created", stopFile)
	}
	if err := d.failed(); err != nil {
		return abortf(AbortError, "evidence cannot be written: %v", err)
	}
	for _, r := range d.meter.rails {
		if err := r.breached(d.offset()); err != nil {
			return err
		}
	}
	return nil
}

// keepAlive renews the lease of a fault from now on.
func (p *patrol) keepAlive(u fleet.Undo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leases = append(p.leases, &lease{undo: u, until: time.Now().Add(injectPatience)}) // it begins with the injection
}

// injected says that the injection is over: from now on the lease of the fault is no longer than it says.
func (p *patrol) injected(u fleet.Undo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.leases {
		if l.undo.Fault.ID == u.Fault.ID {
			l.until = time.Now().Add(p.drill.Scenario.Safety.Lease.D())
		}
	}
}

// extend says that the lease was renewed.
func (p *patrol) extend(l *lease, until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.until = until
}

// lost reports whether the lease has ended.
func (p *patrol) lost(l *lease) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return time.Now().After(l.until)
}

// letGo renews the lease of a fault no longer, because that is to be reverted.
func (p *patrol) letGo(u fleet.Undo) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.leases {
		l.over = l.over || l.undo.Fault.ID == u.Fault.ID
	}
	p.leases = slices.DeleteFunc(slices.Clone(p.leases), func(l *lease) bool { return l.over })
}

// ended reports whether the fault of the lease is being reverted.
func (p *patrol) ended(l *lease) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return l.over
}

// renewAll renews all leases at once, three times as often as they would end: one fault that is slow to renew takes no time from the
// others.
func (p *patrol) renewAll(ctx context.Context) {
	length := p.drill.Scenario.Safety.Lease.D()
	tick := time.NewTicker(length / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p.mu.Lock()
		leases := p.leases
		p.mu.Unlock()
		var renewing errgroup.Group
		for _, l := range leases {
			renewing.Go(func() error { return p.renew(ctx, l, length) })
		}
		if err := renewing.Wait(); err != nil {
			p.drill.abort(err)
			return
		}
	}
}

func (p *patrol) renew(ctx context.Context, l *lease, length time.Duration) error {
	if p.ended(l) {
		return nil
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, length/3)
	defer cancel()
	err := p.drill.Fleet.Renew(ctx, l.undo)
	switch {
	case err == nil:
		p.extend(l, began.Add(length))
	case ctx.Err() == context.Canceled, p.ended(l): // in the middle of it
	case errors.Is(err, ErrFleetGone):
		return abortf(AbortLease, "fault %s is not in effect any more: %v", l.undo.Fault.ID, err)
	case p.lost(l):
		return abortf(AbortLease, "the lease of fault %s is lost: %v", l.undo.Fault.ID, err)
	default:
		p.drill.Log.Warn("renew lease", "fault", l.undo.Fault.ID, "err", err)
	}
	return nil
}

// startDeadline aborts the drill if it has not recovered in time.
func (d *drill) startDeadline(first time.Duration) {
	p := d.patrol
	p.mu.Lock()
	defer p.mu.Unlock()
	length := d.Scenario.Recovered.Deadline.D()
	p.deadline = time.AfterFunc(first+length-d.offset(), func() {
		d.abort(abortf(AbortDeadline, "%s within %s", p.missing(), length))
	})
}

// await says what the drill waits for, if not for recovery.
func (p *patrol) await(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = what
}

// missing says what did not happen.
func (p *patrol) missing() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.waiting != "" {
		return p.waiting
	}
	if s, down := p.drill.meter.down(); down {
		return s.Name + " had not recovered"
	}
	return "not recovered"
}

// stopDeadline is called once the gateway has recovered.
func (d *drill) stopDeadline(context.Context) error {
	d.patrol.mu.Lock()
	defer d.patrol.mu.Unlock()
	if d.patrol.deadline != nil {
		d.patrol.deadline.Stop()
	}
	return nil
}
