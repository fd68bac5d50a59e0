package drills

import (
	"context"
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
)

// outageAt is when a gateway is down, since the watch began.
type outageAt struct{ from, to time.Duration }

// newWatch watches a gateway in memory, which is down as told, beside a control target that is always up.
func newWatch(t *testing.T, down ...outageAt) *Watch {
	t.Helper()
	began := time.Now()
	w := &Watch{Evidence: t.TempDir(), Tool: "test", Plan: WatchPlan{
		Targets: []WatchTarget{{URL: "http://gateway/", Expect: 200}, {URL: "http://control/", Expect: 200}}, Baseline: 2 * time.Second, Stable: time.Second}}
	up := func() (fleet.Instance, bool) {
		now := time.Since(began)
		return fleet.Instance{}, !slices.ContainsFunc(down, func(o outageAt) bool { return now >= o.from && now < o.to })
	}
	always := func() (fleet.Instance, bool) { return fleet.Instance{}, true }
	for i, serve := range []func() (fleet.Instance, bool){up, always} {
		s := probes.Series{Name: []string{"gateway fresh", "control"}[i], Plane: probes.DataPlane, Interval: 20 * time.Millisecond, Timeout: time.Second, Control: i == 1}
		w.Plan.Series = append(w.Plan.Series, WatchSeries{Series: s, Target: i, Fresh: true})
		w.Probes = append(w.Probes, Probe{Series: s, Run: probe(s, serve)})
	}
	return w
}

// watch runs it, and checks what holds for every watch: what was recorded gives the same result again.
func watch(t *testing.T, ctx context.Context, w *Watch) *WatchResult {
	t.Helper()
	result, err := w.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	facts, err := ReadWatch(result.Evidence)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(result, JudgeWatch(facts)); diff != "" {
		t.Errorf("judged again: %s", diff)
	}
	if !IsWatch(result.Evidence) {
		t.Error("not known for a watch")
	}
	if watches, err := Watches(w.Evidence); err != nil || !slices.Equal(watches, []string{result.ID}) {
		t.Errorf("watches: %v, %v; want %s", watches, err, result.ID)
	}
	if runs, err := Runs(w.Evidence); err != nil || len(runs) != 0 {
		t.Errorf("runs of drills: %v, %v; a watch is none", runs, err)
	}
	return result
}

const sec = time.Second

