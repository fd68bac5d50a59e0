package drills

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gwdr/fleet"
	"gwdr/scenarios"
)

// How long the fleet may take to show that it is in order, before a drill is refused.
const (
	preflightPatience = 10 * time.Second
	pollEvery         = 20 * time.Millisecond  // of what this process knows
	askEvery          = 100 * time.Millisecond // of what others must be asked
)

// baselineGrace is how much longer than asked for a baseline may take before people are told why.
const baselineGrace = 500 * time.Millisecond

// minLocations is how many locations must hold a verified backup.
const minLocations = 2

// validate resolves the targets and journals the plan's hash: what was promised is fixed before anything happens. Then it wants the
// plan to be approved.
func (d *drill) validate(ctx context.Context) error {
	instances, err := d.Fleet.Instances(ctx)
	if err != nil {
		return err
	}
	if d.plan, err = d.Scenario.Plan(instances); err != nil {
		return err
	}
	d.plan.Fleet = d.Reach
	for _, r := range d.meter.rails {
		if r.success != nil && !r.probed {
			return fmt.Errorf("guardrail %s cannot be watched: nothing is probed for it", r.name)
		}
	}
	if err := d.withinBounds(instances); err != nil {
		return err
	}
	if d.hash, err = d.writePlan(d.plan); err != nil {
		return err
	}
	fact := planFact{SHA256: d.hash, Targets: map[string][]string{}, Worst: d.plan.Worst}
	for _, a := range d.plan.Actions {
		fact.Targets[a.Step.ID] = a.Targets
	}
	for _, in := range d.plan.Injections {
		fact.Targets[in.ID] = in.Targets
	}
	if err := d.note(entryPlan, fact); err != nil || d.Approve == nil {
		return err
	}
	return d.Approve(ctx, d.plan, d.hash)
}

// withinBounds holds the plan against what no drill may cross, now and until its end.
func (d *drill) withinBounds(instances []fleet.Instance) error {
	touched := map[string]bool{}
	for _, in := range d.plan.Injections {
		for _, id := range in.Targets {
			touched[id] = true
		}
	}
	for _, b := range []scenarios.Bounds{d.Scenario.Safety.Bounds, d.Bounds} {
		if err := errors.Join(b.Admits(time.Now(), d.plan.Worst), b.Guards(instances, touched)); err != nil {
			return err
		}
	}
	return nil
}

// ErrInEffect is wrapped, besides ErrRefused, by the error of a drill that finds faults in effect.
var ErrInEffect = errors.New("faults are in effect")

// ErrUnsteady is wrapped, besides ErrRefused, by the error of a drill whose baseline did not hold.
var ErrUnsteady = errors.New("steady state was not held")

// preflight wants every instance to run, all regions to agree, no fault in effect, and a fresh verified backup.
func (d *drill) preflight(ctx context.Context) error {
	left, err := d.Fleet.Leftovers(ctx)
	if err != nil {
		return fmt.Errorf("look for leftovers: %w", err)
	}
	if len(left) > 0 {
		return fmt.Errorf("%w: %s", ErrInEffect, strings.Join(left, ", "))
	}
	if err := poll(ctx, preflightPatience, askEvery, d.inOrder); err != nil {
		return err
	}
	if err := d.undoable(ctx); err != nil {
		return err
	}
	if err := d.findLeader(ctx); err != nil {
		return err
	}
	if d.Scenario.Safety.BackupFreshness > 0 {
		if err := d.takeBackup(ctx, d.Scenario.Safety.BackupFreshness.D()); err != nil {
			return err
		}
	}
	return d.noteDigests(ctx, Preflight)
}

// inOrder says what of the fleet is not in order.
func (d *drill) inOrder(ctx context.Context) error {
	instances, err := d.Fleet.Instances(ctx)
	if err != nil {
		return err
	}
	d.screens.tell(Event{At: d.offset(), Fleet: instances})
	for _, in := range instances {
		if !in.Running {
			return fmt.Errorf("%s is not running", in.ID)
		}
	}
	_, err = d.agreed(ctx)
	return err
}

// findLeader remembers which region leads, and refuses to promote that one: nothing would be lost, and nothing proven.
func (d *drill) findLeader(ctx context.Context) (err error) {
	if !d.Scenario.Needs(scenarios.Promote) {
		return nil
	}
	if d.leader, err = d.Recovery.Leader(ctx); err != nil {
		return fmt.Errorf("find the leader: %w", err)
	}
	for _, a := range d.plan.Actions {
		if a.Step.Recover == scenarios.Promote && a.Step.To == d.leader {
			return fmt.Errorf("region %s leads already: step %s would do nothing", d.leader, a.Step.ID)
		}
	}
	return nil
}

func (d *drill) takeBackup(ctx context.Context, maxAge time.Duration) error {
	b, err := d.Backup(ctx, maxAge)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if len(b.Locations) < minLocations {
		return fmt.Errorf("backup %s was verified at %d locations, %d are required", b.Point, len(b.Locations), minLocations)
	}
	return d.note(entryBackup, b)
}

