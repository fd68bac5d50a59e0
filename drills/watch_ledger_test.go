package drills

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/probes"
)

// newLedgerWatch is a watch with a ledger of the world's leading region.
func newLedgerWatch(t *testing.T, w *world) *Watch {
	t.Helper()
	watch := newWatch(t)
	watch.Admin = w
	watch.Plan.Targets = append(watch.Plan.Targets, WatchTarget{URL: "http://admin/", Expect: 200})
	watch.Plan.Series = append(watch.Plan.Series, WatchSeries{Target: 2, Series: probes.Series{Name: probes.AdminSeries,
		Plane: probes.ControlPlane, Interval: 40 * ms, Timeout: sec}})
	watch.Plan.Ledger = &WatchLedger{Every: 40 * ms, Prefix: "ledger-x-", Settle: 5 * sec, RPO: 3 * sec,
		Kinds: []probes.ChangeKind{probes.RouteChange, probes.SpecChange, probes.KeyChange, probes.RevokeChange}}
	return watch
}

// rollBack puts all regions back to the snapshot.
func (w *world) rollBack(to map[string]stored) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for region := range w.stores {
		w.stores[region] = maps.Clone(to)
	}
}

func (w *world) snapshot() map[string]stored {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.stores[w.leader])
}

// TestWatchLedgerFindsARollback: with the mark nothing is changed any more, and what was acknowledged since the snapshot is lost.
func TestWatchLedgerFindsARollback(t *testing.T) {
	for name, c := range map[string]struct {
		roll    bool
		verdict Verdict
	}{"rolled back": {true, Fail}, "left alone": {false, Pass}} {
		synctest.Test(t, func(t *testing.T) {
			world := newWorld()
			w := newLedgerWatch(t, world)
			w.Plan.Ledger.StopAtMark = true
			marks := make(chan time.Time, 1)
			w.Marks = marks
			ctx, cancel := context.WithTimeout(t.Context(), 12*sec)
			defer cancel()
			time.AfterFunc(6*sec, func() {
				kept := world.snapshot()
				time.AfterFunc(2*sec, func() { marks <- time.Now() })
				time.AfterFunc(3*sec, func() {
					if c.roll {
						world.rollBack(kept)
					}
				})
			})
			r := watch(t, ctx, w)
			l := r.Ledger
			lost := l.Lost + l.Stale + l.Resurrected
			if r.Verdict != c.verdict || l.RPAFrom != "mark" || l.Acked < 195 || l.Acked > 205 {
				t.Errorf("%s: %s (%s) %+v", name, r.Verdict, r.Reason, l)
			}
			if c.roll && (l.HighS < 2 || l.LowS > 2.1 || lost < 30 || len(l.ByRegion) != 2 || l.Resurrected == 0) || !c.roll && lost != 0 {
				t.Errorf("%s: %d lost: %s, RPA %v to %v, %v", name, lost, l.Statement, l.LowS, l.HighS, l.ByRegion)
			}
		})
	}
}

// TestWatchLedgerNamesRegions that cannot be read to the end, after it has waited for them.
func TestWatchLedgerNamesRegions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		world := newWorld()
		w := newLedgerWatch(t, world)
		w.Admin = mute{world, "us-east"}
		w.Plan.For = 6 * sec
		var warnings []string
		w.Events = func(e WatchEvent) {
			if e.Warning != "" {
				warnings = append(warnings, e.Warning)
			}
		}
		began := time.Now()
		r := watch(t, t.Context(), w)
		if want := "not all changes can be read back yet: waiting for up to 5s, then what can be read is what counts"; !slices.Equal(warnings, []string{want}) {
			t.Errorf("told %q, want %q", warnings, want)
		}
		if took := time.Since(began); took < 11*sec || took > 13*sec {
			t.Errorf("waited until %s, want 6s of changes and 5s to settle", took)
		}
		if r.Verdict != Inconclusive || !slices.Equal(r.Ledger.UnreadRegions, []string{"us-east"}) || !strings.Contains(r.Reason, "us-east") {
			t.Errorf("%s: %s, %q", r.Verdict, r.Reason, r.Ledger.UnreadRegions)
		}
		if r.Ledger.RPAFrom != "end" {
			t.Errorf("counted from %s", r.Ledger.RPAFrom)
		}
	})
}

// TestWatchLedgerWithoutMark has a single change that was not acknowledged long before the gateway was rolled back by 2.5 s: that is
// not where the loss may be counted back from, and a change that the ledger did not even send tells nothing.
func TestWatchLedgerWithoutMark(t *testing.T) {
	for name, c := range map[string]struct {
		odd     probes.Entry
		from    string
		verdict Verdict
	}{
		"not sent":  {probes.Entry{Result: probes.Rejected, Error: "not sent: late by 21ms"}, "end", Fail},
		"one error": {probes.Entry{Result: probes.Indeterminate, Error: "503"}, "first-unacknowledged", Inconclusive},
	} {
		_, f := recorded(t)
		c.odd.Change = probes.Change{Seq: 900, Kind: probes.RouteChange, ID: "odd"}
		c.odd.Due, c.odd.Sent, c.odd.Done = 1500*ms, 1510*ms, 1510*ms
		r := JudgeWatch(WatchFacts{Complete: true, Baseline: Span{To: sec}, Ledger: append(f.Ledger[:100:100], c.odd), Final: absent(f.Survivors[:100], 50),
			Plan: WatchPlan{Stable: sec, Ledger: &WatchLedger{RPO: sec}}})
		if o := r.Objectives[0]; r.Ledger.RPAFrom != c.from || o.Verdict != c.verdict || r.Ledger.Lost != 50 {
			t.Errorf("%s: from %s: %+v", name, r.Ledger.RPAFrom, o)
		}
	}
}
