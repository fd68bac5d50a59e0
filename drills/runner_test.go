package drills

import (
	"context"
	"errors"
	"log/slog"
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

// fakeGuard is a guard that is there until it is ended.
type fakeGuard struct {
	gone     chan struct{}
	released bool
	left     bool
	release  func() // what happens then; optional
}

func (g *fakeGuard) Beat() error           { return nil }
func (g *fakeGuard) Gone() <-chan struct{} { return g.gone }
func (g *fakeGuard) Abandon() error        { g.left = true; return nil }

func (g *fakeGuard) Release() error {
	if g.released = true; g.release != nil {
		g.release()
	}
	return nil
}

// lab is a runner of region-loss on a world.
type lab struct {
	*Runner
	*Site
	world *world
	guard *fakeGuard
}

func newLab(t *testing.T) *lab {
	t.Helper()
	s, err := scenarios.Load("region-loss")
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{world: newWorld(), guard: &fakeGuard{gone: make(chan struct{})}}
	l.Site = &Site{
		Fleet: l.world, Probes: l.world.probes(), Admin: l.world,
		Recovery: Recovery{Promote: l.world.promote, Leader: l.world.leading},
		Backup: func(context.Context, time.Duration) (Backup, error) {
			return Backup{Point: "p1", Time: time.Now(), Locations: []string{"local", "nas"}}, nil
		},
		Guard: func(context.Context, string, time.Duration) (Guard, error) { return l.guard, nil },
	}
	l.Runner = &Runner{
		Scenario: s, Open: func(context.Context) (*Site, error) { return l.Site, nil },
		Evidence: t.TempDir(), Tool: "test", Log: slog.New(slog.DiscardHandler),
	}
	return l
}

// run runs the drill and checks what holds for every drill: the journal verifies, and the facts give the same result.
func (l *lab) run(t *testing.T, ctx context.Context) (*Result, error) {
	t.Helper()
	result, err := l.Run(ctx)
	if result == nil {
		return nil, err
	}
	facts, scenario, readErr := ReadFacts(result.Evidence)
	if readErr != nil {
		t.Fatal(readErr)
	}
	if diff := cmp.Diff(result, Judge(scenario, facts)); diff != "" {
		t.Errorf("judged again, the result differs (-first +again):\n%s", diff)
	}
	if _, mine := l.world.faults["power-cut"]; result.Clean && mine {
		t.Errorf("clean, but in effect: %v", l.world.faults)
	}
	return result, err
}

// on calls do when the drill enters the phase.
func (l *lab) on(p Phase, do func()) {
	before := l.Events
	l.Events = func(e Event) {
		if before != nil {
			before(e)
		}
		if e.Phase != nil && e.Phase.Phase == p {
			do()
		}
	}
}

func phases(r *Result) []Phase {
	var all []Phase
	for _, e := range r.Timeline {
		all = append(all, e.Phase)
	}
	return all
}

func TestRunPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		r, err := l.run(t, t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r.Verdict != Pass || !r.Clean {
			t.Errorf("verdict %s, clean %v: %s %v", r.Verdict, r.Clean, r.Reason, r.Findings)
		}
		want := []Phase{Planned, Validated, Preflight, Announced, Baseline, Armed, Injecting, Observing, Recovering, Observing,
			Recovered, Sustain, Reverting, Settling, Failback, Reconciling, Clean}
		if diff := cmp.Diff(want, phases(r)); diff != "" {
			t.Errorf("phases (-want +got):\n%s", diff)
		}
		if rta := r.RTA["data"]; rta.HighS < 0.1 || rta.HighS > 0.15 || rta.Impact != "outage" {
			t.Errorf("data RTA %+v, want about 0.12 s", rta)
		}
		if rta := r.RTA["control"]; rta.HighS < 0.04 || rta.HighS > 0.5 {
			t.Errorf("control RTA %+v, want from 0.04 s to 0.5 s", rta)
		}
		if r.RPA.Lost+r.RPA.Stale == 0 || r.RPA.HighS > 0.2 || r.RPA.Resurrected != 0 {
			t.Errorf("RPA %+v, want the changes of the last 30 ms", r.RPA)
		}
		if diff := cmp.Diff([]string{"inject power-cut", "promote us-west", "revert power-cut", "promote us-east"}, l.world.calls); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		if len(r.Faults) != 1 || !r.Faults[0].Verified || r.Faults[0].Injected == nil || r.Faults[0].Reverted == nil {
			t.Errorf("faults %+v", r.Faults)
		}
		if !l.guard.released {
			t.Error("guard was not released")
		}
	})
}

