package drills

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"gwdr/internal/journal"
	"gwdr/probes"
)

// Vantage probes some series of the plan from another host.
type Vantage struct {
	Name string
	// Run hands on what it hears of the other host until ctx ends, and then the rest of it. The error says why that is not all.
	Run func(ctx context.Context, t0 time.Time, sink VantageSink) error
}

// VantageSink takes what is heard of a vantage point. It is safe for concurrent use.
type VantageSink interface {
	// Told takes samples on the other host's clock. Every attempt that ended there before now was told.
	Told(samples []probes.Sample, now time.Duration)
	// Read takes a reading of that clock, and how far it drifted from the wall clock over there.
	Read(e probes.Exchange, drift time.Duration)
	// Link says that the connection was cut, and why; nil says that it is back.
	Link(cut error)
}

// WatchVantage is a vantage point as it was planned.
type WatchVantage struct {
	Name  string `json:"name"`
	Agent string `json:"agent"` // URL
	Tool  string `json:"tool"`  // what the agent calls itself
}

// readingFact is a reading of a vantage point's clock.
type readingFact struct {
	Vantage string `json:"vantage"`
	probes.Exchange
	Drift time.Duration `json:"drift_ns"`
}

type linkFact struct {
	Vantage string `json:"vantage"`
	Cut     string `json:"cut,omitempty"` // why; empty if it is back
}

type vantageEndFact struct {
	Vantage string `json:"vantage"`
	Reason  string `json:"reason,omitempty"` // why not everything was told; empty if it was
}

// VantageFacts is what was recorded of a vantage point beside its samples.
type VantageFacts struct {
	Readings []probes.Exchange
	Drift    time.Duration // the largest, either way
	Cuts     int
	Ended    bool
	Reason   string // why not everything was told
}

func (f *WatchFacts) vantage(name string) *VantageFacts {
	if f.Vantages == nil {
		f.Vantages = map[string]*VantageFacts{}
	}
	if f.Vantages[name] == nil {
		f.Vantages[name] = &VantageFacts{}
	}
	return f.Vantages[name]
}

// addVantage takes an entry that is about a vantage point.
func (f *WatchFacts) addVantage(e journal.Entry) error {
	var head struct {
		Vantage string `json:"vantage"`
	}
	if err := json.Unmarshal(e.Data, &head); err != nil {
		return err
	}
	of := f.vantage(head.Vantage)
	switch e.Type {
	case entryReading:
		return take(e, func(r readingFact) {
			of.Readings, of.Drift = append(of.Readings, r.Exchange), max(of.Drift, r.Drift.Abs())
		})
	case entryLink:
		return take(e, func(l linkFact) {
			if l.Cut != "" {
				of.Cuts++
			}
		})
	default:
		return take(e, func(end vantageEndFact) { of.Ended, of.Reason = true, end.Reason })
	}
}

// vantagePoint is a Vantage while it is watched.
type vantagePoint struct {
	*watching
	Vantage
	detector *probes.Detector

	mu       sync.Mutex
	readings []probes.Exchange
	shift    time.Duration // what is added to its clock for the screens; fixed once something was told
	told     bool
	now      time.Duration // on our clock: up to then everything is known
}

// run watches until ctx ends. That a vantage point is lost is not the end of the others.
func (p *vantagePoint) run(ctx context.Context) {
	end := vantageEndFact{Vantage: p.Name}
	if err := p.Run(ctx, p.t0, p); err != nil {
		end.Reason = err.Error()
		p.warn("is lost: " + end.Reason)
	}
	p.keep(p.journal.Append(entryVantageEnd, p.offset(), end))
}

func (p *vantagePoint) warn(text string) {
	p.screens.tell(WatchEvent{At: p.offset(), Warning: p.Name + " " + text})
}

// Told records samples as they were told, on the other clock.
func (p *vantagePoint) Told(samples []probes.Sample, now time.Duration) {
	p.mu.Lock()
	p.told, p.now = true, max(p.now, now+p.shift)
	shift := p.shift
	p.mu.Unlock()
	for _, s := range samples {
		p.keep(p.samples.Append(s))
		s = moved(s, shift)
		p.show(&s, p.detector)
	}
}

// moved is the sample with its instants on a clock that shows so much more.
func moved(s probes.Sample, by time.Duration) probes.Sample {
	s.Due, s.Sent, s.Done = s.Due+by, s.Sent+by, s.Done+by
	return s
}

// Read records a reading.
func (p *vantagePoint) Read(e probes.Exchange, drift time.Duration) {
	p.keep(p.journal.Append(entryReading, p.offset(), readingFact{Vantage: p.Name, Exchange: e, Drift: drift}))
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told {
		return
	}
	p.readings = append(p.readings, e)
	if o, err := probes.OffsetAt(p.readings, e.Received); err == nil {
		p.shift = o.Middle()
	}
}

// Link records that the connection was cut, or is back.
func (p *vantagePoint) Link(cut error) {
	fact := linkFact{Vantage: p.Name}
	if cut == nil {
		p.warn("is heard of again")
	} else {
		fact.Cut = cut.Error()
		p.warn(fmt.Sprintf("is not heard of any more: %s", fact.Cut))
	}
	p.keep(p.journal.Append(entryLink, p.offset(), fact))
}

func (p *vantagePoint) courses() []probes.Course {
	p.mu.Lock()
	now := p.now
	p.mu.Unlock()
	return p.detector.Courses(now)
}
