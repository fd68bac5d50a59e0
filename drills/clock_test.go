package drills

import (
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// beforeStep returns the instant t as it would have been read if the wall clock had been set forward by step after it: same
// monotonic reading, other wall clock. It knows the layout of time.Time, and fails if that is another.
func beforeStep(t *testing.T, at time.Time, step time.Duration) time.Time {
	t.Helper()
	const secondsShift = 30
	set := at
	wall := (*uint64)(unsafe.Pointer(&set))
	*wall -= uint64(int64(step/time.Second)) << secondsShift
	if set.Sub(at) != 0 || at.Round(0).Sub(set.Round(0)) != step {
		t.Fatalf("%v is not %v as read before the clock was set by %v", set, at, step)
	}
	return set
}

// TestAClockThatIsSetMakesAWatchInconclusive sets the wall clock while it lasts: no duration changes, and nothing passes.
func TestAClockThatIsSetMakesAWatchInconclusive(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour} {
		w := newWatch(t)
		w.Plan.Baseline, w.Plan.For, w.Plan.RTO = 100*time.Millisecond, 500*time.Millisecond, 30*sec
		v, err := w.begin(beforeStep(t, time.Now(), step))
		if err != nil {
			t.Fatal(err)
		}
		v.measure(t.Context())
		err = v.end(t.Context())
		v.screens.close()
		if err != nil {
			t.Fatal(err)
		}
		facts, err := ReadWatch(v.dir)
		if err != nil {
			t.Fatal(err)
		}
		r := JudgeWatch(facts)
		drifted := func(f string) bool { return strings.HasPrefix(f, "drift: ") }
		if (facts.Drift+step).Abs() > sec || r.Verdict != Inconclusive || !slices.ContainsFunc(r.Findings, drifted) {
			t.Errorf("set by %v: drift %v, %s: %s", step, facts.Drift, r.Verdict, r.Reason)
		}
		if r.ObservedS <= 0 || r.ObservedS > 60 {
			t.Errorf("set by %v: observed for %v s", step, r.ObservedS)
		}
	}
}

func TestADrillSeesThatTheClockWasSet(t *testing.T) {
	for _, step := range []time.Duration{time.Hour, -time.Hour, 0} {
		d := &drill{record: &record{t0: beforeStep(t, time.Now(), step)}}
		if drift := d.drift() + step; drift.Abs() > sec {
			t.Errorf("set by %v: drift %v, want %v", step, drift-step, -step)
		}
	}
}
