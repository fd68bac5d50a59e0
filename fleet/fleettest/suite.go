// Package fleettest tests what every fleet.Fleet must do, whatever it breaks and however.
package fleettest

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/fleet"
)

// Suite is a driver under test.
type Suite struct {
	// Open returns a fleet in which everything runs. It cleans up after the test.
	Open func(t *testing.T) fleet.Fleet
	// Reopen returns the fleet that u was prepared for, as a process would that knows nothing but u.
	Reopen func(t *testing.T, u fleet.Undo) fleet.Fleet
	// Guard starts the guard of a drill over a fault that is in effect, if it is the guard that keeps the driver's leases and
	// not the injection point: it reverts u once beat was not called for its lease. Optional.
	Guard func(t *testing.T, u fleet.Undo) (beat func() error)
	// Faults are the kinds that the driver can inject.
	Faults map[fleet.FaultKind]Case
}

// Case is how a kind of fault is tested: into which instances it is injected, and how much of it.
type Case struct {
	fleet.Selector
	With fleet.Params
}

const (
	soon  = 30 * time.Second       // how long anything may take
	long  = time.Hour              // a lease that outlives every test
	short = 200 * time.Millisecond // a lease that runs out while a test waits
	pause = 10 * time.Millisecond  // between two looks
)

// Run runs the suite.
func Run(t *testing.T, s Suite) {
	for kind, c := range s.Faults {
		t.Run(string(kind), func(t *testing.T) {
			for name, test := range map[string]func(*testing.T, *subject){
				"PrepareTouchesNothing":     prepareTouchesNothing,
				"InjectVerifyRevert":        injectVerifyRevert,
				"RevertIsIdempotent":        revertIsIdempotent,
				"RevertWithoutInject":       revertWithoutInject,
				"RevertByAnotherProcess":    revertByAnotherProcess,
				"LeaseRunsOut":              leaseRunsOut,
				"RenewKeepsTheFault":        renewKeepsTheFault,
				"RenewOfAHealedFaultFails":  renewOfAHealedFaultFails,
				"NoTarget":                  noTarget,
				"UnknownTarget":             unknownTarget,
				"AnotherDriversUndo":        anotherDriversUndo,
				"FaultIDIsUniqueInTheFleet": faultIDIsUnique,
			} {
				t.Run(name, func(t *testing.T) { test(t, open(t, s, kind, c)) })
			}
		})
	}
	t.Run("UnsupportedKind", func(t *testing.T) {
		for _, c := range s.Faults {
			c.With = fleet.Params{}
			unsupportedKind(t, open(t, s, "heat-death", c))
			break
		}
	})
}

// subject is one fleet with a kind of fault to inject into targets.
type subject struct {
	fleet.Fleet
	suite   Suite
	fault   fleet.Fault // with an id and no lease
	targets []fleet.Instance
}

func open(t *testing.T, s Suite, kind fleet.FaultKind, c Case) *subject {
	t.Helper()
	f := &subject{Fleet: s.Open(t), suite: s, fault: fleet.Fault{ID: "broken", Kind: kind, With: c.With}}
	f.targets = c.Select(f.instances(t))
	if len(f.targets) == 0 {
		t.Fatalf("selector %+v matches nothing", c.Selector)
	}
	return f
}

// healthy fails the test unless every instance runs and no fault is left.
func (f *subject) healthy(t *testing.T) {
	t.Helper()
	for _, in := range f.instances(t) {
		if !in.Running {
			t.Errorf("%s does not run", in.ID)
		}
	}
	if left := f.leftovers(t); len(left) > 0 {
		t.Errorf("faults are left: %v", left)
	}
}

func (f *subject) instances(t *testing.T) []fleet.Instance {
	t.Helper()
	all, err := f.Instances(t.Context())
	if err != nil {
		t.Fatalf("instances: %v", err)
	}
	return all
}

func (f *subject) leftovers(t *testing.T) []string {
	t.Helper()
	left, err := f.Leftovers(t.Context())
	if err != nil {
		t.Fatalf("leftovers: %v", err)
	}
	return left
}

