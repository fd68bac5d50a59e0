package probes

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestCoursesAgreeWithTheEstimator: once all attempts have ended, the running measurement knows the same outages.
func TestCoursesAgreeWithTheEstimator(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		down := w.rng("down", 500*ms, time.Second)
		up := down + w.rng("length", w.sureToSee(), 3*time.Second)
		w.outages, w.end = []interval{{down, up}}, up+2*stable
		samples := w.samples()
		d := NewDetector(stable, time.Second, w.series)
		d.SetLimits(map[string]time.Duration{w.series.Name: w.limit})
		lasted, back := false, false
		replay(d, samples, w.end+w.series.Timeout, func(now time.Duration) {
			c := d.Courses(now)[0]
			_, lasts := c.Lasts()
			lasted, back = lasted || lasts, back || c.Back > 0
		})
		c := d.Courses(w.end)[0]
		want := EstimateOutage(w.series, samples, Window{Inject: w.end, Stable: stable, Limit: w.limit}).Outages
		if diff := cmp.Diff(want, c.Outages); diff != "" || !lasted || !back {
			t.Errorf("lasted %v, back %v, %s", lasted, back, diff)
		}
	})
}
