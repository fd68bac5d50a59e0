package drills

import (
	"fmt"
	"strings"
	"time"

	"gwdr/probes"
	"gwdr/scenarios"
)

// The metrics of a watch's objectives, besides RTA.
const (
	MetricOutage       = "outage"       // the longest one: what is judged while nobody says when something was broken
	MetricAvailability = "availability" // share of good attempts
)

// JudgeWatch computes the result of a watch from what was recorded. It is a pure function.
func JudgeWatch(f WatchFacts) *WatchResult {
	j := &watchJudgement{facts: f, result: &WatchResult{
		Schema: WatchSchema, ID: f.ID, Started: f.Started, Ended: f.Ended, Interrupted: f.Interrupted, Targets: f.Plan.Targets,
		Objectives: []ObjectiveResult{}, Findings: []string{}, Tool: f.Tool, Evidence: f.Evidence,
	}}
	j.measure()
	j.promises()
	j.warnings()
	j.compareLedger()
	j.result.Verdict, j.result.Reason = j.verdict()
	if f.Definitions > 3 && j.result.Verdict == Inconclusive && j.distrusted() != "" {
		takeBack(j.result.Objectives, func(int) bool { return false })
	}
	if j.result.Interrupted && len(j.result.Objectives) > 0 && j.result.Verdict != Fail {
		j.result.Verdict, j.result.Reason = Aborted, "interrupted before its time was over"
	}
	switch {
	case !f.Complete: // who was killed reported nothing, whatever its definitions
		cutShort(j.result.Objectives, j.result.Verdict)
	case j.result.Interrupted && f.Definitions > 1: // what is missed stays so, and the rest was not seen to its end
		cutShort(j.result.Objectives, Aborted)
	}
	return j.result
}

// takeBack decides no objective that depends on a measurement that cannot be trusted, which is all but those that stand.
func takeBack(objectives []ObjectiveResult, stands func(i int) bool) {
	for i := range objectives {
		if o := &objectives[i]; (o.Verdict == Pass || o.Verdict == Fail) && !stands(i) {
			o.Verdict, o.Value = Inconclusive, o.Value+" (not to be trusted)"
		}
	}
}

// watchJudgement is what JudgeWatch has found so far.
type watchJudgement struct {
	facts     WatchFacts
	points    map[string]*placed // vantage points by name
	estimates []probes.Estimate
	observed  time.Duration
	unseen    time.Duration // so long an outage may have gone unseen
	marked    bool
	result    *WatchResult
}

// measure estimates every series. L comes from the baseline, as while it ran.
func (j *watchJudgement) measure() {
	f := &j.facts
	inject := f.Baseline.To
	if j.marked = len(f.Marks) > 0; j.marked {
		inject = f.Marks[0]
		at := f.Started.Add(inject)
		j.result.Mark = &at
	}
	j.place(inject)
	of := j.bySeries()
	for _, samples := range of {
		for i := range samples {
			j.observed = max(j.observed, samples[i].Done-f.Baseline.From)
		}
	}
	j.result.ObservedS = j.observed.Seconds()
	w := probes.Window{From: f.Baseline.From, Inject: inject, Stable: f.Plan.Stable, Older: f.Definitions == 0}
	for _, s := range f.Plan.Series {
		from, samples := j.points[s.Vantage], of[s.Name]
		var ok bool
		if w.Limit, ok = probes.Limits(samples, f.Baseline.From, min(f.Baseline.To, inject))[s.Name]; !ok {
			w.Limit = probes.MaxLimit
		}
		e := probes.EstimateOutage(s.Series, samples, from.window(w, j.marked))
		if from != nil && j.marked {
			e.RTA = from.widen(e.RTA)
		}
		j.estimates = append(j.estimates, e)
		if !s.Control {
			j.unseen = max(j.unseen, longestGap(s.Interval, samples)+w.Limit)
		}
	}
	for _, v := range f.Plan.Vantages {
		j.result.Vantages = append(j.result.Vantages, j.points[v.Name].result(inject))
	}
	j.guards() // what a brown-out hides is no fault of the instrument
	for i, s := range f.Plan.Series {
		e := &j.estimates[i]
		if w.Limit = e.Limit; f.Definitions > 0 && !s.Control {
			j.brownouts(e, probes.Brownouts(s.Series, of[s.Name], j.points[s.Vantage].window(w, j.marked)))
		}
		j.result.Series = append(j.result.Series, j.series(s, *e, of[s.Name]))
	}
	if j.marked {
		if rta, ok := probes.Worst(j.estimates, probes.DataPlane); ok {
			j.result.RTA = watchRTA(rta)
		}
	}
}

// longestGap returns the longest time between two attempts that were made. The samples are sorted.
func longestGap(interval time.Duration, samples []probes.Sample) time.Duration {
	longest, last := interval, time.Duration(-1)
	for i := range samples {
		if samples[i].Class == probes.Unknown {
			continue
		}
		if last >= 0 {
			longest = max(longest, samples[i].Due-last)
		}
		last = samples[i].Due
	}
	if n := len(samples); n > 0 { // those at the end, or all, may not have been made
		longest = max(longest, samples[n-1].Due-max(last, samples[0].Due))
	}
	return longest
}