func (f *subject) leased(lease time.Duration) fleet.Fault {
	fault := f.fault
	fault.Lease = lease
	return fault
}

func (f *subject) prepare(t *testing.T, lease time.Duration) fleet.Undo {
	t.Helper()
	u, err := f.Prepare(t.Context(), f.leased(lease), f.targets)
	if err != nil {
		t.Fatalf("prepare: %v", err)
	}
	return u
}

func (f *subject) inject(t *testing.T, lease time.Duration) fleet.Undo {
	t.Helper()
	u := f.prepare(t, lease)
	if err := f.Inject(t.Context(), u); err != nil {
		t.Fatalf("inject: %v", err)
	}
	return u
}

// injectLeased injects a fault that somebody ends when renew is not called for so long.
func (f *subject) injectLeased(t *testing.T, lease time.Duration) (u fleet.Undo, renew func() error) {
	t.Helper()
	u = f.inject(t, lease)
	beat := func() error { return nil }
	if f.suite.Guard != nil {
		beat = f.suite.Guard(t, u)
	}
	return u, func() error { return errors.Join(f.Renew(t.Context(), u), beat()) }
}

func (f *subject) revert(t *testing.T, u fleet.Undo) {
	t.Helper()
	if err := f.Revert(t.Context(), u); err != nil {
		t.Fatalf("revert: %v", err)
	}
}

// effective fails the test unless Verify says what it saw.
func (f *subject) effective(t *testing.T, u fleet.Undo) {
	t.Helper()
	if seen, err := f.Verify(t.Context(), u); err != nil || seen == "" {
		t.Errorf("verify while the fault is in effect: %q, %v", seen, err)
	}
}

func (f *subject) ineffective(t *testing.T, u fleet.Undo) {
	t.Helper()
	if seen, err := f.Verify(t.Context(), u); err == nil {
		t.Errorf("verify while the fault is not in effect: %q", seen)
	}
}

func prepareTouchesNothing(t *testing.T, f *subject) {
	before := f.instances(t)
	u := f.prepare(t, long)
	if diff := cmp.Diff(before, f.instances(t)); diff != "" {
		t.Errorf("prepare changed the fleet (-before +after):\n%s", diff)
	}
	f.ineffective(t, u)
	f.healthy(t)
	var want []string
	for _, target := range f.targets {
		want = append(want, target.ID)
	}
	if diff := cmp.Diff(want, u.Targets); diff != "" || u.Driver == "" {
		t.Errorf("undo of driver %q with targets (-want +got):\n%s", u.Driver, diff)
	}
}

func injectVerifyRevert(t *testing.T, f *subject) {
	u := f.inject(t, long)
	f.effective(t, u)
	if diff := cmp.Diff([]string{"broken"}, f.leftovers(t)); diff != "" {
		t.Errorf("leftovers while the fault is in effect (-want +got):\n%s", diff)
	}
	f.revert(t, u)
	f.ineffective(t, u)
	f.healthy(t)
	again := f.inject(t, long) // the id is free again
	f.effective(t, again)
	f.revert(t, again)
	f.healthy(t)
}

func revertIsIdempotent(t *testing.T, f *subject) {
	u := f.inject(t, long)
	f.revert(t, u)
	before := f.instances(t)
	f.revert(t, u)
	if diff := cmp.Diff(before, f.instances(t)); diff != "" {
		t.Errorf("the second revert changed the fleet (-before +after):\n%s", diff)
	}
	f.healthy(t)
}

// revertWithoutInject is what happens when a controller dies between writing its undo record and the injection.
func revertWithoutInject(t *testing.T, f *subject) {
	before := f.instances(t)
	f.revert(t, f.prepare(t, long))
	if diff := cmp.Diff(before, f.instances(t)); diff != "" {
		t.Errorf("the revert of nothing changed the fleet (-before +after):\n%s", diff)
	}
	f.healthy(t)
}

