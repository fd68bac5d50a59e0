package drills

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/probes"
)

// elsewhere is a host in memory that probes a gateway of its own, by a clock of its own, and is heard of over a network.
type elsewhere struct {
	name        string
	down        []outageAt    // since the watch began
	disturbed   []outageAt    // when its control target does not answer either
	ahead       time.Duration // its t0 was so long before that of the watch
	ppm         time.Duration // by which its clock is too fast
	there, back time.Duration // delays of the network
	lost        time.Duration // since the watch began; 0 is never
	ends        time.Duration // since then, as if it had told everything; 0 is with the watch
	skip        outageAt      // samples that it had to drop
	jump        outageAt      // its clock stands still
	drift       time.Duration
}

// addTo plans the vantage point's series beside those of the watch, which has just been made.
func (h elsewhere) addTo(w *Watch) {
	began := time.Now()
	w.Plan.Vantages = append(w.Plan.Vantages, WatchVantage{Name: h.name, Agent: "https://" + h.name, Tool: "test"})
	var all []probes.Series
	for _, s := range w.Plan.Series[:2] {
		s.Name, s.Vantage = h.name+": "+s.Name, h.name
		w.Plan.Series = append(w.Plan.Series, s)
		all = append(all, s.Series)
	}
	w.Vantages = append(w.Vantages, Vantage{Name: h.name, Run: func(ctx context.Context, _ time.Time, sink VantageSink) error {
		return h.run(ctx, began, all, sink)
	}})
}

// clock is what it shows.
func (h elsewhere) clock(began time.Time) time.Duration {
	at := time.Since(began)
	if h.jump.to > 0 && at > h.jump.from {
		at -= min(at, h.jump.to) - h.jump.from
	}
	return h.ahead + at + at*h.ppm/1_000_000
}

