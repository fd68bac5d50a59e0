package drills

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gwdr/fleet"
	"gwdr/scenarios"
)

const (
	injectPatience = 30 * time.Second // for one injector call
	recoverPause   = 500 * time.Millisecond
)

// abortError is the cause of an abort.
type abortError struct{ AbortFact }

// Error returns the reason.
func (e *abortError) Error() string { return e.Reason }

func abortf(cause AbortCause, format string, args ...any) error {
	return &abortError{AbortFact{Cause: cause, Reason: fmt.Sprintf(format, args...)}}
}

// inject breaks one thing: intent and undo record are safe on disk before, and it counts only once it is verified. What is to
// end by itself is reverted before it returns.
func (c *course) inject(ctx context.Context, in scenarios.Injection) error {
	if err := c.awaitStart(ctx, in.Start); err != nil {
		return err
	}
	u, fact, err := c.intend(ctx, in)
	if err != nil {
		return err
	}
	err = c.callInjector(ctx, u, &fact)
	if noted := c.note(entryInjected, fact); err != nil || noted != nil {
		return errors.Join(err, noted)
	}
	c.patrol.injected(u)
	c.tellFault(u, "injected", "")
	if err := c.verify(ctx, u); err != nil {
		return err
	}
	if in.End.Recovered {
		c.finished()
		return c.stops(Injecting)
	}
	if err := errors.Join(c.stops(Injecting), sleep(ctx, in.End.Hold), c.endFault(ctx, u)); err != nil {
		return err
	}
	c.finished()
	c.ended(in)
	return nil
}

// intend prepares a fault as things are now, and makes its undo record and the intent safe. One goes after the other, so that
// each sees what the others are about to take away.
func (c *course) intend(ctx context.Context, in scenarios.Injection) (u fleet.Undo, fact faultFact, err error) {
	select {
	case c.begin <- struct{}{}:
		defer func() { <-c.begin }()
	case <-ctx.Done():
		return u, fact, context.Cause(ctx)
	}
	if err := errors.Join(c.meter.cut(ctx), context.Cause(ctx)); err != nil {
		return u, fact, err
	}
	if err := c.keepsHealthy(ctx, in); err != nil {
		return u, fact, err
	}
	if u, err = c.prepareNow(ctx, in); err != nil {
		return u, fact, err
	}
	fact = faultFact{ID: u.Fault.ID, Kind: u.Fault.Kind, Targets: u.Targets, At: c.offset()}
	if err := errors.Join(c.starts(Injecting, u.Fault.ID), c.undo.append(u)); err != nil {
		return u, fact, err // before the intent: nothing is in effect, and nothing on record says so
	}
	if err := c.note(entryIntent, fact); err != nil {
		return u, fact, err
	}
	fact.At = c.offset()
	if c.faults.add(u, fact.At) {
		c.startDeadline(fact.At)
		c.first.happen(fact.At)
	}
	c.patrol.keepAlive(u)
	return u, fact, nil
}

// prepareNow prepares a fault for instances that may have been started again since the plan.
func (c *course) prepareNow(ctx context.Context, in scenarios.Injection) (fleet.Undo, error) {
	ctx, cancel := context.WithTimeout(ctx, injectPatience)
	defer cancel()
	instances, err := c.Fleet.Instances(ctx)
	if err == nil {
		var u fleet.Undo
		if u, err = c.prepareFault(ctx, in, instances); err == nil {
			return u, nil
		}
	}
	return fleet.Undo{}, abortf(AbortInject, "fault %s could not be injected: %v", in.ID, err)
}

func (d *drill) callInjector(ctx context.Context, u fleet.Undo, fact *faultFact) error {
	ctx, cancel := context.WithTimeout(ctx, injectPatience)
	defer cancel()
	fact.At = d.offset()
	if err := d.Fleet.Inject(ctx, u); err != nil {
		fact.Error = err.Error()
		return abortf(AbortInject, "fault %s could not be injected: %v", u.Fault.ID, err)
	}
	return nil
}