// TestRunEnds drives a drill into every other end.
func TestRunEnds(t *testing.T) {
	for name, test := range map[string]struct {
		arrange func(l *lab)
		verdict Verdict
		reason  string
		dirty   bool
	}{
		"inject fails": {func(l *lab) { l.world.injectErr = errors.New("no permission") }, Errored, "no permission", false},
		"verify fails": {func(l *lab) { l.world.verifyErr = errors.New("it still answers") }, Inconclusive, "it still answers", false},
		"revert fails": {func(l *lab) { l.world.revertErr = func(int) error { return errors.New("stuck") } }, Inconclusive, "us-east after the revert", true},
		"revert fails three times": {func(l *lab) {
			l.world.revertErr = func(n int) error { return map[bool]error{true: errors.New("busy")}[n <= 3] }
		}, Pass, "", false},
		"guardrail": {func(l *lab) {
			l.on(Injecting, func() { l.world.crash("us-west-1") })
		}, Aborted, "guardrail survivor", false},
		"drill too long": {func(l *lab) {
			l.world.noFailover = true
			l.Scenario.Guardrails[1].Drill.GT = scenarios.Duration(10 * time.Second)
		}, Aborted, "guardrail time", false},
		"deadline":   {func(l *lab) { l.world.noFailover = true }, Fail, "rto", false},
		"stop file":  {func(l *lab) { l.on(Observing, func() { l.stop() }) }, Aborted, "STOP", false},
		"guard dies": {func(l *lab) { l.on(Observing, func() { close(l.guard.gone) }) }, Aborted, "guard", false},
		"lease lost": {func(l *lab) {
			l.world.noFailover = true
			l.world.renewErr = errors.New("no such fault")
		}, Aborted, "lease", false},
		"lease runs out after the recovery": {func(l *lab) {
			l.on(Sustain, func() { l.world.fail(&l.world.renewErr, errors.New("no such fault")) })
		}, Aborted, "power-cut", false},
		"never detected": {func(l *lab) {
			l.Scenario.Steps[0].Target = "victim"
			l.Scenario.Targets["victim"] = scenarios.Target{Select: fleet.Selector{Instance: "us-east-2"}}
		}, Inconclusive, "no outage was detected that step promote waits for", false},
		"promotion fails": {func(l *lab) {
			l.Recovery.Promote = func(context.Context, string) error { return errors.New("no quorum") }
		}, Fail, "rto-admin", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				test.arrange(l)
				r, err := l.run(t, t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if r.Verdict != test.verdict || !strings.Contains(r.Reason, test.reason) {
					t.Errorf("%s: %s; want %s: %s (%v)", r.Verdict, r.Reason, test.verdict, test.reason, r.Findings)
				}
				if r.Clean == test.dirty || l.guard.left != test.dirty || l.guard.released == test.dirty {
					t.Errorf("clean %v, guard released %v, left %v", r.Clean, l.guard.released, l.guard.left)
				}
				if !slices.Contains(l.world.calls, "revert power-cut") {
					t.Errorf("not reverted: %v", l.world.calls)
				}
			})
		})
	}
}

func (l *lab) stop() {
	if err := os.WriteFile(filepath.Join(l.Evidence, stopFile), nil, 0o600); err != nil {
		panic(err)
	}
}

