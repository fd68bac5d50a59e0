package drills

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sort"
	"time"

	"gwdr/probes"
)

// The guards that only a vantage point has.
const (
	guardVantage = "vantage" // everything was told
	guardClock   = "clock"   // its clock is known well enough
)

// clockShare: the clock may be unknown by a twentieth of the promise, if that is more than half an interval.
const clockShare = 20

// nearby is how many readings on either side of an instant correct what people are told of it.
const nearby = 16

// endSlack is by how much a host that told everything may have stopped earlier than this one: it may have been late with its
// last attempts.
const endSlack = 500 * time.Millisecond

// maxUnheard bounds the attempts of a series that are made up as unknown.
const maxUnheard = 1 << 20

// placed is a vantage point with its clock laid beside ours. The zero value is this host itself.
type placed struct {
	plan     WatchVantage
	facts    VantageFacts
	offset   probes.Offset // at the instant that recovery is counted from
	err      error         // why there is none
	unheard  int           // attempts of which nothing was told
	since    time.Duration // when the first of them was due
	interval time.Duration // the shortest of its series
}

// place lays the clock of each vantage point beside ours at the instant inject: only there the two have to meet, for every
// length is measured by one clock alone.
func (j *watchJudgement) place(inject time.Duration) {
	j.points = map[string]*placed{}
	for _, v := range j.facts.Plan.Vantages {
		p := &placed{plan: v}
		if facts := j.facts.Vantages[v.Name]; facts != nil {
			p.facts = *facts
		}
		p.offset, p.err = probes.OffsetAt(p.facts.Readings, inject)
		if p.err != nil && len(p.facts.Readings) > 0 { // as good as it gets
			p.offset, _ = probes.OffsetAt(p.facts.Readings[:1], inject)
		}
		j.points[v.Name] = p
	}
	for _, s := range j.facts.Plan.Series {
		if p := j.points[s.Vantage]; p != nil && (p.interval == 0 || s.Interval < p.interval) {
			p.interval = s.Interval
		}
	}
}

// bySeries returns the samples of each series on our clock, those of a vantage point sorted and with an unknown attempt
// wherever nothing was told. The others are those of the facts, where they are sorted already.
func (j *watchJudgement) bySeries() map[string][]probes.Sample {
	of := map[string][]probes.Sample{}
	for rest := j.facts.Samples; len(rest) > 0; {
		name := rest[0].Series
		n := slices.IndexFunc(rest, func(s probes.Sample) bool { return s.Series != name })
		if n < 0 {
			n = len(rest)
		}
		if of[name] == nil {
			of[name] = rest[:n:n] // so that more would be added to a copy
		} else {
			of[name] = append(of[name], rest[:n]...)
		}
		rest = rest[n:]
	}
	end := j.facts.Baseline.From // of what was probed from here
	here := func(name string) bool {
		return !slices.ContainsFunc(j.facts.Plan.Series, func(s WatchSeries) bool { return s.Name == name && s.Vantage != "" })
	}
	for name, samples := range of {
		if here(name) {
			of[name] = sorted(samples)
			end = max(end, lastDue(samples)-1)
		}
	}
	for _, s := range j.facts.Plan.Series {
		if p := j.points[s.Vantage]; p != nil {
			of[s.Name] = p.fill(s.Series, p.ours(of[s.Name]), j.facts.Baseline.From, end)
		}
	}
	return of
}

// ours returns the samples on our clock.
func (p *placed) ours(samples []probes.Sample) []probes.Sample {
	all := make([]probes.Sample, len(samples))
	for i := range samples {
		all[i] = moved(samples[i], p.offset.Middle())
	}
	return all
}

// sorted returns samples by their due times: a copy if they are not.
func sorted(samples []probes.Sample) []probes.Sample {
	byDue := func(a, b probes.Sample) int { return cmp.Compare(a.Due, b.Due) }
	if slices.IsSortedFunc(samples, byDue) {
		return samples
	}
	return slices.SortedFunc(slices.Values(samples), byDue)
}

// fill adds an unknown attempt wherever one was due of which nothing was told: from the start on, between those that were
// told, and after them up to end.
func (p *placed) fill(s probes.Series, samples []probes.Sample, from, end time.Duration) []probes.Sample {
	slices.SortStableFunc(samples, func(a, b probes.Sample) int { return cmp.Compare(a.Seq, b.Seq) })
	var all []probes.Sample
	next := probes.Sample{Due: from} // that is expected
	for i, a := range samples {
		if i == 0 {
			before := max(0, min(a.Seq, int64((a.Due-from)/s.Interval)))
			next = probes.Sample{Seq: a.Seq - before, Due: a.Due - time.Duration(before)*s.Interval}
		}
		all = append(p.unknown(s, all, next, a.Seq-next.Seq), a)
		next = probes.Sample{Seq: a.Seq + 1, Due: a.Due + s.Interval}
	}
	return p.unknown(s, all, next, p.owed(s, next, end))
}

// owed is how many attempts up to end are missing, of which next is the first. Of a host that says it told everything only
// those count that are missing for sure, as the two ends are on two clocks.
func (p *placed) owed(s probes.Series, next probes.Sample, end time.Duration) int64 {
	if p.facts.Ended && p.facts.Reason == "" && next.Seq > 0 {
		if p.err != nil {
			return 0 // which is a finding already
		}
		all := p.facts.Readings
		o, err := probes.OffsetAt(all[max(0, len(all)-nearby):], end)
		if err != nil {
			return 0 // not where all of them agree
		}
		end -= o.High - p.offset.Middle() + endSlack
	}
	return int64((end - next.Due) / s.Interval)
}