func (h elsewhere) run(ctx context.Context, began time.Time, all []probes.Series, sink VantageSink) error {
	for i := range time.Duration(3) { // when the session was opened
		sent := (i - 3) * 5 * sec
		shown := func(at time.Duration) time.Duration { return h.ahead + at + at*h.ppm/1_000_000 }
		sink.Read(probes.Exchange{Sent: sent, Read: shown(sent + h.there), Received: sent + h.there + h.back}, h.drift)
	}
	var reading sync.WaitGroup
	defer reading.Wait()
	lost, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if h.lost > 0 {
		time.AfterFunc(h.lost-time.Since(began), cancel)
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for seq := int64(0); ; seq++ {
		select {
		case <-ctx.Done():
			return nil
		case <-lost.Done():
			sink.Link(errors.New("connection refused"))
			<-ctx.Done()
			return errors.New("the agent was not reached")
		case <-tick.C:
		}
		if h.ends > 0 && time.Since(began) >= h.ends {
			return nil
		}
		if seq%100 == 50 {
			reading.Go(func() { h.read(began, sink) })
		}
		if h.skip.to > 0 && time.Since(began) >= h.skip.from && time.Since(began) < h.skip.to {
			continue
		}
		h.tell(began, seq, all, sink)
	}
}

// read is a reading of the clock over the network.
func (h elsewhere) read(began time.Time, sink VantageSink) {
	e := probes.Exchange{Sent: time.Since(began)}
	time.Sleep(h.there)
	e.Read = h.clock(began)
	time.Sleep(h.back)
	e.Received = time.Since(began)
	sink.Read(e, h.drift)
}

// tell makes an attempt of each series, which takes 1 ms.
func (h elsewhere) tell(began time.Time, seq int64, all []probes.Series, sink VantageSink) {
	at, now := time.Since(began), h.clock(began)
	for _, s := range all {
		a := probes.Sample{Series: s.Name, Seq: seq, Due: now, Sent: now, Done: now + time.Millisecond, Class: probes.OK}
		bad := h.down
		if s.Control {
			bad = h.disturbed
		}
		if slices.ContainsFunc(bad, func(o outageAt) bool { return at >= o.from && at < o.to }) {
			a.Class, a.Error = probes.FailRefused, "connection refused"
		}
		sink.Told([]probes.Sample{a}, now)
	}
}

// watch watches for 8 s with one vantage point, and a mark at 3 s if wanted.
func (h elsewhere) watch(t *testing.T, mark bool, rto time.Duration, down ...outageAt) *WatchResult {
	t.Helper()
	w := newWatch(t, down...)
	h.addTo(w)
	w.Plan.For, w.Plan.RTO = 8*sec, rto
	if mark {
		marks := make(chan time.Time, 1)
		w.Marks = marks
		time.AfterFunc(3*sec, func() { marks <- time.Now() })
	}
	return watch(t, t.Context(), w)
}

func seriesNamed(t *testing.T, r *WatchResult, name string) WatchedSeries {
	t.Helper()
	i := slices.IndexFunc(r.Series, func(s WatchedSeries) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("no series %q", name)
	}
	return r.Series[i]
}

// TestOnlyOneVantagePointSeesIt is a partition: the headline is what the worst one saw, by its own clock.
func TestOnlyOneVantagePointSeesIt(t *testing.T) {
	for name, c := range map[string]struct {
		rto     time.Duration
		verdict Verdict
	}{"in time": {2 * sec, Pass}, "too long": {sec, Fail}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWatch(t)
				elsewhere{name: "eu", ahead: time.Hour, down: []outageAt{{4 * sec, 5500 * time.Millisecond}}}.addTo(w)
				elsewhere{name: "us", ahead: -time.Minute}.addTo(w)
				w.Plan.For, w.Plan.RTO = 8*sec, c.rto
				r := watch(t, t.Context(), w)
				if r.Verdict != c.verdict {
					t.Errorf("%s: %s", r.Verdict, r.Reason)
				}
				eu := seriesNamed(t, r, "eu: gateway fresh")
				if len(eu.Outages) != 1 || eu.Outages[0].LowS > 1.5 || eu.Outages[0].HighS < 1.5 || eu.Vantage != "eu" {
					t.Fatalf("%+v, want an outage of 1.5s", eu.Outages)
				}
				if o := r.Objectives[0]; o.LowS != eu.Outages[0].LowS || o.HighS != eu.Outages[0].HighS {
					t.Errorf("judged %+v, want the outage of eu", o)
				}
				if start := eu.Outages[0].StartS; start < 3.97 || start > 4.03 {
					t.Errorf("began at %v on our clock, want 4s", start)
				}
				for _, other := range []string{"gateway fresh", "us: gateway fresh", "eu: control"} {
					if o := seriesNamed(t, r, other).Outages; len(o) > 0 {
						t.Errorf("%s: %+v", other, o)
					}
				}
				if len(r.Vantages) != 2 || !r.Vantages[0].Whole || r.Vantages[0].Unknown > 0 {
					t.Errorf("%+v", r.Vantages)
				}
			})
		})
	}
}

// TestRTAFromElsewhere has the truth in the bracket however the network divides its delay, and however the clocks drift; the
// length of an outage needs no second clock and is not wider.
func TestRTAFromElsewhere(t *testing.T) {
	ms := time.Millisecond
	for _, h := range []elsewhere{
		{ahead: time.Hour},
		{ahead: -time.Hour, there: 9 * ms},
		{ahead: time.Minute, back: 9 * ms},
		{there: 3 * ms, back: 80 * ms, ppm: 150},
		{there: 80 * ms, back: 1 * ms, ppm: -150},
	} {
		synctest.Test(t, func(t *testing.T) {
			h.name, h.down = "eu", []outageAt{{3200 * ms, 4 * sec}}
			r := h.watch(t, true, 10*sec)
			eu := seriesNamed(t, r, "eu: gateway fresh")
			slack := (time.Duration(r.Vantages[0].HalfWidthS * 1e9)).Seconds()
			if eu.RTA == nil || eu.RTA.LowS > 1 || eu.RTA.HighS < 1 || eu.RTA.HighS > 1+eu.RTA.ErrorS {
				t.Fatalf("%+v: RTA %+v, want 1s inside", h, eu.RTA)
			}
			if half := (h.there + h.back).Seconds() / 2; slack < half || slack > half+0.002 {
				t.Errorf("%+v: the clock is known to ±%vs, want %vs", h, slack, half)
			}
			if want := 0.02 + eu.LimitS + 2*slack; eu.RTA.ErrorS < want-1e-5 || eu.RTA.ErrorS > want+1e-5 {
				t.Errorf("%+v: error %vs, want %vs", h, eu.RTA.ErrorS, want)
			}
			if o := eu.Outages[0]; o.LowS > 0.8 || o.HighS < 0.8 || o.HighS-o.LowS > 0.065 {
				t.Errorf("%+v: outage %+v, want 0.8s within 1/R and L", h, o)
			}
			if r.Verdict != Pass {
				t.Errorf("%+v: %s: %s", h, r.Verdict, r.Reason)
			}
		})
	}
}