func watchRTA(r probes.RTA) *RTA {
	return &RTA{LowS: r.Low.Seconds(), PointS: r.Point.Seconds(), HighS: r.High.Seconds(), ErrorS: r.Error.Seconds(),
		Recovered: r.Recovered, Impact: string(r.Impact), Series: r.Series}
}

func (j *watchJudgement) series(s WatchSeries, e probes.Estimate, samples []probes.Sample) WatchedSeries {
	c := e.Counts
	w := WatchedSeries{
		Name: s.Name, Target: j.facts.Plan.Targets[s.Target].URL, Fresh: s.Fresh, Control: s.Control, Vantage: s.Vantage,
		IntervalS: s.Interval.Seconds(), LimitS: e.Limit.Seconds(),
		Requests: Requests{Sent: c.Sent, OK: c.OK, Slow: c.Slow, Failed: c.Failed, Unknown: c.Unknown},
		Classes:  map[string]int{}, Availability: float64(c.OK) / float64(max(c.Sent, 1)), UnavailableS: e.Affected.Seconds(),
		Latency: latency(samples, j.facts.Baseline.From, 1<<63-1), Outages: []WatchOutage{},
	}
	if j.facts.Plan.Targets[s.Target].Kind != "" { // else the report was written before there were any
		w.Phases, w.TLS = watchPhases(samples, j.facts.Baseline.From), watchTLS(samples)
	}
	for i := range samples {
		class := samples[i].Class
		if class == probes.OK && samples[i].Done-samples[i].Due > e.Limit {
			class = probes.Slow
		}
		w.Classes[string(class)]++
	}
	for _, o := range e.Outages {
		w.Outages = append(w.Outages, j.outage(o, j.points[s.Vantage]))
		w.Flaps += o.Flaps
	}
	if j.marked && !s.Control {
		w.RTA = watchRTA(e.RTA)
	}
	if j.facts.Definitions > 0 && !s.Control {
		w.Unavailability = j.unavailability(s, e, samples)
	}
	return w
}

// unavailability integrates over what was observed of the series.
func (j *watchJudgement) unavailability(s WatchSeries, e probes.Estimate, samples []probes.Sample) *Integral {
	from, p := j.facts.Baseline.From, &j.facts.Plan
	all := integral(probes.UnavailabilityOf(s.Series, samples, from, max(lastDue(samples), from), e.Limit))
	if p.SLO > 0 {
		all = all.of(scenarios.SLO{Target: 100 * p.SLO, Window: max(scenarios.DefaultSLO().Window, scenarios.Duration(p.For))})
	}
	return &all
}

func (j *watchJudgement) outage(o probes.Outage, from *placed) WatchOutage {
	start := from.instant(o.Start)
	out := WatchOutage{Start: j.facts.Started.Add(start), StartS: start.Seconds(), LowS: o.Low.Seconds(), Affected: o.Affected,
		Flaps: o.Flaps, Lasting: o.End == 0}
	if !out.Lasting {
		end := j.facts.Started.Add(from.instant(o.End))
		out.End, out.PointS, out.HighS = &end, (o.End - o.Start).Seconds(), o.High.Seconds()
	}
	return out
}

// longest returns the bracket of the longest outage of any series that is judged, and whether one lasts.
func (j *watchJudgement) longest() (low, high time.Duration, lasts bool, n int) {
	for _, e := range j.estimates {
		if e.Series.Control {
			continue
		}
		for _, o := range e.Outages {
			low, high, lasts, n = max(low, o.Low), max(high, o.High), lasts || o.End == 0, n+1
		}
	}
	return low, high, lasts, n
}

// promises judges every objective.
func (j *watchJudgement) promises() {
	p := &j.facts.Plan
	if p.RTO > 0 {
		o := ObjectiveResult{ID: "rto", Metric: MetricOutage, Plane: string(probes.DataPlane), Target: "<= " + p.RTO.String()}
		if j.marked {
			j.judgeRTA(&o, p.RTO)
		} else {
			j.judgeOutage(&o, p.RTO)
		}
		j.result.Objectives = append(j.result.Objectives, o)
	}
	if p.SLO > 0 {
		j.result.Objectives = append(j.result.Objectives, j.judgeAvailability(p.SLO))
	}
}

// judgeOutage holds the longest outage to the promise, and the time for which nobody looked.
func (j *watchJudgement) judgeOutage(o *ObjectiveResult, target time.Duration) {
	low, high, lasts, n := j.longest()
	o.LowS, o.HighS = low.Seconds(), high.Seconds()
	switch {
	case lasts:
		o.Value, o.Verdict = fmt.Sprintf("> %s, not over at the end", round(low)), verdictUnless(low > target, Fail)
	case n == 0:
		o.Value = fmt.Sprintf("none seen, up to %s may have gone unseen", round(j.unseen))
		o.Verdict = within(0, j.unseen, target)
	default:
		o.Value = fmt.Sprintf("%s to %s", round(low), round(high))
		o.Verdict = within(low, max(high, j.unseen), target)
	}
}

