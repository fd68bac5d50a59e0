package probes

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// brown makes each attempt that meets an outage fail with the given probability, in a world that is otherwise well.
func (w *world) brown(share float64, outage interval) []Sample {
	samples := w.samples()
	for i := range samples {
		s := &samples[i]
		if arrived := s.Sent + (s.Done-s.Sent)/2; arrived >= outage.from && arrived < outage.to && w.noise.Float64() < share {
			s.Class = FailStatus
		}
	}
	return samples
}

func TestTruthLiesInTheBracketOfBrownouts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		from := w.rng("from", time.Second, 2*time.Second)
		length := w.rng("length", 60*w.series.Interval+4*w.limit, 120*w.series.Interval+4*w.limit)
		truth := interval{from, from + length}
		calm := max(stable, 30*w.series.Interval)
		w.end = truth.to + 3*calm
		share := rapid.Float64Range(0.3, 0.8).Draw(t, "share")
		samples := w.brown(share, truth)
		found := Brownouts(w.series, samples, Window{Inject: 0, Stable: calm, Limit: w.limit})
		if len(found) != 1 {
			t.Fatalf("found %+v, want one", found)
		}
		b := found[0]
		if length < b.Low || length > b.High {
			t.Errorf("truth %v is not in [%v, %v], share %.2f, margin %v", length, b.Low, b.High, b.Share, b.Margin)
		}
		if b.Share < share-0.35 || b.Share > share+0.35 {
			t.Errorf("share %.2f, want about %.2f", b.Share, share)
		}
	})
}

func TestAnOutageOfAllRequestsIsNoBrownout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		from := w.rng("from", 500*ms, time.Second)
		up := from + w.rng("length", w.sureToSee(), 3*time.Second)
		w.outages, w.end = []interval{{from, up}}, up+2*stable
		if found := Brownouts(w.series, w.samples(), w.window(from)); len(found) != 0 {
			t.Errorf("%+v", found)
		}
	})
}

func TestBrownoutBeginsWithAttemptsThatFailedBeforeTheRun(t *testing.T) {
	samples := script("9.", "x.x..xxx.x.xx.x", "9.")
	w := Window{Stable: time.Second, Limit: 20 * ms}
	o := EstimateOutage(orders, samples, w).Outages[0]
	b := Brownouts(orders, samples, w)[0]
	if o.Start != 95*tick || b.Start != 90*tick {
		t.Errorf("outage from %v, brown-out from %v", o.Start, b.Start)
	}
	if want := 14*tick - 20*ms; b.Low != want {
		t.Errorf("low %v, want %v", b.Low, want)
	}
	if want := 105*tick + ms - 89*tick + 2*b.Margin; b.High != want {
		t.Errorf("high %v, want %v", b.High, want)
	}
}

func TestSpared(t *testing.T) {
	for _, test := range []struct{ n, affected, want int }{
		{1000, 500, 14}, // 0.5^14 = 6e-5
		{1000, 900, 5},  // 0.1^5, and the share is not quite certain
		{20, 10, 21},
	} {
		if got := spared(test.n, test.affected); got != test.want {
			t.Errorf("%d of %d: %d, want %d", test.affected, test.n, got, test.want)
		}
	}
}
