package probes

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

const stable = 2 * time.Second

func (w *world) window(inject time.Duration) Window {
	return Window{Inject: inject, Stable: stable, Limit: w.limit}
}

func TestTruthLiesInTheBracketOfEveryOutage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		from := w.rng("from", 500*ms, time.Second)
		for range rapid.IntRange(1, 3).Draw(t, "outages") {
			o := interval{from, from + w.rng("length", w.sureToSee(), 3*time.Second)}
			w.outages = append(w.outages, o)
			from = o.to + stable + w.sureToSee() + w.rng("gap", 0, time.Second)
		}
		w.end = from + stable
		found := EstimateOutage(w.series, w.samples(), w.window(0)).Outages
		if len(found) != len(w.outages) {
			t.Fatalf("found %d outages %+v, want %d %+v", len(found), found, len(w.outages), w.outages)
		}
		for i, o := range found {
			if truth := w.outages[i].length(); truth < o.Low || truth > o.High {
				t.Errorf("outage %d: truth %v is not in [%v, %v]", i, truth, o.Low, o.High)
			}
			if point := o.End - o.Start; (point - w.outages[i].length()).Abs() > w.series.Interval+w.limit {
				t.Errorf("outage %d: point %v is further than 1/R + L from %v", i, point, w.outages[i].length())
			}
		}
	})
}

func TestTruthLiesInTheBracketOfRTA(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		inject := w.rng("inject", 500*ms, time.Second)
		down := inject + w.rng("delay", 0, 500*ms)
		up := down + w.rng("length", w.sureToSee(), 3*time.Second)
		w.outages, w.end = []interval{{down, up}}, up+stable+w.sureToSee()
		r := EstimateOutage(w.series, w.samples(), w.window(inject)).RTA
		if !r.Recovered || r.Impact != OutageImpact {
			t.Fatalf("%+v, want recovered from an outage", r)
		}
		truth := up - inject
		if truth < r.Low || truth > r.High || r.Point < r.Low || r.Point > r.High {
			t.Errorf("truth %v, point %v: not in [%v, %v]", truth, r.Point, r.Low, r.High)
		}
		if r.High-truth > r.Error {
			t.Errorf("overstates by %v, more than 1/R + L = %v", r.High-truth, r.Error)
		}
	})
}

func TestRelapsesWithinTheStabilityWindowAreOneOutage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		inject := w.rng("inject", 500*ms, time.Second)
		from := inject
		for range rapid.IntRange(2, 4).Draw(t, "flaps") {
			o := interval{from, from + w.rng("length", w.sureToSee(), time.Second)}
			w.outages = append(w.outages, o)
			from = o.to + w.rng("gap", 2*w.limit+2*w.series.Interval, stable/2)
		}
		up := w.outages[len(w.outages)-1].to
		w.end = up + stable + w.sureToSee()
		e := EstimateOutage(w.series, w.samples(), w.window(inject))
		if len(e.Outages) != 1 {
			t.Fatalf("%d outages, want 1: %+v", len(e.Outages), e.Outages)
		}
		if o, truth := e.Outages[0], up-inject; truth < o.Low || truth > o.High || o.Flaps < len(w.outages)-1 {
			t.Errorf("truth %v with %d relapses, estimate %+v", truth, len(w.outages)-1, o)
		}
		if truth := up - inject; truth < e.RTA.Low || truth > e.RTA.High {
			t.Errorf("truth %v is not in RTA [%v, %v]", truth, e.RTA.Low, e.RTA.High)
		}
	})
}

func TestAttemptsThatWereNotMadeWidenTheBracketAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		inject := w.rng("inject", 500*ms, time.Second)
		up := inject + w.rng("length", 2*w.sureToSee(), 3*time.Second)
		w.outages, w.end = []interval{{inject, up}}, up+2*stable+w.sureToSee()
		samples := w.samples()
		gap := w.rng("gap from", inject-w.limit, up+w.limit)
		for i := range samples {
			if d := samples[i].Due; d >= gap && d < gap+w.sureToSee()/2 {
				samples[i].Class, samples[i].Done = Unknown, samples[i].Sent
			}
		}
		r := EstimateOutage(w.series, samples, w.window(inject)).RTA
		if truth := up - inject; !r.Recovered || truth < r.Low || truth > r.High {
			t.Errorf("truth %v is not in [%v, %v], recovered %v", truth, r.Low, r.High, r.Recovered)
		}
	})
}

func TestOrderOfSamplesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		w.outages, w.end = []interval{{time.Second, 1500 * ms}}, 5*time.Second
		samples := w.samples()
		want := EstimateOutage(w.series, samples, w.window(time.Second))
		got := EstimateOutage(w.series, rapid.Permutation(samples).Draw(t, "order"), w.window(time.Second))
		if got.RTA != want.RTA || got.Counts != want.Counts || got.Quality != want.Quality {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

func TestHealthIsNoOutage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		w.end = 6 * time.Second
		e := EstimateOutage(w.series, w.samples(), w.window(2*time.Second))
		if len(e.Outages) != 0 || e.RTA.Impact != NoImpact || !e.RTA.Recovered || e.RTA.High != 0 {
			t.Errorf("outages %+v, RTA %+v", e.Outages, e.RTA)
		}
	})
}
