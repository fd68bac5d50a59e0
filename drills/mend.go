package drills

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gwdr/scenarios"
)

// scanPatience bounds the scan for leftovers.
const scanPatience = 10 * time.Second

// aborting records why the drill did not come to its end.
func (d *drill) aborting(ctx context.Context, err error) {
	fact := AbortFact{Cause: AbortError, Reason: err.Error()}
	if cause := context.Cause(ctx); cause != nil {
		err = cause // whatever failed, failed because of it
	}
	var abort *abortError
	switch {
	case errors.As(err, &abort):
		fact = abort.AbortFact
	case errors.Is(err, context.Canceled):
		fact = AbortFact{Cause: AbortSignal, Reason: "interrupted"}
	}
	d.note(entryAbort, fact)
	d.enter(Aborting, fact.Reason)
}

// revert ends the faults, the last one first, and reports whether all of them are proven gone.
func (d *drill) revert(ctx context.Context) bool {
	for _, u := range slices.Backward(d.faults.pending()) {
		fact := faultFact{ID: u.Fault.ID, Kind: u.Fault.Kind, Targets: u.Targets}
		if err := revertOne(ctx, d.Fleet, u, d.Patience, d.caution); err != nil {
			fact.Error = err.Error()
		}
		d.noteReverted(ctx, u, fact)
	}
	return len(d.faults.pending()) == 0
}

// settle waits until the steady state is back: all instances run, all regions agree, and no series is affected. Of a fleet that is gone
// none ever does.
func (d *drill) settle(ctx context.Context) error {
	waiting, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	convergence := newConvergence(d.offset())
	d.meter.quiesce()
	since := d.offset()
	err := poll(waiting, d.Scenario.Revert.Settle.D(), askEvery, func(ctx context.Context) error {
		asked := d.offset()
		err := d.inOrder(ctx)
		if errors.Is(err, ErrFleetGone) {
			giveUp(err)
		}
		convergence.saw(err == nil, asked, d.offset())
		if err != nil {
			return err
		}
		if !d.meter.data.RecoveredSince(since, d.offset()) {
			return fmt.Errorf("traffic was not steady for %s", d.Scenario.Recovered.StableFor)
		}
		return nil
	})
	fact := SettledFact{OK: err == nil, At: d.offset(), Agreed: convergence.agreed}
	if err != nil {
		fact.Detail = err.Error()
	}
	d.note(entrySettled, fact)
	return err
}

// failBack makes the region lead again that led before the drill, and settles once more: what comes later finds everything
// as the drill did.
func (d *drill) failBack(ctx context.Context) {
	if d.leader == "" || d.Scenario.Revert.Failback == "" {
		return
	}
	now, err := d.Recovery.Leader(ctx)
	if err == nil && now == d.leader {
		return
	}
	d.enter(Failback, d.leader)
	fact := StepFact{ID: string(Failback), Action: scenarios.Promote, To: d.leader}
	d.noteStep(fact)
	err = poll(ctx, d.Scenario.Revert.Settle.D(), askEvery, func(ctx context.Context) error { return d.Recovery.Promote(ctx, d.leader) })
	if fact.Done = err == nil; err != nil {
		fact.Error = err.Error()
	}
	d.noteStep(fact)
	d.settle(ctx)
}

// scan looks for faults that are still in effect.
func (d *drill) scan(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, scanPatience)
	defer cancel()
	ids, err := d.Fleet.Leftovers(ctx)
	fact := leftoversFact{IDs: append([]string{}, ids...)}
	if err != nil {
		fact.Error = err.Error()
	}
	d.faults.scanned(err != nil || len(ids) > 0)
	d.note(entryLeftovers, fact)
}

// warn tells people of what does not stop the drill.
func (d *drill) warn(text string) {
	d.Log.Warn(text)
	d.caution(text)
}

// caution tells the screens only: it may yet be mended.
func (d *drill) caution(text string) { d.screens.tell(Event{At: d.offset(), Warning: text}) }
