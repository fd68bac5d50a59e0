package probes

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestUnavailabilityIsTheSumOfAllOutages(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		from, truth := w.rng("from", 500*ms, time.Second), time.Duration(0)
		for range rapid.IntRange(0, 4).Draw(t, "outages") {
			o := interval{from, from + w.rng("length", 1, 2*time.Second)}
			w.outages = append(w.outages, o)
			truth += o.length()
			from = o.to + w.rng("gap", w.sureToSee(), time.Second)
		}
		w.end = from + time.Second
		u := UnavailabilityOf(w.series, w.samples(), 0, w.end, w.limit)
		edges := time.Duration(len(w.outages)) * (w.series.Interval + w.limit)
		if u.Low != u.High || u.Low != u.Point || (u.Point-truth).Abs() > edges {
			t.Errorf("%+v, want %v ± %v", u, truth, edges)
		}
		if (u.Span - w.end).Abs() > w.series.Interval {
			t.Errorf("span %v, want %v", u.Span, w.end)
		}
	})
}

func TestAttemptsThatWereNotMadeOnlyWidenUnavailability(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		w.outages, w.end = []interval{{time.Second, time.Second + w.rng("length", w.series.Interval, time.Second)}}, 3*time.Second
		samples := w.samples()
		want := UnavailabilityOf(w.series, samples, 0, w.end, w.limit)
		lost := rapid.Float64Range(0, 0.9).Draw(t, "lost")
		samples = slices.DeleteFunc(samples, func(Sample) bool { return w.noise.Float64() < lost/2 })
		for i := range samples {
			if w.noise.Float64() < lost/2 {
				samples[i].Class, samples[i].Done = Unknown, samples[i].Sent
			}
		}
		u := UnavailabilityOf(w.series, samples, 0, w.end, w.limit)
		if u.Low > want.Low || u.High < want.High || u.Point < u.Low || u.Point > u.High {
			t.Errorf("%+v does not enclose %+v", u, want)
		}
		if (u.Span - want.Span).Abs() > 2*w.series.Interval {
			t.Errorf("span %v, want %v", u.Span, want.Span)
		}
	})
}

func TestUnavailabilityAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		w.outages, w.end = []interval{{time.Second, 2 * time.Second}}, 4*time.Second
		samples := w.samples()
		cut := w.phase + w.series.Interval*time.Duration(rapid.IntRange(0, 30).Draw(t, "cut"))
		whole := UnavailabilityOf(w.series, samples, 0, w.end, w.limit)
		sum := UnavailabilityOf(w.series, samples, 0, cut, w.limit).Add(UnavailabilityOf(w.series, samples, cut, w.end, w.limit))
		if sum != whole {
			t.Errorf("%+v, want %+v", sum, whole)
		}
	})
}

func TestNothingObservedIsAllUnknown(t *testing.T) {
	u := UnavailabilityOf(orders, nil, 0, time.Second, 20*ms)
	if want := (Unavailability{Span: time.Second, High: time.Second}); u != want {
		t.Errorf("%+v, want %+v", u, want)
	}
}

func TestErrorBudget(t *testing.T) {
	month := Budget{Objective: 0.999, Period: 28 * 24 * time.Hour} // allows 40 min 19.2 s
	u := Unavailability{Span: time.Hour, Low: 1209600 * ms, High: 2419200 * ms}
	if low, high := month.Share(u); math.Abs(low-0.5) > 1e-9 || math.Abs(high-1) > 1e-9 {
		t.Errorf("%v to %v, want 0.5 to 1", low, high)
	}
	if low, high := (Budget{Objective: 1, Period: time.Hour}).Share(Unavailability{High: ms}); low != 0 || high != 1 {
		t.Errorf("nothing is allowed: %v to %v, want 0 to 1", low, high)
	}
}