func revertByAnotherProcess(t *testing.T, f *subject) {
	text, err := json.Marshal(f.inject(t, long))
	if err != nil {
		t.Fatal(err)
	}
	var u fleet.Undo
	if err := json.Unmarshal(text, &u); err != nil {
		t.Fatal(err)
	}
	other := f.suite.Reopen(t, u)
	if seen, err := other.Verify(t.Context(), u); err != nil {
		t.Errorf("verify by another process: %q, %v", seen, err)
	}
	if err := other.Revert(t.Context(), u); err != nil {
		t.Fatalf("revert by another process: %v", err)
	}
	f.ineffective(t, u)
	f.healthy(t)
}

func leaseRunsOut(t *testing.T, f *subject) {
	u, _ := f.injectLeased(t, short)
	f.heals(t)
	f.ineffective(t, u)
	f.revert(t, u)
	f.healthy(t)
}

// heals waits until the fleet has reverted the fault by itself.
func (f *subject) heals(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(soon); len(f.leftovers(t)) > 0; time.Sleep(pause) {
		if time.Now().After(deadline) {
			t.Fatalf("the fault is still there %s after its lease", soon)
		}
	}
}

// renewKeepsTheFault renews while it verifies, too, as a drill does: to look at some faults takes longer than their lease.
func renewKeepsTheFault(t *testing.T, f *subject) {
	const lease = 5 * short
	u, renew := f.injectLeased(t, lease)
	verified := make(chan struct{})
	go func() {
		defer close(verified)
		time.Sleep(2 * lease)
		f.effective(t, u)
	}()
	for renewing := true; renewing; {
		if err := renew(); err != nil {
			t.Fatalf("renew: %v", err)
		}
		select {
		case <-verified:
			renewing = false
		case <-time.After(pause):
		}
	}
	f.revert(t, u)
	f.healthy(t)
}

func renewOfAHealedFaultFails(t *testing.T, f *subject) {
	u, _ := f.injectLeased(t, short)
	f.heals(t)
	if err := f.Renew(t.Context(), u); err == nil {
		t.Error("the lease of a fault that has healed was renewed")
	}
	f.healthy(t)
}

func noTarget(t *testing.T, f *subject) {
	none := fleet.Selector{}.Select(f.instances(t))
	_, err := f.Prepare(t.Context(), f.leased(long), none)
	if !errors.Is(err, fleet.ErrNoTarget) {
		t.Errorf("prepare without targets: %v, want ErrNoTarget", err)
	}
	f.healthy(t)
}

func unknownTarget(t *testing.T, f *subject) {
	target := f.targets[0]
	target.ID = "nowhere"
	_, err := f.Prepare(t.Context(), f.leased(long), []fleet.Instance{target})
	if err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("prepare with an unknown target: %v, want an error that names it", err)
	}
	f.healthy(t)
}

func anotherDriversUndo(t *testing.T, f *subject) {
	u := f.prepare(t, long)
	u.Driver = "stranger"
	for what, do := range map[string]func(context.Context, fleet.Undo) error{"inject": f.Inject, "revert": f.Revert} {
		if err := do(t.Context(), u); err == nil || !strings.Contains(err.Error(), "stranger") {
			t.Errorf("%s of another driver's undo: %v, want an error that names it", what, err)
		}
	}
	f.healthy(t)
}

func faultIDIsUnique(t *testing.T, f *subject) {
	u := f.inject(t, long)
	if err := f.Inject(t.Context(), u); err == nil {
		t.Error("a fault that is in effect was injected again")
	}
	f.revert(t, u)
	f.healthy(t)
}

func unsupportedKind(t *testing.T, f *subject) {
	_, err := f.Prepare(t.Context(), f.leased(long), f.targets)
	if !errors.Is(err, fleet.ErrUnsupported) || !strings.Contains(err.Error(), string(f.fault.Kind)) {
		t.Errorf("prepare of an unsupported fault: %v, want ErrUnsupported and its name", err)
	}
	f.healthy(t)
}
