package probes

import (
	"cmp"
	"slices"
	"time"
)

// Window says when things happened in a drill, and how it defines slow and up. Instants are since t0.
type Window struct {
	From   time.Duration // start of the baseline: earlier attempts are not looked at
	Inject time.Duration // the instant before the first injector call
	Until  time.Duration // the end of the fault, or of the observation: what is due later tells nothing of RTA; 0 is never
	Stable time.Duration // for so long ok attempts show that a series is up
	Limit  time.Duration // L; 0 takes each series' own from its baseline [From, Inject)
	Older  bool          // the quality of a control target is that of builds before definitions 1
}

// RTA is the achieved recovery time of one series, or of the worst of several: the time from Inject until the first ok
// attempt after the last affected one had its answer. The true instant of recovery lies in [Inject+Low, Inject+High].
type RTA struct {
	Series    string        `json:"series"`
	Plane     Plane         `json:"plane"`
	Impact    Impact        `json:"impact"`
	Recovered bool          `json:"recovered"` // if not, Point and High are the end of the observation: no bound is known
	Low       time.Duration `json:"low_ns"`    // last affected attempt due - Inject
	Point     time.Duration `json:"point_ns"`  // first ok attempt due - Inject
	High      time.Duration `json:"high_ns"`   // first ok attempt done - Inject: the number that is judged
	// Error is 1/R + L: High is at most so much above the truth. Without impact it is the longest outage that may have gone
	// unseen: longer than that where attempts were not made.
	Error time.Duration `json:"error_ns"`

	FirstAffected time.Duration `json:"first_affected_ns,omitempty"` // due time since t0
	FirstOK       time.Duration `json:"first_ok_ns,omitempty"`       // first success after it, done, since t0
	StableAt      time.Duration `json:"stable_ns,omitempty"`         // when stability was shown, since t0
}

// Impact says what a fault did to a series.
type Impact string

// The impacts.
const (
	NoImpact     Impact = "none"   // no attempt was affected before the series was shown to be stable
	BlipImpact   Impact = "blip"   // some were, but not enough of them to call the series down
	OutageImpact Impact = "outage" // it was down
)

// Counts counts attempts.
type Counts struct {
	Sent    int `json:"sent"` // all but Unknown
	OK      int `json:"ok"`
	Slow    int `json:"slow"`
	Failed  int `json:"failed"`
	Unknown int `json:"unknown"`
}

// Add returns the sum of c and d.
func (c Counts) Add(d Counts) Counts {
	return Counts{c.Sent + d.Sent, c.OK + d.OK, c.Slow + d.Slow, c.Failed + d.Failed, c.Unknown + d.Unknown}
}

// Estimate is what the attempts of one series say.
type Estimate struct {
	Series   Series        `json:"series"`
	Limit    time.Duration `json:"limit_ns"`
	RTA      RTA           `json:"rta"`
	Outages  []Outage      `json:"outages"`
	Counts   Counts        `json:"counts"`      // from Window.From on
	Affected time.Duration `json:"affected_ns"` // affected attempts × 1/R
	Before   Latency       `json:"before"`      // [From, Inject)
	During   Latency       `json:"during"`      // [Inject, first ok after the last affected)
	After    Latency       `json:"after"`
	Quality  Quality       `json:"quality"`

	edges    []stretch // where the bounds of RTA come from
	attempts []Sample  // of a control target: sorted, up to Until
}

const forever = time.Duration(1<<63 - 1)

// EstimateAll estimates every series that is described; samples of others are not looked at. The order is that of series.
func EstimateAll(series []Series, samples []Sample, w Window) []Estimate {
	of := bySeries(samples)
	all := make([]Estimate, len(series))
	for i, s := range series {
		all[i] = EstimateOutage(s, of[s.Name], w)
	}
	return all
}

// bySeries returns copies of the samples of each series, in their order and no larger than need be: there may be millions.
func bySeries(samples []Sample) map[string][]Sample {
	counts := map[string]int{}
	for i := range samples {
		counts[samples[i].Series]++
	}
	of := make(map[string][]Sample, len(counts))
	for name, n := range counts {
		of[name] = make([]Sample, 0, n)
	}
	for i := range samples {
		of[samples[i].Series] = append(of[samples[i].Series], samples[i])
	}
	return of
}