func TestWatchMeasuresOutagesOfOthers(t *testing.T) {
	for name, c := range map[string]struct {
		down    []outageAt
		length  time.Duration
		rto     time.Duration
		slo     float64
		mark    time.Duration
		verdict Verdict
		reason  string
	}{
		"no promise":       {down: []outageAt{{3 * sec, 4 * sec}}, length: 7 * sec, reason: "the longest outage took 9"},
		"nothing happens":  {length: 5 * sec, reason: "no outage seen; one of up to 40ms"},
		"still down":       {down: []outageAt{{3 * sec, 9 * sec}}, length: 7 * sec, reason: "down, or not shown to be up"},
		"in time":          {down: []outageAt{{3 * sec, 4 * sec}}, length: 7 * sec, rto: 2 * sec, verdict: Pass},
		"too long":         {down: []outageAt{{3 * sec, 5 * sec}, {7 * sec, 7500 * time.Millisecond}}, length: 10 * sec, rto: sec, verdict: Fail, reason: "rto (1.9"},
		"on the edge":      {down: []outageAt{{3 * sec, 4 * sec}}, length: 7 * sec, rto: sec, verdict: Inconclusive, reason: "not decided"},
		"lasts too long":   {down: []outageAt{{3 * sec, 9 * sec}}, length: 7 * sec, rto: sec, verdict: Fail, reason: "not over at the end"},
		"may still end":    {down: []outageAt{{6 * sec, 9 * sec}}, length: 7 * sec, rto: 3 * sec, verdict: Inconclusive},
		"none, promised":   {length: 5 * sec, rto: sec, verdict: Pass},
		"too coarse":       {length: 5 * sec, rto: 200 * time.Millisecond, verdict: Inconclusive, reason: "resolution"},
		"down at first":    {down: []outageAt{{0, 3 * sec}}, length: 7 * sec, rto: 5 * sec, verdict: Inconclusive, reason: "baseline"},
		"never good":       {down: []outageAt{{0, 9 * sec}}, length: 7 * sec, verdict: Inconclusive, reason: "had not one good answer: check the URL"},
		"never as said":    {down: []outageAt{{0, 9 * sec}}, length: 7 * sec, rto: sec, slo: 0.9, verdict: Inconclusive, reason: "had not one good"},
		"marked":           {down: []outageAt{{3500 * time.Millisecond, 4 * sec}}, length: 7 * sec, mark: 3 * sec, rto: 2 * sec, verdict: Pass},
		"marked, too slow": {down: []outageAt{{3500 * time.Millisecond, 4 * sec}}, length: 7 * sec, mark: 3 * sec, rto: 600 * time.Millisecond, verdict: Fail, reason: "rto (1s"},
		"marked, no fault": {length: 7 * sec, mark: 3 * sec, rto: 2 * sec, verdict: Inconclusive, reason: "no attempt was affected"},
		"marked, lasting":  {down: []outageAt{{3 * sec, 9 * sec}}, length: 7 * sec, mark: 3 * sec, rto: 2 * sec, verdict: Fail, reason: "not recovered"},
		"within the SLO":   {down: []outageAt{{3 * sec, 4 * sec}}, length: 10 * sec, slo: 0.8, verdict: Pass},
		"SLO missed":       {down: []outageAt{{3 * sec, 4 * sec}}, length: 10 * sec, slo: 0.95, verdict: Fail, reason: "slo (9"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWatch(t, c.down...)
				w.Plan.For, w.Plan.RTO, w.Plan.SLO = c.length, c.rto, c.slo
				if c.mark > 0 {
					marks := make(chan time.Time, 1)
					w.Marks = marks
					time.AfterFunc(c.mark, func() { marks <- time.Now() })
				}
				r := watch(t, t.Context(), w)
				if r.Verdict != c.verdict || !strings.Contains(r.Reason, c.reason) {
					t.Errorf("%q: %s; want %q: %s", r.Verdict, r.Reason, c.verdict, c.reason)
				}
				if r.Verdict == Inconclusive && len(r.Findings) > 0 && len(withVerdict(r.Objectives, Fail)) > 0 {
					t.Errorf("%+v: missed by what cannot be trusted", r.Objectives)
				}
				checkBrackets(t, r, c.down, c.length)
			})
		})
	}
}

// checkBrackets wants every outage that was over in time, and its true length within its bracket.
func checkBrackets(t *testing.T, r *WatchResult, down []outageAt, length time.Duration) {
	t.Helper()
	outages := r.Series[0].Outages
	if len(outages) != len(down) || len(r.Series[1].Outages) > 0 {
		t.Fatalf("%d outages, want %d", len(outages), len(down))
	}
	for i, o := range outages {
		truth := (down[i].to - down[i].from).Seconds()
		if lasts := down[i].to > length; lasts != o.Lasting || !lasts && (truth < o.LowS || truth > o.HighS) {
			t.Errorf("outage of %vs: %+v", truth, o)
		}
	}
}

// TestAMarkedWatchHasAnRTA counts from the mark, half a second before anything is seen.
func TestAMarkedWatchHasAnRTA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t, outageAt{3500 * time.Millisecond, 4 * sec})
		marks := make(chan time.Time, 2)
		w.Marks, w.Plan.For = marks, 7*sec
		for _, at := range []time.Duration{3 * sec, 6 * sec} { // the first counts
			time.AfterFunc(at, func() { marks <- time.Now() })
		}
		r := watch(t, t.Context(), w)
		if r.RTA == nil || r.RTA.LowS > 1 || r.RTA.HighS < 1 || r.RTA.HighS > 1.05 || r.Mark == nil || !r.Mark.Equal(r.Started.Add(3*sec)) {
			t.Errorf("mark %v, RTA %+v; want about 1s", r.Mark, r.RTA)
		}
	})
}