// unknown adds n attempts, the first of which is next.
func (p *placed) unknown(s probes.Series, all []probes.Sample, next probes.Sample, n int64) []probes.Sample {
	for range min(n, int64(maxUnheard-p.unheard)) {
		if p.unheard == 0 || next.Due < p.since {
			p.since = next.Due
		}
		p.unheard++
		all = append(all, probes.Sample{Series: s.Name, Seq: next.Seq, Due: next.Due, Sent: next.Due, Done: next.Due,
			Class: probes.Unknown, Error: "nothing was heard of it"})
		next.Seq, next.Due = next.Seq+1, next.Due+s.Interval
	}
	return all
}

// half is half of what is not known of the clock, rounded up.
func (p *placed) half() time.Duration {
	if p == nil {
		return 0
	}
	return (p.offset.Width() + 1) / 2
}

// window is the one in which a series of the vantage point is judged. Where recovery is counted from a mark, the mark is
// taken for as early as it can have been by the other clock, so that nothing that came after it is missed.
func (p *placed) window(w probes.Window, marked bool) probes.Window {
	if marked {
		w.Inject -= p.half()
	}
	return w
}

// widen moves the bounds of an RTA that was counted from as early as the mark can have been to where the truth is for sure.
// High is that already; the mark may have been later by the whole width.
func (p *placed) widen(r probes.RTA) probes.RTA {
	half := p.half()
	r.Low = max(0, r.Low-2*half)
	r.Point = max(0, r.Point-half)
	r.Error += 2 * half
	return r
}

// instant corrects an instant on our clock for how far the other clock has drifted from where it was laid beside ours.
func (p *placed) instant(at time.Duration) time.Duration {
	if p == nil || p.err != nil {
		return at
	}
	all := p.facts.Readings
	i := sort.Search(len(all), func(i int) bool { return all[i].Sent >= at })
	o, err := probes.OffsetAt(all[max(0, i-nearby):min(len(all), i+nearby)], at)
	if err != nil {
		return at
	}
	return at + o.Middle() - p.offset.Middle()
}

// findings are why the vantage point proves nothing. marked says that its clock matters.
func (p *placed) findings(marked bool, rto time.Duration) []probes.Finding {
	var all []probes.Finding
	add := func(guard, format string, args ...any) {
		all = append(all, probes.Finding{Guard: guard, Series: p.plan.Name, Text: fmt.Sprintf(format, args...)})
	}
	switch {
	case p.unheard > 0 && p.facts.Reason != "":
		add(guardVantage, "nothing was heard of %d attempts, the first due at %s: %s", p.unheard, round(p.since), p.facts.Reason)
	case p.unheard > 0:
		add(guardVantage, "nothing was heard of %d attempts, the first due at %s", p.unheard, round(p.since))
	case p.facts.Reason != "":
		add(guardVantage, "%s", p.facts.Reason)
	}
	limit := max(p.interval/2, rto/clockShare)
	switch {
	case p.err != nil:
		add(guardClock, "%s", p.err)
	case marked && p.half() > limit:
		add(guardClock, "known to ±%s at the mark, %s is the limit", round(p.half()), round(limit))
	}
	return all
}

// result is what is said of the vantage point.
func (p *placed) result(at time.Duration) WatchedVantage {
	return WatchedVantage{
		Name: p.plan.Name, Agent: p.plan.Agent, Tool: p.plan.Tool, Readings: len(p.facts.Readings), AtS: at.Seconds(),
		OffsetLowS: p.offset.Low.Seconds(), OffsetHighS: p.offset.High.Seconds(), HalfWidthS: micro(p.half()),
		Cuts: p.facts.Cuts, Unknown: p.unheard, Whole: p.facts.Ended && p.facts.Reason == "", Reason: p.facts.Reason,
	}
}

// micro is a time in seconds, rounded up to what a network lets one know.
func micro(d time.Duration) float64 { return math.Ceil(float64(d)/1e3) / 1e6 }

// guards notes which of the conditions do not hold without which nothing can be judged. Those who probed from the same host
// share its control target.
func (j *watchJudgement) guards() {
	groups := map[string][]probes.Estimate{}
	for i, s := range j.facts.Plan.Series {
		groups[s.Vantage] = append(groups[s.Vantage], j.estimates[i])
	}
	g := probes.Guards{Baseline: j.facts.Plan.Baseline, Drift: j.facts.Drift, Older: j.facts.Definitions == 0}
	if j.facts.Plan.RTO > 0 {
		g.Targets = map[probes.Plane]time.Duration{probes.DataPlane: j.facts.Plan.RTO}
	}
	found := g.Check(groups[""])
	for _, v := range j.facts.Plan.Vantages {
		p := j.points[v.Name]
		found = append(found, p.findings(j.marked, j.facts.Plan.RTO)...)
		g.Drift = p.facts.Drift
		for _, f := range g.Check(groups[v.Name]) {
			switch {
			case f.Guard == probes.GuardControl && p.unheard > 0:
				continue // nothing was heard of that either: it does not say that the prober was disturbed
			case f.Series == "":
				f.Series = v.Name
			}
			found = append(found, f)
		}
	}
	for _, f := range found {
		j.result.Findings = append(j.result.Findings, f.String())
	}
}