// TestNothingUnheardIsGood: what is not known of a vantage point is unknown, and leaves the verdict open.
func TestNothingUnheardIsGood(t *testing.T) {
	for name, c := range map[string]struct {
		h       elsewhere
		unknown int
		reason  string
	}{
		"lost":               {elsewhere{lost: 5 * sec}, 150, "vantage: eu: nothing was heard of 298 attempts, the first due at 5"},
		"dropped":            {elsewhere{skip: outageAt{5 * sec, 6 * sec}}, 50, "vantage: eu: nothing was heard of 100 attempts, the first due at 5"},
		"dropped first":      {elsewhere{skip: outageAt{20 * time.Millisecond, sec}}, 49, "vantage: eu: nothing was heard of 98 attempts, the first due at 20ms"},
		"ended early":        {elsewhere{ends: 5 * sec}, 124, "vantage: eu: nothing was heard of 248 attempts, the first due at 5"},
		"lost at once":       {elsewhere{lost: 1}, 400, "vantage: eu: nothing was heard of 800 attempts"},
		"clock stood still":  {elsewhere{jump: outageAt{4 * sec, 5 * sec}}, 0, "clock: eu: two clocks contradict each other"},
		"clocks drifted":     {elsewhere{drift: -time.Second}, 0, "drift: eu: clocks drifted apart by 1s"},
		"its agent stalled":  {elsewhere{disturbed: []outageAt{{4 * sec, 5 * sec}}}, 0, "control: eu: control"},
		"coarse, not marked": {elsewhere{there: 2 * sec}, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.h.name = "eu"
				r := c.h.watch(t, false, 2*sec)
				verdict := Inconclusive
				if c.reason == "" {
					verdict = Pass
				}
				has := func(f string) bool { return strings.Contains(f, c.reason) }
				if r.Verdict != verdict || c.reason != "" && !slices.ContainsFunc(r.Findings, has) {
					t.Errorf("%s: %q", r.Verdict, r.Findings)
				}
				s := seriesNamed(t, r, "eu: gateway fresh").Requests
				if s.Unknown < c.unknown-6 || s.Unknown > c.unknown+6 || s.Failed > 0 {
					t.Errorf("%+v, want %d unknown", s, c.unknown)
				}
				if c.h.lost > 0 && (r.Vantages[0].Whole || r.Vantages[0].Cuts != 1) {
					t.Errorf("%+v", r.Vantages[0])
				}
			})
		})
	}
}

// TestAClockThatIsHardlyKnown cannot tell when something was broken, unless the promise is large beside what is not known.
func TestAClockThatIsHardlyKnown(t *testing.T) {
	for rto, verdict := range map[time.Duration]Verdict{5 * sec: Inconclusive, 20 * sec: Pass} {
		synctest.Test(t, func(t *testing.T) {
			h := elsewhere{name: "eu", there: sec, down: []outageAt{{3200 * time.Millisecond, 4 * sec}}}
			r := h.watch(t, true, rto)
			found := slices.ContainsFunc(r.Findings, func(f string) bool { return strings.HasPrefix(f, "clock: eu: known to ±") })
			if r.Verdict != verdict || found != (verdict == Inconclusive) {
				t.Errorf("RTO %s: %s, %q", rto, r.Verdict, r.Findings)
			}
		})
	}
}
