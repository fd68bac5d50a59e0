package drills

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gwdr/probes"
	"gwdr/scenarios"
)

// readBackPatience bounds the read-back of all regions, scanPatience the scan for leftovers.
const (
	readBackPatience = 30 * time.Second
	scanPatience     = 10 * time.Second
)

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
	for _, u := range slices.Backward(d.faults.undos) {
		fact := faultFact{ID: u.Fault.ID, Kind: u.Fault.Kind, Targets: u.Targets}
		if err := revertOne(ctx, d.Fleet, u, d.Patience); err != nil {
			fact.Error = err.Error()
			d.Log.Error("fault may still be in effect", "fault", u.Fault.ID, "err", err)
		} else {
			d.faults.reverted++
		}
		fact.At = d.offset()
		d.note(entryReverted, fact)
		what := "reverted"
		if fact.Error != "" {
			what = "NOT reverted"
		}
		d.tellFault(u, what, fact.Error)
	}
	d.tellFleet(ctx)
	return d.faults.reverted == len(d.faults.undos)
}

// settle waits until the steady state is back: all instances run, all regions agree, and no series is affected.
func (d *drill) settle(ctx context.Context) {
	d.meter.quiesce()
	since := d.offset()
	err := poll(ctx, d.Scenario.Revert.Settle.D(), askEvery, func(ctx context.Context) error {
		if err := d.inOrder(ctx); err != nil {
			return err
		}
		if !d.meter.data.RecoveredSince(since, d.offset()) {
			return fmt.Errorf("traffic was not steady for %s", d.Scenario.Recovered.StableFor)
		}
		return nil
	})
	fact := SettledFact{OK: err == nil, At: d.offset()}
	if err != nil {
		fact.Detail = err.Error()
	}
	d.note(entrySettled, fact)
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

// reconcile reads back what all regions have in the end.
func (d *drill) reconcile(ctx context.Context) {
	if err := d.readBack(ctx, Reconciling, FinalFile); err != nil {
		d.Log.Error("read back", "err", err)
	}
}

// readBack quiesces the writers and reads every region that can be read.
func (d *drill) readBack(ctx context.Context, stage Phase, file string) error {
	if d.Admin == nil {
		return nil
	}
	d.meter.quiesce()
	ctx, cancel := context.WithTimeout(ctx, readBackPatience)
	defer cancel()
	regions, err := d.Admin.Regions(ctx)
	if err != nil {
		return fmt.Errorf("read back: %w", err)
	}
	changes := d.meter.changes()
	var all []probes.Observation
	for _, region := range regions {
		seen, err := d.Admin.Observe(ctx, region, changes)
		if err != nil {
			return fmt.Errorf("read back %s: %w", region, err)
		}
		all = append(all, seen...)
	}
	return errors.Join(d.observations(file, all), d.noteDigests(ctx, stage))
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
	d.faults.left = err != nil || len(ids) > 0
	d.note(entryLeftovers, fact)
}
