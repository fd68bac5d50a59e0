package probes

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestControlSeries is probed four times as often as the quickest, within reason.
func TestControlSeries(t *testing.T) {
	for _, c := range []struct{ a, b, want time.Duration }{
		{tick, time.Second, tick / 4}, {time.Second, 100 * ms, 25 * ms}, {ms, tick, MinLimit / 4},
	} {
		got := ControlSeries("control", Series{Name: "a", Interval: c.a, Timeout: 1}, Series{Name: "b", Interval: c.b, Timeout: 1})
		if want := (Series{Name: "control", Control: true, Interval: c.want, Timeout: 1}); got != want {
			t.Errorf("beside %s and %s: got %+v, want %+v", c.a, c.b, got, want)
		}
	}
}

// stalled makes the attempts of a prober that gets no CPU in the stall: nothing is sent or read before it is over.
func (w *world) stalled(s Series, stall interval) []Sample {
	var all []Sample
	const quick = int64(MinLimit / 8)
	for seq := int64(0); ; seq++ {
		due := w.phase + time.Duration(seq)*s.Interval
		if due >= w.end {
			return all
		}
		late, service := time.Duration(w.noise.Int64N(quick)), time.Duration(1+w.noise.Int64N(quick))
		if due+late >= stall.from && due < stall.to {
			late = max(late, stall.to-due)
		}
		a := w.attempt(seq, due, late, service)
		if a.Done >= stall.from && a.Done < stall.to {
			a.Done = stall.to
		}
		if late > s.MaxLate() {
			a.Class, a.Done = Unknown, a.Sent
		}
		a.Series = s.Name
		all = append(all, a)
	}
}

// TestStalledProberIsFoundOrDoesNotMatter has a stall of the prober somewhere around an outage: the truth lies in the brackets, or
// a guard says that it may not.
func TestStalledProberIsFoundOrDoesNotMatter(t *testing.T) {
	found := 0
	rapid.Check(t, func(t *rapid.T) {
		w := drawWorld(t)
		w.series.Interval, w.limit, w.phase = tick, MinLimit, w.rng("phase", 0, tick-1)
		down := w.rng("down", 500*ms, 600*ms)
		o := interval{down, down + w.rng("length", w.sureToSee(), time.Second)}
		edge := rapid.SampledFrom([]time.Duration{o.from, o.to}).Draw(t, "edge")
		sent := w.phase + (edge-w.phase)/tick*tick + time.Duration(rapid.IntRange(-2, 2).Draw(t, "attempt"))*tick
		stall := interval{from: sent + w.rng("stalls after", 0, 5*ms)} // what was sent before is answered after it
		stall.to = stall.from + w.rng("stalls for", 0, 100*ms)
		w.outages, w.end = []interval{o}, o.to+2*stable
		series := w.stalled(w.series, stall)
		w.outages, w.phase = nil, w.phase/7
		control := ControlSeries("control", w.series)
		window := w.window(down)
		e, c := EstimateOutage(w.series, series, window), EstimateOutage(control, w.stalled(control, stall), window)
		if findings := (Guards{}).Check([]Estimate{e, c}); len(findings) > 0 {
			found++
			return
		}
		if len(e.Outages) != 1 {
			t.Fatalf("%d outages beside a stall %v to %v", len(e.Outages), stall.from, stall.to)
		}
		got := e.Outages[0]
		if truth := o.length(); truth < got.Low || truth > got.High {
			t.Errorf("length %v is not in [%v, %v]; stall %v to %v, outage %v to %v", truth, got.Low, got.High, stall.from, stall.to, o.from, o.to)
		}
		if truth := o.to - down; truth < e.RTA.Low || truth > e.RTA.High {
			t.Errorf("RTA %v is not in [%v, %v]; stall %v to %v, outage %v to %v", truth, e.RTA.Low, e.RTA.High, stall.from, stall.to, o.from, o.to)
		}
	})
	if found == 0 {
		t.Error("no stall was ever found")
	}
	t.Logf("%d stalls were found", found)
}
