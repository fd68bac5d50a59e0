package calibration

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/probes"
)

const ms = time.Millisecond

// gateway is a target that is down in a known way, and asks nothing of a network.
type gateway struct {
	mu   sync.Mutex
	down Kind
	over chan struct{} // closed when it is up again
	busy time.Duration // it takes so long to answer, and its prober so long to send
	// miss makes it a liar: it goes on being down for so long after it said that it was up.
	miss time.Duration
}

func (g *gateway) fault(kind Kind) Fault {
	return Fault{Kind: kind, Set: func(down bool) error {
		if !down && g.miss > 0 {
			time.AfterFunc(g.miss, g.up)
			return nil
		}
		if !down {
			g.up()
			return nil
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		g.down, g.over = kind, make(chan struct{})
		return nil
	}}
}

func (g *gateway) up() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.down = ""
	close(g.over)
}

// ask is one request: its class, after the time that it takes.
func (g *gateway) ask(timeout time.Duration) probes.Class {
	g.mu.Lock()
	down, over := g.down, g.over
	g.mu.Unlock()
	time.Sleep(ms + g.busy)
	switch down {
	case Refuse:
		return probes.FailRefused
	case Blackhole:
		time.Sleep(timeout)
		return probes.FailTimeout
	case Hold, OneWay:
		select {
		case <-over:
		case <-time.After(timeout):
			return probes.FailTimeout
		}
	case Brownout:
		if rand.IntN(2) == 0 {
			return probes.FailStatus
		}
	}
	return probes.OK
}

// prober asks g open loop, at its own phase.
func (g *gateway) prober(name string, p Plan, control bool) Probe {
	s := probes.Series{Name: name, Plane: probes.DataPlane, Interval: p.Interval, Timeout: p.Timeout, Control: control}
	return Probe{Series: s, Run: func(ctx context.Context, t0 time.Time, out func(probes.Sample)) error {
		var asking sync.WaitGroup
		defer asking.Wait()
		start := time.Since(t0) + rand.N(p.Interval)
		for seq := int64(0); ; seq++ {
			due := start + time.Duration(seq)*p.Interval
			if sleep(ctx, due-time.Since(t0)) != nil {
				return nil
			}
			asking.Go(func() {
				a := probes.Sample{Series: name, Seq: seq, Due: due, Sent: time.Since(t0)}
				a.Class = g.ask(p.Timeout - ms)
				a.Done = time.Since(t0)
				out(a)
			})
		}
	}}
}

// runner calibrates on g; the control target is another one.
func (g *gateway) runner(t *testing.T, rounds int, control *gateway) *Runner {
	t.Helper()
	plan, err := NewPlan(rounds, 50)
	if err != nil {
		t.Fatal(err)
	}
	r := &Runner{Plan: plan, Seed: 1, Probes: []Probe{g.prober("keepalive", plan, false), control.prober("control", plan, true)}}
	for _, kind := range Kinds() {
		r.Faults = append(r.Faults, g.fault(kind))
	}
	return r
}

func (r *Runner) judged(t *testing.T) Document {
	t.Helper()
	record, err := r.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return Judge(record)
}

func TestTheTruthLiesInEveryBracket(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := new(gateway).runner(t, 20, &gateway{}).judged(t)
		if d.Verdict != Pass || len(d.Trials) != 100 || len(d.Rows) != 5 {
			t.Errorf("%s: %s, %d trials, %d rows", d.Verdict, d.Reason, len(d.Trials), len(d.Rows))
		}
		for _, r := range d.Rows {
			if r.N != 20 || r.Inside != 20 {
				t.Errorf("%+v", r)
			}
			if r.Kind != Brownout && math.Abs(r.MaxS) > r.BoundS {
				t.Errorf("%s is off by %.4fs, more than 1/R + L = %.4fs", r.Kind, r.MaxS, r.BoundS)
			}
			if r.OverS < 0 {
				t.Errorf("%s understates by %.4fs", r.Kind, -r.OverS)
			}
		}
		for _, trial := range d.Trials {
			if trial.Verdict != Pass {
				t.Errorf("%s: %s", trial.Kind, trial.Reason)
			}
		}
		if err := d.Check(); err != nil {
			t.Error(err)
		}
	})
}

// TestALyingClockIsFoundOut shows that a calibration can fail: the outage lasts longer than the one who makes it says.
func TestALyingClockIsFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gateway{miss: 100 * ms}
		r := g.runner(t, 2, &gateway{})
		r.Faults = r.Faults[:1]
		if d := r.judged(t); d.Verdict != Fail || d.Rows[0].Outside != 2 {
			t.Errorf("%s: %s", d.Verdict, d.Reason)
		}
	})
}

func TestADisturbedProberClaimsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stalled := &gateway{}
		r := new(gateway).runner(t, 1, stalled)
		stall := stalled.fault(Refuse)
		for i, f := range r.Faults {
			r.Faults[i].Set = func(down bool) error { return errors.Join(stall.Set(down), f.Set(down)) }
		}
		d := r.judged(t)
		if d.Verdict != Inconclusive || d.Rows[0].Inconclusive != 1 || d.Rows[0].BiasS != 0 {
			t.Errorf("%s: %s, %+v", d.Verdict, d.Reason, d.Rows[0])
		}
	})
}

func TestSameSeedSameOutages(t *testing.T) {
	plan, err := NewPlan(3, 50)
	if err != nil {
		t.Fatal(err)
	}
	g := new(gateway)
	faults := []Fault{g.fault(Refuse), g.fault(Hold), g.fault(Brownout)}
	draw := func(seed uint64) (all []time.Duration) {
		for _, s := range plan.steps(faults, seed) {
			all = append(all, s.length, s.wait)
			if s.length < plan.Shortest || s.length > plan.Longest+surelyBrown*plan.Interval {
				t.Errorf("%s for %s", s.fault.Kind, s.length)
			}
		}
		return all
	}
	if !slices.Equal(draw(7), draw(7)) || slices.Equal(draw(7), draw(8)) {
		t.Error("the seed does not decide")
	}
}

// TestAnInterruptEndsTheOutage shows that no outage is left behind.
func TestAnInterruptEndsTheOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := new(gateway)
		r := g.runner(t, 1, &gateway{})
		ctx, cancel := context.WithCancel(t.Context())
		set := r.Faults[0].Set
		r.Faults = r.Faults[:1]
		r.Faults[0].Set = func(down bool) error { cancel(); return set(down) }
		if _, err := r.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if g.down != "" {
			t.Errorf("still down: %s", g.down)
		}
	})
}

func TestPlanRefusesWhatMakesNoSense(t *testing.T) {
	for _, bad := range []struct {
		rounds int
		rate   float64
	}{{0, 50}, {1, 0}, {1, math.NaN()}, {1, 10_000}} {
		if p, err := NewPlan(bad.rounds, bad.rate); err == nil {
			t.Errorf("%+v: %s", bad, cmp.Diff(Plan{}, p))
		}
	}
}
