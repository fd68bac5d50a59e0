package drills

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gwdr/probes"
	"gwdr/scenarios"
)

// promises judges every objective.
func (j *judgement) promises() {
	for _, o := range j.scenario.Objectives {
		r := ObjectiveResult{ID: o.ID, Metric: o.Metric, Plane: o.Plane}
		switch {
		case o.LE != nil:
			r.Target = "<= " + o.LE.String()
		case o.EQ != nil:
			r.Target = fmt.Sprintf("== %d", *o.EQ)
		}
		switch o.Metric {
		case scenarios.MetricRTA:
			j.judgeRTA(&r, o)
		case scenarios.MetricRPA:
			j.judgeRPA(&r, o.LE.D())
		case scenarios.MetricResurrected:
			j.judgeResurrected(&r, *o.EQ)
		case scenarios.MetricFailed:
			failed := j.result.Requests.Failed
			r.Value = fmt.Sprintf("%d of %d requests", failed, j.result.Requests.Sent)
			if unsent := j.result.Requests.Unknown; unsent > 0 {
				r.Value += fmt.Sprintf(", %d not sent in time", unsent)
			}
			r.Verdict = verdictIf(int64(failed) == *o.EQ)
		}
		j.result.Objectives = append(j.result.Objectives, r)
	}
}

func verdictIf(ok bool) Verdict {
	if ok {
		return Pass
	}
	return Fail
}

// within judges a bracket against a bound.
func within(low, high, target time.Duration) Verdict {
	switch {
	case high <= target:
		return Pass
	case low > target:
		return Fail
	}
	return Inconclusive
}

func (j *judgement) judgeRTA(r *ObjectiveResult, o scenarios.Objective) {
	rta, ok := probes.Worst(j.estimates, probes.Plane(o.Plane))
	switch {
	case !ok:
		r.Value, r.Verdict = "not measured", Inconclusive
		return
	case !rta.Recovered && !j.sawDeadline():
		r.Value, r.Verdict = fmt.Sprintf("> %s, then the drill ended", round(rta.High)), verdictUnless(rta.High > o.LE.D(), Fail)
	case !rta.Recovered:
		r.Value, r.Verdict = fmt.Sprintf("> %s", j.scenario.Recovered.Deadline), Fail
	case rta.Impact == probes.NoImpact:
		r.Value, r.Verdict = "0s (no impact)", Pass
	default:
		r.Value = fmt.Sprintf("%s (±%s)", round(rta.High), round(rta.Error))
		r.Verdict = within(rta.Low, rta.High, o.LE.D())
	}
	r.LowS, r.HighS = rta.Low.Seconds(), rta.High.Seconds()
	if ids := j.outlasted(probes.Plane(o.Plane)); rta.Recovered && len(ids) > 0 && !o.AfterFault {
		r.Value += ", only after " + strings.Join(ids, ", ") + " had ended"
		r.Verdict = verdictUnless(r.Verdict == Fail, Fail)
	}
}

// verdictUnless returns v if it is certain, else Inconclusive.
func verdictUnless(certain bool, v Verdict) Verdict {
	if certain {
		return v
	}
	return Inconclusive
}

func (j *judgement) sawDeadline() bool {
	return slices.ContainsFunc(j.facts.Aborts, func(a AbortFact) bool { return a.Cause == AbortDeadline })
}

// verdict folds everything into one word and its reason. What makes the drill itself worthless comes before what it found,
// but for what is certain all the same.
func (j *judgement) verdict() (Verdict, string) {
	verdict, reason, worthless := j.worthless()
	certain := j.certain()
	switch {
	case !worthless:
		return j.verdictOfPromises()
	case len(certain) == 0:
		return verdict, reason
	case verdict == Inconclusive:
		return Fail, "certain in spite of what the measurement is worth: " + strings.Join(certain, ", ") + " (" + reason + ")"
	}
	return verdict, reason + "; certain all the same: " + strings.Join(certain, ", ")
}

// worthless tells whether the drill shows nothing of what it was for, and why.
func (j *judgement) worthless() (Verdict, string, bool) {
	f := &j.facts
	for _, a := range f.Aborts {
		switch a.Cause {
		case AbortRefused:
			if f.Definitions > 5 {
				return Refused, a.Reason, true
			}
			return Errored, a.Reason, true
		case AbortInject, AbortError:
			return Errored, a.Reason, true
		case AbortVerify:
			return Inconclusive, a.Reason, true
		case AbortDeadline: // is judged with the promises
		default:
			return Aborted, a.Reason, true
		}
	}
	if !f.Complete {
		return Errored, "the record has no end: the drill was killed", true
	}
	if !j.verified() {
		return Inconclusive, "not every fault was verified to be in effect", true
	}
	if len(j.guards) > 0 {
		return Inconclusive, distrust + j.guards[0].String(), true
	}
	return "", "", false
}

// distrust begins the reason of a verdict where guards did not hold.
const distrust = "the measurement cannot be trusted: "

// Distrusted reports whether the verdict is what it is because guards of the measurement did not hold.
func (r *Result) Distrusted() bool { return strings.HasPrefix(r.Reason, distrust) }

// verified reports whether there were faults, and each was shown to be in effect.
func (j *judgement) verified() bool {
	return len(j.facts.Faults) > 0 && !slices.ContainsFunc(j.facts.Faults, func(f FaultFacts) bool { return !f.Verified })
}

func (j *judgement) verdictOfPromises() (Verdict, string) {
	if missed := append(j.unpromised(), withVerdict(j.result.Objectives, Fail)...); len(missed) > 0 {
		return Fail, "objectives missed: " + strings.Join(missed, ", ")
	}
	if s := j.facts.Settled; s != nil && !s.OK {
		return Fail, "the steady state did not come back after the revert: " + s.Detail
	}
	if open := withVerdict(j.result.Objectives, Inconclusive); len(open) > 0 {
		return Inconclusive, "not decided by the measurement: " + strings.Join(open, ", ")
	}
	if j.sawDeadline() {
		return Inconclusive, j.facts.Aborts[0].Reason
	}
	if n := len(j.result.Objectives); n > 1 || j.facts.Definitions < 4 {
		return Pass, fmt.Sprintf("all %d objectives met", n)
	}
	return Pass, "the objective was met"
}

// cutShort takes every pass back from what was aborted, or ended in an error: what was achieved was not shown to last.
func cutShort(objectives []ObjectiveResult, ended Verdict) {
	for i := range objectives {
		o := &objectives[i]
		if o.Verdict == Pass {
			o.Value += " (not shown to be stable)"
		}
		if o.Verdict != Fail {
			o.Verdict = ended
		}
	}
}

func withVerdict(all []ObjectiveResult, v Verdict) []string {
	var ids []string
	for _, o := range all {
		if o.Verdict == v {
			ids = append(ids, o.named())
		}
	}
	return ids
}

// named is the objective with what was achieved.
func (o ObjectiveResult) named() string { return o.ID + " (" + o.Value + ")" }