// TestLeaseThatWasNeverRenewed: the injection may take long, its lease lasts no longer than it says. A drill whose faults nobody
// renews ends soon after that, not after the patience of an injection.
func TestLeaseThatWasNeverRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.world.noFailover = true
		l.world.renewErr = errors.New("links do not answer")
		var ended time.Duration
		l.on(Aborting, func() { ended = time.Since(l.world.killed) }) // nothing is injected any more
		r, err := l.run(t, t.Context())
		if lease := l.Scenario.Safety.Lease.D(); err != nil || r.Verdict != Aborted || ended == 0 || ended > 2*lease {
			t.Errorf("%s: %s, %v: aborted after %s, the lease is %s", r.Verdict, r.Reason, err, ended, lease)
		}
	})
}

// TestRunInterrupted cancels a drill in every phase.
func TestRunInterrupted(t *testing.T) {
	for phase, injected := range map[Phase]bool{
		Planned: false, Validated: false, Preflight: false, Announced: false, Baseline: false,
		Injecting: true, Observing: true, Recovering: true, Recovered: true, Sustain: true,
	} {
		t.Run(string(phase), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				ctx, cancel := context.WithCancel(t.Context())
				l.on(phase, cancel)
				r, err := l.run(t, ctx)
				if r.Verdict != Aborted || !r.Clean {
					t.Errorf("%s, clean %v: %s", r.Verdict, r.Clean, r.Reason)
				}
				if !injected && !errors.Is(err, context.Canceled) || injected && err != nil {
					t.Errorf("error %v", err)
				}
				if reverted := slices.Contains(l.world.calls, "revert power-cut"); reverted != slices.Contains(l.world.calls, "inject power-cut") {
					t.Errorf("calls %v", l.world.calls)
				}
			})
		})
	}
	for _, phase := range []Phase{Reverting, Settling, Reconciling, Clean} {
		t.Run(string(phase), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				ctx, cancel := context.WithCancel(t.Context())
				l.on(phase, cancel)
				if r, err := l.run(t, ctx); r.Verdict != Pass || !r.Clean || err != nil {
					t.Errorf("an interruption after the measurement changed it: %s: %s (%v)", r.Verdict, r.Reason, err)
				}
			})
		})
	}
}

// TestRunRefused shows that nothing is injected when the drill is not ready.
func TestRunRefused(t *testing.T) {
	for name, test := range map[string]struct {
		arrange func(l *lab)
		text    string
	}{
		"instance down":   {func(l *lab) { l.world.crash("us-west-2") }, "us-west-2 is not running"},
		"regions differ":  {func(l *lab) { l.world.stores["us-west"]["route/x"] = stored{} }, "differ"},
		"fault in effect": {func(l *lab) { l.world.faults["old"] = fleet.Undo{} }, "old"},
		"one backup": {func(l *lab) {
			l.Backup = func(context.Context, time.Duration) (Backup, error) { return Backup{Locations: []string{"local"}}, nil }
		}, "1 locations"},
		"no backup": {func(l *lab) {
			l.Backup = func(context.Context, time.Duration) (Backup, error) { return Backup{}, errors.New("disk full") }
		}, "disk full"},
		"too many targets":  {func(l *lab) { l.Scenario.Safety.MaxTargets = 2 }, "maxTargets"},
		"no healthy region": {func(l *lab) { l.Scenario.Safety.KeepHealthyRegions = 2 }, "keepHealthyRegions"},
		"not steady": {func(l *lab) {
			l.Probes[0].Run = probe(l.Probes[0].Series, func() (fleet.Instance, bool) { return fleet.Instance{}, time.Now().UnixMilli()%7 > 0 })
		}, "steady state"},
		"stop file":      {func(l *lab) { l.stop() }, "STOP"},
		"stop file late": {func(l *lab) { l.on(Baseline, func() { l.stop() }) }, "STOP"},
		"no guard": {func(l *lab) {
			l.Guard = func(context.Context, string, time.Duration) (Guard, error) { return nil, errors.New("cannot fork") }
		}, "cannot fork"},
		"guardrail without probe": {func(l *lab) { l.Probes = l.Probes[:2] }, "guardrail survivor"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				test.arrange(l)
				r, err := l.run(t, t.Context())
				if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), test.text) {
					t.Errorf("error %v, want one about %q", err, test.text)
				}
				if len(l.world.calls) > 0 {
					t.Errorf("touched: %v", l.world.calls)
				}
				if want := map[bool]Verdict{true: Aborted, false: Refused}[name == "stop file late"]; r != nil && (r.Verdict != want || !r.Clean) {
					t.Errorf("%s, clean %v", r.Verdict, r.Clean)
				}
			})
		})
	}
}

