package drills

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/fleet"
	"gwdr/probes"
	"gwdr/scenarios"
)

// compose gives the drill other steps, with targets for single instances, and no promise but that of data planes.
func (l *lab) compose(steps ...scenarios.Step) {
	s := l.Scenario
	for _, id := range []string{"us-east-1", "us-east-2", "us-west-1", "us-west-2"} {
		s.Targets[id] = scenarios.Target{Select: fleet.Selector{Instance: id}}
	}
	s.Targets["data"] = scenarios.Target{Select: fleet.Selector{Role: fleet.Data}}
	s.Safety.MaxTargets, s.Safety.KeepHealthyRegions, s.Guardrails = 9, 0, nil
	s.Objectives = slices.DeleteFunc(s.Objectives, func(o scenarios.Objective) bool { return o.ID != "rto" })
	s.Steps = steps
	for i := range steps {
		if steps[i].Fault != "" && steps[i].Hold == "" {
			steps[i].Hold = "until-recovered"
		}
	}
}

func kill(id, target, hold string) scenarios.Step {
	return scenarios.Step{ID: id, Fault: "kill", Target: target, Hold: hold}
}

// spans tells of each fault when it was injected and when its revert was proven, in whole seconds after the first injection.
func spans(t *testing.T, r *Result) []string {
	t.Helper()
	facts, _, err := ReadFacts(r.Evidence)
	if err != nil {
		t.Fatal(err)
	}
	first, all := time.Duration(1<<62), []string{}
	for _, f := range facts.Faults {
		first = min(first, f.Injected)
	}
	for _, f := range facts.Faults {
		text := fmt.Sprintf("%s %s %.0f", f.ID, strings.Join(f.Targets, " "), (f.Injected - first).Seconds())
		if f.Released > 0 {
			text += fmt.Sprintf("-%.0f", (f.RevertedOffset - first).Seconds())
		}
		if !f.Verified || !f.Reverted {
			text += fmt.Sprintf(" verified %v, reverted %v", f.Verified, f.Reverted)
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return all
}

// TestCourse shows of each way to compose steps what is injected when, and what is undone in which order.
func TestCourse(t *testing.T) {
	for name, test := range map[string]struct {
		steps []scenarios.Step
		spans []string
		undo  []string // the reverts, in their order
	}{
		"serial": {
			[]scenarios.Step{kill("a", "us-east-1", "10s"), {ID: "b", Fault: "kill", Target: "us-east-2", After: "a", When: "2s"}},
			[]string{"a us-east-1 0-10", "b us-east-2 12"}, []string{"revert a", "revert b"},
		},
		"one after another": {
			[]scenarios.Step{{ID: "a", Fault: "kill", Target: "data", Stagger: scenarios.Duration(4 * time.Second), Hold: "3s"}},
			[]string{"a-1 us-east-1 0-3", "a-2 us-east-2 4-7", "a-3 us-west-1 8-11", "a-4 us-west-2 12-15"},
			[]string{"revert a-1", "revert a-2", "revert a-3", "revert a-4"},
		},
		"staggered, held": {
			[]scenarios.Step{{ID: "a", Fault: "kill", Target: "east-data", Stagger: scenarios.Duration(2 * time.Second)}},
			[]string{"a-1 us-east-1 0", "a-2 us-east-2 2"}, []string{"revert a-2", "revert a-1"},
		},
		"repeated": {
			[]scenarios.Step{{ID: "a", Fault: "kill", Target: "us-east-1", Hold: "5s", Repeat: scenarios.Repeat{Times: 3, Every: scenarios.Duration(15 * time.Second)}}},
			[]string{"a-1 us-east-1 0-5", "a-2 us-east-1 15-20", "a-3 us-east-1 30-35"}, []string{"revert a-1", "revert a-2", "revert a-3"},
		},
		"one inside of another": {
			[]scenarios.Step{kill("a", "us-east-1", ""), {ID: "b", Fault: "kill", Target: "us-east-2", When: "3s", Hold: "2s"}, {ID: "c", Fault: "kill", Target: "us-east-2", After: "b", When: "1s"}},
			[]string{"a us-east-1 0", "b us-east-2 3-5", "c us-east-2 6"}, []string{"revert b", "revert c", "revert a"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.compose(test.steps...)
				l.Scenario.Targets["east-data"] = scenarios.Target{Select: fleet.Selector{Region: "us-east", Role: fleet.Data}}
				r, err := l.run(t, t.Context())
				if err != nil || r.Verdict == Errored || r.Verdict == Aborted || !r.Clean {
					t.Fatalf("%s, clean %v: %s, %v", r.Verdict, r.Clean, r.Reason, err)
				}
				if diff := cmp.Diff(test.spans, spans(t, r)); diff != "" {
					t.Errorf("injections (-want +got):\n%s", diff)
				}
				undo := slices.DeleteFunc(slices.Clone(l.world.calls), func(call string) bool { return !strings.HasPrefix(call, "revert") })
				if diff := cmp.Diff(test.undo, undo); diff != "" {
					t.Errorf("reverts (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestRecoveryWaitsForTheFirstFault shows that a recovery without a delay does not come before what it recovers from.
func TestRecoveryWaitsForTheFirstFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.Scenario.Steps[1].When = "0s"
		if r, err := l.run(t, t.Context()); err != nil || !slices.Equal(l.world.calls[:2], []string{"inject power-cut", "promote us-west"}) {
			t.Errorf("%v: %v, %v", l.world.calls, r.Reason, err)
		}
	})
}

// TestParallel shows that faults which are due at the same time are injected at the same time, with their undo records before.
func TestParallel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.compose(kill("a", "us-east-1", ""), kill("b", "us-east-2", "4s"))
		both := make(chan struct{}, 2)
		l.Site.Fleet = &slowFleet{world: l.world, injecting: func(u fleet.Undo) {
			undos, err := readUndos(filepath.Dir(journalOf(t, l)))
			if err != nil || !slices.ContainsFunc(undos, func(kept fleet.Undo) bool { return kept.Fault.ID == u.Fault.ID }) {
				t.Errorf("%s is injected, and %v is on record: %v", u.Fault.ID, faultIDs(undos), err)
			}
			both <- struct{}{}
			for len(both) < 2 {
				time.Sleep(time.Millisecond) // for ever, if one waits for the other
			}
		}}
		r, err := l.run(t, t.Context())
		if err != nil || r.Verdict == Errored || !r.Clean {
			t.Fatalf("%s: %s, %v", r.Verdict, r.Reason, err)
		}
		if got := spans(t, r); len(got) != 2 {
			t.Errorf("faults %v", got)
		}
	})
}

func journalOf(t *testing.T, l *lab) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(l.Evidence, "*", JournalFile))
	if err != nil || len(found) != 1 {
		t.Fatalf("journals %v, %v", found, err)
	}
	return found[0]
}

