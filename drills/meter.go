package drills

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gwdr/probes"
)

// meter is the running measurement: probes, change ledger, detectors and guardrails.
type meter struct {
	drill    *drill
	detector *probes.Detector // everything that is judged
	data     *probes.Detector // the data plane alone: the ledger is quiet while the drill settles
	rails    []*rail
	ledger   *probes.Ledger // nil if there is none

	cancel       context.CancelFunc // ends the probes
	probing      sync.WaitGroup
	cancelLedger context.CancelFunc
	changing     sync.WaitGroup
	quiet        atomic.Bool // the ledger makes no changes any more

	mu      sync.Mutex
	started time.Duration            // when the measurement began
	armed   bool                     // the baseline is over
	early   []probes.Sample          // of the baseline, for the limits
	bad     map[string]probes.Sample // the last one of each series that was not ok
	made    []probes.Change          // that were sent
}

func newMeter(d *drill) *meter {
	m := &meter{drill: d, bad: map[string]probes.Sample{}}
	if l := d.Scenario.SteadyState.Ledger; d.Admin != nil && l.Every > 0 {
		m.ledger = &probes.Ledger{T0: d.t0, Admin: d.Admin, Every: l.Every.D(), Intent: d.record.ledger, Out: m.change, Sample: m.sample}
		for _, k := range l.Kinds {
			m.ledger.Kinds = append(m.ledger.Kinds, probes.ChangeKind(k))
		}
	}
	stable, baseline := d.Scenario.Recovered.StableFor.D(), d.Scenario.SteadyState.Baseline.D()
	m.detector = probes.NewDetector(stable, baseline, m.series()...)
	m.data = probes.NewDetector(stable, baseline,
		slices.DeleteFunc(m.series(), func(s probes.Series) bool { return s.Plane != probes.DataPlane })...)
	m.rails = newRails(d.Scenario.Guardrails, d.Probes)
	return m
}

// series describes everything that is judged: not the probes that only feed a guardrail.
func (m *meter) series() []probes.Series {
	var all []probes.Series
	for _, p := range m.drill.Probes {
		if p.Guardrail == "" {
			all = append(all, p.Series)
		}
	}
	if m.ledger != nil {
		all = append(all, m.ledger.Series())
	}
	return all
}

// start begins to measure. It goes on when ctx is cancelled: an aborted drill is measured too.
func (m *meter) start(ctx context.Context) {
	m.mu.Lock()
	m.started = m.drill.offset()
	m.mu.Unlock()
	ctx, m.cancel = context.WithCancel(context.WithoutCancel(ctx))
	for _, p := range m.drill.Probes {
		m.probing.Go(func() { m.drill.keep(p.Run(ctx, m.drill.t0, m.sink(p))) })
	}
	if m.drill.Observe != nil {
		m.probing.Go(func() { m.look(ctx) })
	}
	changing, cancel := context.WithCancel(ctx)
	m.cancelLedger = cancel
	if m.ledger != nil {
		m.changing.Go(func() { m.drill.keep(m.ledger.Run(changing)) })
	}
}

// sink is where the attempts of a probe go.
func (m *meter) sink(p Probe) func(probes.Sample) {
	if p.Guardrail == "" {
		return m.sample
	}
	return func(s probes.Sample) {
		m.drill.record.sample(s)
		for _, r := range m.rails {
			if r.name == p.Guardrail {
				r.add(s)
			}
		}
	}
}

func (m *meter) sample(s probes.Sample) {
	m.drill.record.sample(s)
	m.detector.Add(s)
	m.data.Add(s)
	m.drill.screens.offer(Event{At: s.Done, Sample: &s})
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.armed {
		m.early = append(m.early, s)
	}
	if s.Class != probes.OK {
		m.bad[s.Series] = s
	}
}

func (m *meter) change(e probes.Entry) {
	m.drill.keep(m.drill.record.ledger.Append(e))
	m.drill.screens.offer(Event{At: e.Done, Change: &e})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.made = append(m.made, e.Change)
}

// steadyFor returns how long the measurement has been running.
func (m *meter) steadyFor() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.drill.offset() - m.started
}

const tooFew = "no attempt failed, but too few were made"

// complaint says for people what was last not ok.
func (m *meter) complaint() string {
	last, any := m.lastBad()
	if !any {
		return tooFew
	}
	return fmt.Sprintf("%s was %s %s ago (%s)", last.Series, last.Class, (m.drill.offset() - last.Done).Round(time.Millisecond), last.Error)
}

// reason is the complaint without what changes from one attempt to the next.
func (m *meter) reason() string {
	last, any := m.lastBad()
	if !any {
		return tooFew
	}
	return fmt.Sprintf("%s was %s", last.Series, last.Class)
}

func (m *meter) lastBad() (last probes.Sample, any bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.bad {
		if s.Done > last.Done {
			last = s
		}
	}
	return last, last.Series != ""
}

// arm ends the baseline: what is slow is known from here on.
func (m *meter) arm() error {
	now := m.drill.offset()
	held := Span{From: now - m.drill.Scenario.SteadyState.Baseline.D(), To: now}
	m.mu.Lock()
	limits := probes.Limits(m.early, held.From, held.To)
	m.armed, m.early = true, nil
	m.mu.Unlock()
	m.detector.SetLimits(limits)
	m.data.SetLimits(limits)
	return m.drill.note(entryBaseline, held)
}

// cut makes the ledger leave alone what it changed so far, so that no later change hides what a fault takes.
func (m *meter) cut(ctx context.Context) error {
	if m.ledger == nil {
		return nil
	}
	return m.ledger.Cut(ctx)
}

// changes returns all changes that were sent.
func (m *meter) changes() []probes.Change {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.made)
}

// down returns a series that is down, if there is one.
func (m *meter) down() (probes.Series, bool) {
	for _, s := range m.detector.Status(m.drill.offset()) {
		if s.Down && !s.Series.Control {
			return s.Series, true
		}
	}
	return probes.Series{}, false
}

// quiesce ends the change ledger and waits for the changes in flight.
func (m *meter) quiesce() {
	if m.cancelLedger != nil {
		m.quiet.Store(true) // before: a change that is never made is no outage
		m.cancelLedger()
		m.changing.Wait()
	}
}

// stop ends the measurement.
func (m *meter) stop() {
	if m.cancel != nil {
		m.quiesce()
		m.cancel()
		m.probing.Wait()
	}
}