// TestBaselineExtended shows that people are told, once, why the baseline takes longer.
func TestBaselineExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		began := time.Now()
		serve := l.Probes[0].Run
		l.Probes[0].Run = func(ctx context.Context, t0 time.Time, out func(probes.Sample)) error {
			return serve(ctx, t0, func(s probes.Sample) {
				if since := time.Since(began); since > 3*time.Second && since < 3200*time.Millisecond {
					s.Class = probes.FailReset
				}
				out(s)
			})
		}
		var warnings []string
		l.Events = func(e Event) {
			if e.Warning != "" {
				warnings = append(warnings, e.Warning)
			}
		}
		r, err := l.run(t, t.Context())
		if err != nil || r.Verdict != Pass {
			t.Fatalf("%s: %s, %v", r.Verdict, r.Reason, err)
		}
		if len(warnings) != 1 || !strings.Contains(warnings[0], "baseline not steady yet: ") ||
			!strings.Contains(warnings[0], " was fail:reset; waiting, at most ") {
			t.Errorf("warnings %q", warnings)
		}
	})
}

// TestDirtyBlocks shows that a run which left a fault behind blocks every further one until it is reverted.
func TestDirtyBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.world.revertErr = func(int) error { return errors.New("stuck") }
		first, err := l.run(t, t.Context())
		if err != nil || first.Clean {
			t.Fatalf("clean %v, error %v", first.Clean, err)
		}
		orphan := (*OrphanError)(nil)
		if _, err := l.Run(t.Context()); !errors.Is(err, ErrRefused) || !errors.As(err, &orphan) || orphan.Orphan.ID != first.ID {
			t.Fatalf("second run: %v", err)
		}
		reports := 0
		report := func(dir string, r *Result) error {
			if reports++; dir != first.Evidence || r.ID != first.ID || r.RunNo != 1 {
				t.Errorf("report of %+v in %s", r, dir)
			}
			return os.WriteFile(filepath.Join(dir, ReportFile), []byte(r.ID), 0o600)
		}
		reverter := &Reverter{Log: l.Log, Report: report, Open: func(context.Context, fleet.Undo) (fleet.Fleet, error) { return l.world, nil }}
		if r, err := reverter.Revert(t.Context(), first.Evidence); err == nil || r.Clean {
			t.Errorf("revert of a stuck fault: %+v, %v", r, err)
		}
		l.world.revertErr = nil
		r, err := reverter.Revert(t.Context(), first.Evidence)
		if err != nil || !r.Clean || !slices.Equal(r.Reverted, []string{"power-cut"}) {
			t.Errorf("revert: %+v, %v", r, err)
		}
		if r, err := reverter.Revert(t.Context(), first.Evidence); err != nil || !r.Clean || len(r.Reverted) != 0 {
			t.Errorf("revert again: %+v, %v", r, err)
		}
		if reports == 0 {
			t.Error("the revert left the run without a report")
		}
		l.guard = &fakeGuard{gone: make(chan struct{})}
		l.world.leader = "us-east"
		second, err := l.run(t, t.Context())
		if err != nil || second.Verdict != Pass || second.RunNo != 2 {
			t.Errorf("second run: %+v, %v", second, err)
		}
	})
}