// Grouped puts the samples of each series together, sorted by their due times. It uses up the slice that it is given: only those
// that are not of the longest series are copied for a while.
func Grouped(samples []Sample) []Sample {
	longest, n := "", 0
	counts := map[string]int{}
	for i := range samples {
		counts[samples[i].Series]++
	}
	for name, c := range counts {
		if c > n {
			longest, n = name, c
		}
	}
	first, others := samples[:0], make([]Sample, 0, len(samples)-n)
	for i := range samples {
		if samples[i].Series == longest {
			first = append(first, samples[i])
		} else {
			others = append(others, samples[i])
		}
	}
	sortByDue(first)
	slices.SortStableFunc(others, func(a, b Sample) int {
		return cmp.Or(cmp.Compare(a.Series, b.Series), cmp.Compare(a.Due, b.Due))
	})
	return append(first, others...)
}

// EstimateOutage estimates one series from its samples, in any order. It is a pure function, and may reorder samples.
func EstimateOutage(s Series, samples []Sample, w Window) Estimate {
	if w.Until == 0 {
		w.Until = forever
	}
	sortByDue(samples)
	samples = between(samples, w.From, forever)
	if w.Limit == 0 {
		w.Limit = limitOf(between(samples, w.From, w.Inject), w.Inject)
	}
	e := Estimate{Series: s, Limit: w.Limit}
	e.RTA = recovery(s, samples, w)
	e.Outages = outages(s, samples, w)
	e.Counts = count(samples, w.Limit)
	e.Affected = time.Duration(e.Counts.Slow+e.Counts.Failed) * s.Interval
	e.latencies(samples, w)
	e.Quality = qualityOf(s, samples, w, e.RTA)
	if s.Control {
		e.attempts = between(samples, w.From, w.Until)
	} else {
		e.edges = edges(s, w, e.RTA)
	}
	return e
}

// sortByDue sorts samples by their due times, if they are not.
func sortByDue(samples []Sample) {
	byDue := func(a, b Sample) int { return cmp.Compare(a.Due, b.Due) }
	if !slices.IsSortedFunc(samples, byDue) {
		slices.SortFunc(samples, byDue)
	}
}

// between returns the samples, which are sorted, that were due in [from, to).
func between(samples []Sample, from, to time.Duration) []Sample {
	due := func(s Sample, d time.Duration) int { return cmp.Compare(s.Due, d) }
	first, _ := slices.BinarySearchFunc(samples, from, due)
	last, _ := slices.BinarySearchFunc(samples, to, due)
	return samples[first:max(first, last)]
}

// outages returns all outages of the series, whatever caused them.
func outages(s Series, samples []Sample, w Window) []Outage {
	t := newTracker(w.Limit, w.Stable)
	for i := range samples {
		t.addSample(&samples[i])
	}
	var all []Outage
	for _, in := range t.incidents() {
		all = append(all, in.outage(s, w.Limit))
	}
	return all
}

// outage brackets the length of the incident: it was down at the latest when the first affected attempt was answered, in
// time had there been no outage, and at least until the last one was due.
func (in incident) outage(s Series, limit time.Duration) Outage {
	o := Outage{
		Series: s.Name, Plane: s.Plane, Start: in.first.due, Affected: in.affected, Flaps: in.flaps,
		Low: max(0, in.last.due-in.first.due-limit),
	}
	if in.stableAt != 0 {
		o.End = in.back.due
		o.High = in.back.done - in.first.okBefore
	}
	return o
}