// slowFleet is a world whose injector can be watched.
type slowFleet struct {
	*world
	injecting func(fleet.Undo)
}

func (f *slowFleet) Inject(ctx context.Context, u fleet.Undo) error {
	f.injecting(u)
	return f.world.Inject(ctx, u)
}

// TestEndedFaultsClaimNothing shows that a gateway which came back only because its fault had ended does not pass, unless that
// is all that was promised.
func TestEndedFaultsClaimNothing(t *testing.T) {
	for name, test := range map[string]struct {
		arrange func(l *lab)
		verdict Verdict
		value   string
		finding string
	}{
		"comes back by itself":      {func(l *lab) {}, Pass, "s (±", ""},
		"only after the fault":      {func(l *lab) { l.world.noFailover = true }, Inconclusive, "only after a had ended", "back only after a had ended"},
		"which is all that it must": {func(l *lab) { l.world.noFailover, l.Scenario.Objectives[0].AfterFault = true, true }, Pass, "s (±", "back only after a had ended"},
		"and too late": {func(l *lab) {
			l.world.noFailover = true
			l.Scenario.Steps[0].Hold = "20s"
		}, Fail, "only after a had ended", "back only after a had ended"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.compose(kill("a", "us-east-1", "2s"))
				test.arrange(l)
				r, err := l.run(t, t.Context())
				if err != nil || len(r.Objectives) != 1 {
					t.Fatalf("%+v, %v", r, err)
				}
				if o := r.Objectives[0]; r.Verdict != test.verdict || o.Verdict != test.verdict || !strings.Contains(o.Value, test.value) {
					t.Errorf("%s: %+v (%s)", r.Verdict, o, r.Reason)
				}
				if found := strings.Contains(strings.Join(r.Findings, "\n"), "back only after"); found != (test.finding != "") {
					t.Errorf("findings %v", r.Findings)
				}
				if f := r.Faults[0]; f.Reverted == nil || f.Reverted.Sub(*f.Injected) > 21*time.Second {
					t.Errorf("fault %+v", f)
				}
			})
		})
	}
}

// TestFullServiceIsOfTheLastFault shows that what was well between two faults is not taken for the end.
func TestFullServiceIsOfTheLastFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.compose(kill("a", "us-east-1", "1s"), scenarios.Step{ID: "b", Fault: "kill", Target: "us-west-2", When: "10s", Hold: "until-recovered"})
		r, err := l.run(t, t.Context())
		if err != nil || r.Verdict != Pass {
			t.Fatalf("%+v, %v", r, err)
		}
		if full := r.RTA["data"].FullServiceS; full != nil && *full < 10 {
			t.Errorf("full service after %gs, and the last fault began after 10s", *full)
		}
	})
}

