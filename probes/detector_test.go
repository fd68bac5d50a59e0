package probes

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// replay gives the samples to the detector as they end, and calls each before every step of 10 ms of time.
func replay(d *Detector, samples []Sample, end time.Duration, each func(now time.Duration)) {
	samples = slices.SortedStableFunc(slices.Values(samples), func(a, b Sample) int { return cmp.Compare(a.Done, b.Done) })
	for now := time.Duration(0); now <= end; now += 10 * ms {
		for len(samples) > 0 && samples[0].Done <= now {
			d.Add(samples[0])
			samples = samples[1:]
		}
		each(now)
	}
}

func TestDetectorAgreesWithTheEstimator(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		inject := w.rng("inject", 500*ms, time.Second)
		up := inject + w.rng("length", w.sureToSee(), 3*time.Second)
		w.outages, w.end = []interval{{inject, up}}, up+2*stable
		samples := w.samples()
		want := EstimateOutage(w.series, samples, w.window(inject)).RTA

		d := NewDetector(stable, time.Second, w.series)
		d.SetLimits(map[string]time.Duration{w.series.Name: w.limit})
		var down, recovered time.Duration
		replay(d, samples, w.end, func(now time.Duration) {
			if down == 0 && d.Down(now) {
				down = now
			}
			if recovered == 0 && d.RecoveredSince(inject, now) {
				recovered = now
			}
		})
		if latest := inject + 4*w.series.Interval + 3*w.limit + 10*ms; down < inject || down > latest {
			t.Errorf("down at %v, want in [%v, %v]", down, inject, latest)
		}
		if recovered < want.StableAt || recovered > want.StableAt+w.limit+w.series.Interval+10*ms {
			t.Errorf("recovered at %v, want soon after %v", recovered, want.StableAt)
		}
	})
}

func TestASeriesThatHasEndedIsNotMissed(t *testing.T) {
	w := world{series: orders, how: blackHole, limit: limit}
	d := NewDetector(stable, time.Second, orders)
	d.SetLimits(map[string]time.Duration{"orders": limit})
	for seq := range int64(50) {
		d.Add(w.attempt(seq, time.Duration(seq)*tick, 0, ms))
	}
	now := 50*tick + 10*time.Second
	if !d.Down(now) {
		t.Error("not down, though it has had no attempts for ten seconds")
	}
	d.End("orders", 50*tick)
	if d.Down(now) {
		t.Error("down, though it had all attempts that it was to have")
	}
}

func TestHungAttemptsAreSeenBeforeTheyEnd(t *testing.T) {
	w := world{series: orders, how: blackHole, limit: limit, outages: []interval{{time.Second, 5 * time.Second}}}
	d := NewDetector(stable, time.Second, orders)
	d.SetLimits(map[string]time.Duration{"orders": limit})
	for seq := range int64(50) {
		d.Add(w.attempt(seq, time.Duration(seq)*tick, 0, ms))
	}
	if d.Down(time.Second + limit) {
		t.Error("down before any attempt was late")
	}
	now := time.Second + 2*tick + limit + ms
	s := d.Status(now)
	if !s[0].Down || s[0].Since != time.Second {
		t.Errorf("%+v, want down since 1s", s[0])
	}
}

func TestDetectorLooksAtEverySeriesButControlTargets(t *testing.T) {
	control, admin := orders, orders
	control.Name, control.Control = "control", true
	admin.Name, admin.Plane = AdminSeries, ControlPlane
	d := NewDetector(time.Second, time.Second, orders, control, admin)
	feed := func(name, steps string) {
		for _, s := range script(steps) {
			s.Series = name
			d.Add(s)
		}
	}
	now := 199*tick + 2*ms
	feed("orders", "9.9.2.")
	feed("control", "9.9.2x")
	feed("stranger", "9x")
	if d.Down(now) || d.RecoveredSince(0, now) {
		t.Error("want neither down nor recovered: one series has no attempts yet")
	}
	feed(AdminSeries, "9.9.2.")
	if d.Down(now) || !d.RecoveredSince(0, now) {
		t.Error("want recovered")
	}
	if d.RecoveredSince(3500*ms, now) {
		t.Error("recovered, though the stability window began before the fault")
	}
	if d.BaselineHolds(now) {
		t.Error("the baseline holds, though the control target is down")
	}
}

func TestBaselineHoldsOnceItIsLongEnoughAndClean(t *testing.T) {
	d := NewDetector(time.Second, 2*time.Second, orders)
	var first time.Duration
	replay(d, script("5.x9.9."), 5*time.Second, func(now time.Duration) {
		if first == 0 && d.BaselineHolds(now) {
			first = now
		}
	})
	// Sample 50 is affected, due at 1 s; the first window of 2 s without it ends with sample 150, due at 3 s.
	if first < 3*time.Second || first > 3*time.Second+tick {
		t.Errorf("baseline holds at %v, want 3s", first)
	}
}

func TestBaselineForgivesFewAttemptsThatWereNotMade(t *testing.T) {
	for steps, want := range map[string]bool{"9.9.1.?9.": true, "9.9.1.??9.": true, "9.9.???9.": false} {
		d := NewDetector(time.Second, 4*time.Second, orders) // 200 attempts
		holds := false
		replay(d, script(steps), 6*time.Second, func(now time.Duration) { holds = d.BaselineHolds(now) })
		if holds != want {
			t.Errorf("%s: the baseline holds: %v", steps, holds)
		}
	}
}