func TestAnInterruptedWatchEndsCleanly(t *testing.T) {
	for name, c := range map[string]struct {
		length      time.Duration // that was asked for
		rto         time.Duration
		interrupted bool
		verdict     Verdict
	}{
		"whenever they like": {0, 0, false, ""},
		"judged so far":      {0, 2 * sec, false, Pass},
		"too early":          {time.Minute, 2 * sec, true, Aborted},
		"missed already":     {time.Minute, 500 * time.Millisecond, true, Fail},
		"too early, unasked": {time.Minute, 0, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 7*sec)
				defer cancel()
				w := newWatch(t, outageAt{3 * sec, 4 * sec})
				w.Plan.For, w.Plan.RTO = c.length, c.rto
				if c.rto > 0 {
					w.Plan.SLO = 0.5
				}
				r := watch(t, ctx, w)
				if r.Verdict != c.verdict || r.Interrupted != c.interrupted || len(r.Series[0].Outages) != 1 {
					t.Errorf("%q, interrupted %v: %s", r.Verdict, r.Interrupted, r.Reason)
				}
				if len(r.Objectives) > 0 && r.Objectives[0].Verdict != c.verdict {
					t.Errorf("%+v of what is %s", r.Objectives[0], r.Verdict)
				}
				if ids := withVerdict(r.Objectives, Pass); len(ids) > 0 && r.Interrupted {
					t.Errorf("interrupted, and yet these pass: %v", ids)
				}
			})
		})
	}
}

// TestAWatchCountsAttempts looks at what the result says beside outages.
func TestAWatchCountsAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t, outageAt{3 * sec, 4 * sec})
		w.Plan.For = 6 * sec
		s := watch(t, t.Context(), w).Series[0]
		if n := s.Classes["fail:refused"]; n != 50 || s.Requests.Failed != n || s.UnavailableS != 1 || s.Requests.OK != s.Classes["ok"] {
			t.Errorf("%+v, want 50 refused attempts, which are 1s", s)
		}
		if s.Latency.P50S < 0.001 || s.Latency.P999S > 0.002 || s.Availability < 0.8 || s.Availability > 0.85 {
			t.Errorf("%+v, want a latency of 1ms and five sixths available", s)
		}
	})
}

// TestAKilledWatchIsJudgedAsFarAsItGoes cuts the end off what was recorded, as a kill does.
func TestAKilledWatchIsJudgedAsFarAsItGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t, outageAt{3 * sec, 4 * sec})
		w.Plan.For, w.Plan.RTO = 8*sec, 2*sec
		dir := watch(t, t.Context(), w).Evidence
		journal, err := os.ReadFile(filepath.Join(dir, JournalFile))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.SplitAfter(string(journal), "\n")
		cut := strings.Join(lines[:3], "") + `{"seq":4`
		samples := filepath.Join(dir, SamplesFile)
		info, err := os.Stat(samples)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, JournalFile), []byte(cut), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(samples, info.Size()-10); err != nil {
			t.Fatal(err)
		}
		facts, err := ReadWatch(dir)
		if err != nil {
			t.Fatal(err)
		}
		r := JudgeWatch(facts)
		if r.Verdict != Errored || !strings.Contains(r.Reason, "killed") || len(r.Series[0].Outages) != 1 || r.ObservedS < 6 {
			t.Errorf("%q after %vs: %s, %+v", r.Verdict, r.ObservedS, r.Reason, r.Series[0].Outages)
		}
		if o := r.Objectives[0]; o.Verdict != Errored {
			t.Errorf("%+v of a watch that was killed", o)
		}
	})
}

// TestAWatchEndsWhenItCannotWrite takes the file of the samples away, as a full disk would.
func TestAWatchEndsWhenItCannotWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t)
		v, err := w.begin(time.Now())
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(3*sec, func() { v.samples.Close() })
		began := time.Now()
		v.measure(t.Context())
		if err := v.end(t.Context()); err == nil || time.Since(began) > 4*sec {
			t.Errorf("%v after %s; want an error soon after 3s", err, time.Since(began))
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("said more than once: %v", err)
		}
		v.screens.close()
	})
}

// TestAWatchTellsItsScreens wants the outage on show while it lasts, after that, and when it is over.
func TestAWatchTellsItsScreens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatch(t, outageAt{3 * sec, 4 * sec})
		w.Plan.For = 7 * sec
		var seen []string
		say := func(text string) {
			if !slices.Contains(seen, text) {
				seen = append(seen, text)
			}
		}
		w.Events = func(e WatchEvent) {
			if e.Armed {
				say("armed")
			}
			if len(e.Courses) == 0 || len(e.Courses[0].Outages) == 0 {
				return
			}
			switch _, lasts := e.Courses[0].Lasts(); {
			case !lasts:
				say("over")
			case e.Courses[0].Back > 0:
				say("back")
			default:
				say("down")
			}
		}
		watch(t, t.Context(), w)
		if diff := cmp.Diff([]string{"armed", "down", "back", "over"}, seen); diff != "" {
			t.Error(diff)
		}
	})
}