// TestCourseEnds drives composed drills into their other ends.
func TestCourseEnds(t *testing.T) {
	long := kill("a", "us-east-1", "10s")
	for name, test := range map[string]struct {
		arrange func(l *lab)
		verdict Verdict
		reason  string
		dirty   bool
		never   string // a call that must not happen
	}{
		"does not end, then does": {func(l *lab) {
			l.Patience = Patience{Total: time.Second}
			l.world.revertErr = func(n int) error { return map[bool]error{true: errors.New("stuck")}[n <= 6] }
		}, Aborted, "fault a did not end", false, "inject b"},
		"never ends": {func(l *lab) {
			l.world.revertErr = func(int) error { return errors.New("stuck") }
		}, Aborted, "fault a did not end", true, "inject b"},
		"its lease is lost meanwhile": {func(l *lab) {
			time.AfterFunc(12*time.Second, func() { l.world.fail(&l.world.renewErr, errors.New("no such fault")) })
		}, Aborted, "a", false, "inject b"},
		"stopped while it waits": {func(l *lab) { time.AfterFunc(8*time.Second, l.stop) }, Aborted, "STOP", false, "inject b"},
		"a region falls ill": {func(l *lab) {
			time.AfterFunc(12*time.Second, func() { l.world.crash("us-west-1"); l.world.crash("us-west-2"); l.world.crash("us-east-2") })
			l.Scenario.Safety.KeepHealthyRegions = 1
		}, Aborted, "fault b was not injected: 0 regions would stay healthy", false, "inject b"},
		"the balancer gives a region up": {func(l *lab) {
			l.Scenario.Safety.KeepHealthyRegions = 2
			l.Scenario.Steps[0].Hold, l.Scenario.Steps[1].Hold = "1s", "1s"
			l.Health = func(context.Context) (map[probes.Plane]map[string]bool, error) {
				ill := time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) > 6*time.Second
				return map[probes.Plane]map[string]bool{probes.DataPlane: {"us-west-1": !ill, "us-west-2": !ill}}, nil
			}
		}, Aborted, "safety.keepHealthyRegions demands 2", false, "inject b"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.compose(long, scenarios.Step{ID: "b", Fault: "kill", Target: "us-east-1", After: "a", When: "1s"})
				test.arrange(l)
				r, err := l.run(t, t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if r.Verdict != test.verdict || !strings.Contains(r.Reason, test.reason) || r.Clean == test.dirty {
					t.Errorf("%s, clean %v: %s (%v)", r.Verdict, r.Clean, r.Reason, r.Findings)
				}
				if slices.Contains(l.world.calls, test.never) {
					t.Errorf("calls %v", l.world.calls)
				}
				if test.dirty {
					if _, err := l.Run(t.Context()); !errors.Is(err, ErrRefused) {
						t.Errorf("the next drill: %v", err)
					}
				}
			})
		})
	}
}

// TestUnsupportedIsRefusedEarly shows that a kind which the fleet does not have is refused by name before anything is measured,
// whichever step it is in.
func TestUnsupportedIsRefusedEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.compose(kill("a", "us-east-1", "1s"), scenarios.Step{ID: "b", Fault: "pause", Target: "us-east-2", After: "a", Hold: "1s"})
		l.world.unsupported = "pause"
		r, err := l.run(t, t.Context())
		if !errors.Is(err, ErrRefused) || !errors.Is(err, fleet.ErrUnsupported) || !strings.Contains(err.Error(), "fault b: pause") {
			t.Errorf("got %v", err)
		}
		if got := phases(r); slices.Contains(got, Baseline) || len(l.world.calls) > 0 {
			t.Errorf("phases %v, calls %v", got, l.world.calls)
		}
	})
}

// TestPlanOfAPickCanBeRepeated shows that a seed is drawn and kept where there is none.
func TestPlanOfAPickCanBeRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.compose(kill("a", "data", "1s"))
		l.Scenario.Targets["data"] = scenarios.Target{Select: fleet.Selector{Role: fleet.Data}, Pick: scenarios.Pick{Count: 1}}
		r, err := l.run(t, t.Context())
		if err != nil {
			t.Fatal(err)
		}
		plan, err := os.ReadFile(filepath.Join(r.Evidence, PlanFile))
		if err != nil {
			t.Fatal(err)
		}
		s, err := scenarios.Parse("again.yaml", plan)
		if err != nil || s.Targets["data"].Pick.Seed == 0 || !strings.Contains(string(plan), "# a: kill "+r.Faults[0].Targets[0]) {
			t.Errorf("%v\n%s", err, plan)
		}
		again, err := s.Plan(l.world.instances)
		if err != nil || !slices.Equal(again.Injections[0].Targets, r.Faults[0].Targets) {
			t.Errorf("again %+v, %v; first %v", again, err, r.Faults[0].Targets)
		}
	})
}