// TestReportInTurn shows that no other drill begins before the report is there, that a run without one gets it from the
// next, and that this names it.
func TestReportInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		first, err := l.run(t, t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var reported []string
		l.Report = func(dir string, r *Result) error {
			reported = append(reported, r.ID)
			if who, err := AtWork(l.Evidence); who == "" || err != nil {
				t.Errorf("%s is reported while another drill may begin: %v", r.ID, err)
			}
			return os.WriteFile(filepath.Join(dir, ReportFile), []byte(r.ID), 0o600)
		}
		l.guard = &fakeGuard{gone: make(chan struct{})}
		l.world.promote(t.Context(), "us-east")
		second, err := l.run(t, t.Context())
		if err != nil || !slices.Equal(reported, []string{first.ID, second.ID}) {
			t.Errorf("reported %v, want %s and %s: %v", reported, first.ID, second.ID, err)
		}
		if want, _ := hashFile(filepath.Join(first.Evidence, ReportFile)); second.Previous != want {
			t.Errorf("second run follows report %q, not %q", second.Previous, want)
		}
	})
}

// TestTwoAtOnce shows that the second drill is refused before it opens anything.
func TestTwoAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, second := newLab(t), newLab(t)
		second.Evidence = l.Evidence
		second.Runner.Open = func(context.Context) (*Site, error) { t.Error("opened"); return nil, errors.New("opened") }
		l.on(Sustain, func() {
			r, err := second.Run(t.Context())
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "another drill (region-loss)") || r != nil {
				t.Errorf("second drill: %v", err)
			}
			if who, err := AtWork(l.Evidence); !strings.HasPrefix(who, "another drill (region-loss) of ") || !strings.Contains(who, " since 2") || err != nil {
				t.Errorf("at work: %q, %v", who, err)
			}
			if left, err := Orphans(l.Evidence); len(left) > 0 || err != nil {
				t.Errorf("a running drill is taken for an orphan: %v, %v", left, err)
			}
		})
		if r, err := l.run(t, t.Context()); err != nil || r.Verdict != Pass {
			t.Errorf("first drill: %v, %v", r, err)
		}
		if who, err := AtWork(l.Evidence); who != "" || err != nil {
			t.Errorf("at work: %q, %v", who, err)
		}
	})
}

// TestSiteFails shows what comes of a site that cannot be opened, and of one that cannot be left.
func TestSiteFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.Runner.Open = func(context.Context) (*Site, error) { return nil, errors.New("port in use") }
		if r, err := l.run(t, t.Context()); err == nil || errors.Is(err, ErrRefused) || r.Verdict != Errored || !r.Clean {
			t.Errorf("not opened: %+v, %v", r, err)
		}
		l.Runner.Open = func(context.Context) (*Site, error) { return l.Site, nil }
		l.Site.Close = func() error { return errors.New("it does not end") }
		if r, err := l.run(t, t.Context()); err == nil || r.Verdict != Pass || r.RunNo != 2 || r.Previous != "" {
			t.Errorf("not left: %+v, %v", r, err)
		}
	})
}

// TestScreensMayHang shows that a screen which never returns does not hold up the drill.
func TestScreensMayHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		hang := make(chan struct{})
		defer close(hang)
		l.Events = func(Event) { <-hang }
		if r, err := l.run(t, t.Context()); err != nil || r.Verdict != Pass {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// TestEvidenceIsChecked changes one byte of each file that the facts are read from.
func TestEvidenceIsChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		r, err := l.run(t, t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{JournalFile, SamplesFile, LedgerFile, ReadbackFile, FinalFile, PlanFile} {
			path := filepath.Join(r.Evidence, name)
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			changed := slices.Clone(whole)
			changed[len(changed)/2] ^= 0xff
			if err := os.WriteFile(path, changed, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, _, err := ReadFacts(r.Evidence); !errors.Is(err, ErrEvidence) {
				t.Errorf("%s: a changed byte gives %v", name, err)
			}
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
}