// verify shows that the fault is in effect: no impact without that proves nothing.
func (d *drill) verify(ctx context.Context, u fleet.Undo) error {
	var seen string
	err := poll(ctx, scenarios.VerifyLimit, pollEvery, func(ctx context.Context) (err error) {
		seen, err = d.Fleet.Verify(ctx, u)
		return err
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return abortf(AbortVerify, "fault %s is not in effect: %v", u.Fault.ID, err)
	}
	d.tellFault(u, "verified", seen)
	d.tellFleet(ctx)
	return d.note(entryVerified, faultFact{ID: u.Fault.ID, At: d.offset(), Detail: seen})
}

// endFault reverts a fault whose time is over, once it has shown that it lasted so long. A revert that is cut short by the end
// of the drill is made again with the others.
func (d *drill) endFault(ctx context.Context, u fleet.Undo) error {
	if err := d.stillOn(ctx, u); err != nil {
		return err
	}
	d.patrol.letGo(u)
	fact := faultFact{ID: u.Fault.ID, Kind: u.Fault.Kind, Targets: u.Targets, Began: d.offset()}
	err := revertOne(ctx, d.Fleet, u, d.Patience, d.caution)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		fact.Error = err.Error()
		err = abortf(AbortRevert, "fault %s did not end: %v", u.Fault.ID, err)
	}
	return errors.Join(d.noteReverted(ctx, u, fact), err)
}

// noteReverted keeps what became of a revert.
func (d *drill) noteReverted(ctx context.Context, u fleet.Undo, fact faultFact) error {
	what := "reverted"
	if fact.Error != "" {
		what = "NOT reverted"
		d.Log.Error("fault may still be in effect", "fault", u.Fault.ID, "err", fact.Error)
	} else {
		d.faults.reverted(u.Fault.ID)
	}
	fact.At = d.offset()
	err := d.note(entryReverted, fact)
	d.tellFault(u, what, fact.Error)
	d.tellFleet(ctx)
	return err
}

func (d *drill) tellFault(u fleet.Undo, what, detail string) {
	d.screens.tell(Event{At: d.offset(),
		Fault: &FaultEvent{ID: u.Fault.ID, Kind: u.Fault.Kind, Targets: u.Targets, What: what, Detail: detail}})
}

// tellFleet shows the screens which instances run now.
func (d *drill) tellFleet(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if instances, err := d.Fleet.Instances(ctx); err == nil {
		d.screens.tell(Event{At: d.offset(), Fleet: instances})
	}
}

func (d *drill) recoverOnce(ctx context.Context, step scenarios.Step) error {
	if step.Recover == scenarios.Promote {
		return d.Recovery.Promote(ctx, step.To)
	}
	return d.Recovery.Restore(ctx)
}

func (d *drill) noteStep(fact StepFact) error {
	e := StepEvent{ID: fact.ID, Action: fact.Action, Done: fact.Done}
	if fact.Error != "" {
		e.Err = errors.New(fact.Error)
	}
	d.screens.tell(Event{At: d.offset(), Step: &e})
	return d.note(entryStep, fact)
}

// awaitOutage waits until the outage is detected.
func (d *drill) awaitOutage(ctx context.Context, step scenarios.Step) error {
	d.patrol.await("no outage was detected that step " + step.ID + " waits for")
	defer d.patrol.await("")
	for {
		if s, down := d.meter.down(); down {
			return d.note(entryDetected, DetectedFact{At: d.offset(), Series: s.Name, Plane: s.Plane})
		}
		if err := sleep(ctx, pollEvery); err != nil {
			return err
		}
	}
}

// awaitRecovery waits until every series was up for the stability window, with the faults still in effect.
func (d *drill) awaitRecovery(ctx context.Context) error {
	since := d.offset()
	for !d.meter.detector.RecoveredSince(since, d.offset()) {
		if err := sleep(ctx, pollEvery); err != nil {
			return err
		}
	}
	return nil
}

// sustain holds the faults on, then quiesces the writers and reads back what the survivors have.
func (d *drill) sustain(ctx context.Context) error {
	if err := sleep(ctx, d.Scenario.Sustain()); err != nil {
		return err
	}
	if err := d.readBack(ctx, Sustain, ReadbackFile); err != nil {
		return err
	}
	for _, u := range d.faults.pending() {
		if err := d.stillOn(ctx, u); err != nil {
			return err
		}
	}
	return nil
}

// stillOn shows that the fault was on all the time: neither the guard has reverted it, nor has its lease run out and healed
// it. What recovers because its fault has ended proves nothing.
func (d *drill) stillOn(ctx context.Context, u fleet.Undo) error {
	if err := d.heart.beat(); err != nil {
		return err
	}
	err := poll(ctx, scenarios.VerifyLimit, pollEvery, func(ctx context.Context) error { return d.Fleet.Renew(ctx, u) })
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return abortf(AbortLease, "fault %s was not in effect to the end: %v", u.Fault.ID, err)
	}
	return nil
}