// announcement says what is going to happen, and how to stop it.
func (d *drill) announcement() string {
	return fmt.Sprintf("[DRILL] %s: %s; at most %s; %s", d.Scenario.Metadata.Name, d.toBreak(), d.plan.Worst, d.howToAbort())
}

// howToAbort says how to abort the drill.
func (d *drill) howToAbort() string {
	if d.Abort == "" {
		return "to abort: create " + filepath.Join(d.Evidence, stopFile)
	}
	return "to abort: " + d.Abort
}

// toBreak says what is going to be injected.
func (d *drill) toBreak() string {
	var all []string
	for _, a := range d.plan.Actions {
		if a.Step.Fault == "" {
			continue
		}
		what := a.Step.Fault + " " + strings.Join(a.Targets, ", ")
		if n := a.Step.Repeat.Times; n > 1 {
			what += fmt.Sprintf(" %d times", n)
		}
		all = append(all, what)
	}
	return strings.Join(all, "; ")
}

// announce wants somebody to be told. The preflight may have taken long: there must be time left.
func (d *drill) announce(ctx context.Context) error {
	if err := d.withinBounds(nil); err != nil {
		return err
	}
	return d.notices.announce(ctx, fmt.Sprintf("begins with the baseline, then %s; at most %s", d.toBreak(), d.plan.Worst))
}

// baseline starts the measurement and waits until the steady state was held for the scenario's time.
func (d *drill) baseline(ctx context.Context) error {
	if err := d.note(entrySeries, d.meter.series()); err != nil {
		return err
	}
	d.meter.start(ctx)
	if at := d.Scenario.SteadyState.Backup.D(); at > 0 {
		if err := sleep(ctx, at); err != nil {
			return err
		}
		if err := d.takeBackup(ctx, 0); err != nil {
			return err
		}
	}
	length := d.Scenario.SteadyState.Baseline.D()
	told := map[string]bool{}
	return poll(ctx, d.Scenario.BaselineLimit(), pollEvery, func(context.Context) error {
		if d.meter.steadyFor() >= length && d.meter.detector.BaselineHolds(d.offset()) {
			return nil
		}
		if reason := d.meter.reason(); d.meter.steadyFor() > length+baselineGrace && !told[reason] {
			told[reason] = true
			left := d.Scenario.BaselineLimit() - d.meter.steadyFor()
			d.caution(fmt.Sprintf("baseline not steady yet: %s; waiting, at most %s", reason, left.Round(time.Second)))
		}
		return fmt.Errorf("%w for %s: %s", ErrUnsteady, length, d.meter.complaint())
	})
}

// arm proves that every fault can be undone, and starts the guard.
func (d *drill) arm(ctx context.Context) (err error) {
	if err := d.undoable(ctx); err != nil {
		return err
	}
	if d.undo, err = createUndoLog(d.record.run.Dir); err != nil {
		return err
	}
	if stopped(d.Evidence) {
		return &StopError{filepath.Join(d.Evidence, stopFile)}
	}
	if err := d.startGuard(ctx); err != nil {
		return err
	}
	if err := d.outlook(ctx); err != nil {
		return err
	}
	return d.meter.arm()
}

// undoable shows that the fleet can inject every fault of the plan, and undo it. Nothing is touched.
func (d *drill) undoable(ctx context.Context) error {
	instances, err := d.Fleet.Instances(ctx)
	if err != nil {
		return err
	}
	for _, in := range d.plan.Injections {
		if _, err := d.prepareFault(ctx, in, instances); err != nil {
			return err
		}
	}
	return nil
}

func (d *drill) prepareFault(ctx context.Context, in scenarios.Injection, instances []fleet.Instance) (fleet.Undo, error) {
	fault := fleet.Fault{ID: in.ID, Kind: in.Kind, With: in.With, Lease: d.Scenario.Safety.Lease.D()}
	targets := slices.DeleteFunc(slices.Clone(instances), func(one fleet.Instance) bool { return !slices.Contains(in.Targets, one.ID) })
	if len(targets) != len(in.Targets) {
		return fleet.Undo{}, fmt.Errorf("fault %s: targets have changed since the plan", fault.ID)
	}
	for _, target := range targets {
		if target.PID == os.Getpid() {
			return fleet.Undo{}, fmt.Errorf("fault %s: %s is this drill itself", fault.ID, target.ID)
		}
	}
	u, err := d.Fleet.Prepare(ctx, fault, targets)
	if err != nil {
		return u, fmt.Errorf("prepare fault %s: %w", fault.ID, err)
	}
	return u, nil
}

// poll repeats check until it has nothing to say, and returns what it said last when patience or ctx ends.
func poll(ctx context.Context, patience, every time.Duration, check func(context.Context) error) error {
	limited, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := check(limited)
		if err == nil {
			return nil
		}
		if sleep(limited, every) != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return err
		}
	}
}

// sleep waits, or returns the cause of ctx's end.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