// judgeRTA judges the time from the mark to the recovery. That nothing was affected proves nothing here: nobody verified
// that anything was broken.
func (j *watchJudgement) judgeRTA(o *ObjectiveResult, target time.Duration) {
	o.Metric = "rta"
	rta := j.result.RTA
	if rta == nil {
		o.Value, o.Verdict = "not measured", Inconclusive
		return
	}
	o.LowS, o.HighS = rta.LowS, rta.HighS
	low, high := seconds(rta.LowS), seconds(rta.HighS)
	switch {
	case rta.Impact == string(probes.NoImpact):
		o.Value, o.Verdict = "no attempt was affected after the mark", Inconclusive
	case !rta.Recovered:
		o.Value, o.Verdict = fmt.Sprintf("> %s, not recovered at the end", round(low)), verdictUnless(low > target, Fail)
	default:
		o.Value, o.Verdict = fmt.Sprintf("%s (±%s)", round(high), round(seconds(rta.ErrorS))), within(low, high, target)
	}
}

// judgeAvailability holds the worst series to the share of good attempts. An attempt that was not made, or that the record
// lacks, may have been good or not.
func (j *watchJudgement) judgeAvailability(slo float64) ObjectiveResult {
	span := max(j.observed, j.facts.Plan.For)
	budget := time.Duration((1 - slo) * float64(span))
	var low, high time.Duration
	share := 1.0
	for _, e := range j.estimates {
		if e.Series.Control {
			continue
		}
		low = max(low, e.Affected)
		high = max(high, e.Affected+time.Duration(e.Counts.Unknown+e.Quality.Missing)*e.Series.Interval)
		share = min(share, float64(e.Counts.OK)/float64(max(e.Counts.Sent, 1)))
	}
	return ObjectiveResult{
		ID: "slo", Metric: MetricAvailability, Plane: string(probes.DataPlane), Verdict: within(low, high, budget),
		Target: fmt.Sprintf(">= %s%%: <= %s of %s", trimmed(100*slo), round(budget), round(span)), LowS: low.Seconds(), HighS: high.Seconds(),
		Value: fmt.Sprintf("%.3f%%: %s unavailable", 100*share, round(low)),
	}
}

// trimmed writes a number without zeros at its end.
func trimmed(v float64) string {
	return strings.TrimRight(strings.TrimRight(fmt.Sprintf("%.6f", v), "0"), ".")
}

// verdict folds everything into one word, none where nothing was promised, and its reason.
func (j *watchJudgement) verdict() (Verdict, string) {
	if !j.facts.Complete {
		return Errored, "the record has no end: gwdr was killed"
	}
	if lost := j.lostForSure(); len(lost) > 0 {
		return Fail, "objectives missed: " + strings.Join(lost, ", ")
	}
	if name := j.silent(); name != "" {
		return Inconclusive, name + " had not one good answer: check the URL, and what is expected of an answer"
	}
	if len(j.result.Objectives) == 0 {
		return "", j.summary()
	}
	if why := j.distrusted(); why != "" {
		return Inconclusive, distrust + why
	}
	for _, v := range []struct {
		verdict Verdict
		text    string
	}{{Fail, "objectives missed: "}, {Inconclusive, "not decided by the measurement: "}} {
		if ids := withVerdict(j.result.Objectives, v.verdict); len(ids) > 0 {
			return v.verdict, v.text + strings.Join(ids, ", ")
		}
	}
	if l := j.facts.Plan.Ledger; l != nil && l.RPO == 0 {
		return Pass, "no revoked key works again; nothing was promised about the other changes"
	}
	return Pass, "what was promised was kept"
}

// silent returns the first series that had attempts and not one good answer, so that no outage can be told from its being up; or "".
// Builds before definitions 4 did not look for it.
func (j *watchJudgement) silent() string {
	for _, e := range j.estimates {
		if j.facts.Definitions > 3 && !e.Series.Control && e.Counts.Sent > 0 && e.Counts.OK+e.Counts.Slow == 0 {
			return e.Series.Name
		}
	}
	return ""
}

// distrusted says why nothing follows from the measurement, or "".
func (j *watchJudgement) distrusted() string {
	if name := j.silent(); name != "" {
		return name
	}
	if len(j.result.Findings) > 0 {
		return j.result.Findings[0]
	}
	return ""
}

// summary says in one line what happened.
func (j *watchJudgement) summary() string {
	low, high, lasts, n := j.longest()
	switch {
	case n == 0:
		return fmt.Sprintf("no outage seen; one of up to %s may have gone unseen", round(j.unseen))
	case lasts:
		return fmt.Sprintf("down, or not shown to be up, at the end: for more than %s", round(low))
	}
	return fmt.Sprintf("the longest outage took %s to %s", round(low), round(high))
}