// recovery takes the series for down from the injection on, and finds when it was shown to be up.
func recovery(s Series, samples []Sample, w Window) RTA {
	t := newTracker(w.Limit, w.Stable)
	forced := false
	samples = between(samples, w.From, w.Until)
	for i := range samples {
		if !forced && samples[i].Done >= w.Inject {
			t.force(w.Inject)
			forced = true
		}
		t.addSample(&samples[i])
	}
	r := RTA{Series: s.Name, Plane: s.Plane, Impact: NoImpact, Error: s.Interval + w.Limit}
	if !forced {
		return r // nothing was observed after the injection: not recovered
	}
	r.fold(t.incidents(), w.Inject)
	if r.Impact == NoImpact {
		r.Error = unseen(s, samples, w.Inject, r.StableAt) + w.Limit
	}
	if !r.Recovered {
		end := observed(samples)
		r.Point, r.High = end-w.Inject, end-w.Inject
	}
	r.times(samples, w)
	return r
}

// unseen returns the longest time without an attempt, from the injection until stability was shown: an outage that fits
// into it was not seen.
func unseen(s Series, samples []Sample, inject, until time.Duration) time.Duration {
	longest, last := s.Interval, inject
	for i := range samples {
		if a := &samples[i]; a.Class != Unknown && a.Due >= inject && (until == 0 || a.Due <= until) {
			longest, last = max(longest, a.Due-last), a.Due
		}
	}
	return longest
}

// observed returns when the last attempt had ended.
func observed(samples []Sample) time.Duration {
	end := time.Duration(0)
	for i := range samples {
		end = max(end, samples[i].Done)
	}
	return end
}

// fold takes the end of the last incident since the injection, the first of which began by force.
func (r *RTA) fold(all []incident, inject time.Duration) {
	for _, in := range all {
		if in.first.due < inject && in.stableAt != 0 && in.stableAt < inject {
			continue // an outage of the baseline
		}
		r.Recovered, r.StableAt = in.stableAt != 0, in.stableAt
		if in.last.outcome != bad {
			continue
		}
		r.raise(in)
		r.Low = max(0, in.last.due-inject)
		r.Point, r.High = max(0, in.back.due-inject), in.back.done-inject
	}
}

func (r *RTA) raise(in incident) {
	switch {
	case in.tripped:
		r.Impact = OutageImpact
	case r.Impact == NoImpact:
		r.Impact = BlipImpact
	}
}

// times finds the first affected attempt and the first success after it.
func (r *RTA) times(samples []Sample, w Window) {
	affected := false
	for i := range samples {
		s := &samples[i]
		if s.Done < w.Inject || r.Impact == NoImpact {
			continue
		}
		switch o := judge(s, w.Limit); {
		case o == bad && !affected:
			affected, r.FirstAffected = true, s.Due
		case o == good && affected:
			r.FirstOK = s.Done
			return
		}
	}
}

func count(samples []Sample, limit time.Duration) Counts {
	var c Counts
	for i := range samples {
		switch s := &samples[i]; {
		case s.Class == Unknown:
			c.Unknown++
		case judge(s, limit) == good:
			c.OK++
		case s.Class == OK || s.Class == Slow:
			c.Slow++
		default:
			c.Failed++
		}
	}
	c.Sent = c.OK + c.Slow + c.Failed
	return c
}

func (e *Estimate) latencies(samples []Sample, w Window) {
	back := w.Inject + e.RTA.High
	e.Before = latency(between(samples, w.From, w.Inject))
	e.During = latency(between(samples, w.Inject, back))
	e.After = latency(between(samples, back, forever))
}

// Worst returns the RTA of a plane over all estimates that are not of a control target. Series are never averaged: the
// bracket is the largest Low and the largest High, and it names the series with the largest High. A series that did not
// recover is worse than any that did. The result is false if no series is of that plane.
func Worst(estimates []Estimate, plane Plane) (RTA, bool) {
	var worst RTA
	found := false
	for _, e := range estimates {
		if e.Series.Control || e.Series.Plane != plane {
			continue
		}
		if !found {
			worst, found = e.RTA, true
			continue
		}
		low := max(worst.Low, e.RTA.Low)
		if e.RTA.worse(worst) {
			worst = e.RTA
		}
		worst.Low = low
	}
	return worst, found
}

func (r RTA) worse(than RTA) bool {
	if r.Recovered != than.Recovered {
		return !r.Recovered
	}
	if r.High != than.High {
		return r.High > than.High
	}
	return r.Error > than.Error
}
