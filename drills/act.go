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
	verifyPatience = 5 * time.Second  // until a fault shows
	recoverPause   = 500 * time.Millisecond
)

// faults is what became of the faults, in the order in which they were injected.
type faults struct {
	first    time.Duration // just before the first injector call
	undos    []fleet.Undo
	reverted int  // proven gone, from the last
	left     bool // a fault may still be in effect
}

func (f *faults) none() bool  { return len(f.undos) == 0 }
func (f *faults) clean() bool { return !f.left && f.reverted == len(f.undos) }

// abortError is the cause of an abort.
type abortError struct{ AbortFact }

// Error returns the reason.
func (e *abortError) Error() string { return e.Reason }

func abortf(cause AbortCause, format string, args ...any) error {
	return &abortError{AbortFact{Cause: cause, Reason: fmt.Sprintf(format, args...)}}
}

// act takes one step of the scenario.
func (d *drill) act(ctx context.Context, a scenarios.Action) error {
	if a.Step.Fault != "" {
		return d.inject(ctx, d.prepared[a.Step.ID], a.Step)
	}
	return d.recover(ctx, a.Step)
}

// inject breaks one thing: intent and undo record are safe on disk before, and it counts only once it is verified.
func (d *drill) inject(ctx context.Context, u fleet.Undo, step scenarios.Step) error {
	if err := d.awaitDelay(ctx, step); err != nil {
		return err
	}
	if err := errors.Join(d.meter.cut(ctx), context.Cause(ctx)); err != nil {
		return err
	}
	fact := faultFact{ID: u.Fault.ID, Kind: u.Fault.Kind, Targets: u.Targets, At: d.offset()}
	if err := errors.Join(d.enter(Injecting, u.Fault.ID), d.undo.append(u)); err != nil {
		return err // before the intent: nothing is in effect, and nothing on record says so
	}
	if err := d.note(entryIntent, fact); err != nil {
		return err
	}
	err := d.callInjector(ctx, u, &fact)
	if noted := d.note(entryInjected, fact); err != nil || noted != nil {
		return errors.Join(err, noted)
	}
	d.tellFault(u, "injected", "")
	return d.verify(ctx, u)
}

func (d *drill) callInjector(ctx context.Context, u fleet.Undo, fact *faultFact) error {
	ctx, cancel := context.WithTimeout(ctx, injectPatience)
	defer cancel()
	fact.At = d.offset()
	if d.faults.none() {
		d.faults.first = fact.At
		d.startDeadline(fact.At)
	}
	d.faults.undos = append(d.faults.undos, u)
	d.patrol.keepAlive(u)
	err := d.Fleet.Inject(ctx, u)
	if err != nil {
		fact.Error = err.Error()
		return abortf(AbortInject, "fault %s could not be injected: %v", u.Fault.ID, err)
	}
	return nil
}

// verify shows that the fault is in effect: no impact without that proves nothing.
func (d *drill) verify(ctx context.Context, u fleet.Undo) error {
	var seen string
	err := poll(ctx, verifyPatience, pollEvery, func(ctx context.Context) (err error) {
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

// recover does what an operator would: when the outage is seen, or after a delay, and again until it succeeds.
func (d *drill) recover(ctx context.Context, step scenarios.Step) error {
	if err := d.enter(Observing, "until "+step.ID); err != nil {
		return err
	}
	if err := d.awaitTurn(ctx, step); err != nil {
		return err
	}
	fact := StepFact{ID: step.ID, Action: step.Recover, To: step.To}
	if err := errors.Join(d.enter(Recovering, step.ID), d.noteStep(fact)); err != nil {
		return err
	}
	for {
		err := d.recoverOnce(ctx, step)
		if err == nil {
			fact.Done, fact.Error = true, ""
			return d.noteStep(fact)
		}
		if text := err.Error(); text != fact.Error { // the same failure again says nothing
			fact.Error = text
			d.noteStep(fact)
		}
		if err := sleep(ctx, recoverPause); err != nil {
			return err
		}
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

// awaitTurn waits until the outage is detected, or for the step's delay.
func (d *drill) awaitTurn(ctx context.Context, step scenarios.Step) error {
	if step.When != scenarios.Detected {
		return d.awaitDelay(ctx, step)
	}
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

// awaitDelay waits for the step's delay after the first injection.
func (d *drill) awaitDelay(ctx context.Context, step scenarios.Step) error {
	delay, err := step.Delay()
	if err != nil || d.faults.none() {
		return err
	}
	return sleep(ctx, d.faults.first+delay-d.offset())
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
	return d.stillOn(ctx)
}

// stillOn shows that the faults were on all the time: neither the guard has reverted them, nor has a lease run out and
// healed them. What recovers because its fault has ended proves nothing.
func (d *drill) stillOn(ctx context.Context) error {
	if err := d.heart.beat(); err != nil {
		return err
	}
	for _, u := range d.faults.undos {
		err := poll(ctx, verifyPatience, pollEvery, func(ctx context.Context) error { return d.Fleet.Renew(ctx, u) })
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			return abortf(AbortLease, "fault %s was not in effect to the end: %v", u.Fault.ID, err)
		}
	}
	return nil
}
