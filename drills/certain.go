package drills

import (
	"fmt"
	"slices"

	"gwdr/probes"
	"gwdr/scenarios"
)

// certain lists the promises that were broken for sure, however little the drill is worth otherwise.
//
// What the ledger and its read-back show does not depend on the prober, nor on what the fault did: a key that was revoked
// and works, and acknowledged changes that are gone although they are older than the promise allows. What the prober shows
// depends on it; see undisturbed.
func (j *judgement) certain() []string {
	all := j.unpromised()
	for i, o := range j.result.Objectives {
		if o.Verdict == Fail && j.isCertain(j.scenario.Objectives[i], o) {
			all = append(all, o.named())
		}
	}
	return all
}

func (j *judgement) isCertain(o scenarios.Objective, r ObjectiveResult) bool {
	switch o.Metric {
	case scenarios.MetricResurrected:
		return int64(j.loss.Resurrected) > *o.EQ
	case scenarios.MetricRPA:
		return j.loss.RPA.Low > o.LE.D()
	case scenarios.MetricRTA: // "> deadline" alone may only mean that too few attempts were made to show stability
		return j.undisturbed() && r.LowS > o.LE.D().Seconds()
	case scenarios.MetricFailed:
		return j.undisturbed() && int64(j.result.Requests.Failed) > *o.EQ
	}
	return false
}

// stands reports whether what was found of the objective counts although the measurement cannot be trusted: what is certain, and,
// where the faults were in effect, what the ledger showed.
func (j *judgement) stands(i int) bool {
	o, r := j.scenario.Objectives[i], j.result.Objectives[i]
	if r.Verdict == Fail && j.isCertain(o, r) {
		return true
	}
	return j.verified() && (o.Metric == scenarios.MetricRPA || o.Metric == scenarios.MetricResurrected)
}

// harmless are the guards without which an affected attempt is one all the same: one says that the measurement is coarse,
// the other that attempts next to it were not made. Both only make the upper bound worse.
var harmless = []string{probes.GuardResolution, probes.GuardUnknown}

// undisturbed reports whether what failed, failed because of a fault and not of the prober.
func (j *judgement) undisturbed() bool {
	return j.verified() && !slices.ContainsFunc(j.guards, func(f probes.Finding) bool { return !slices.Contains(harmless, f.Guard) })
}

// unpromised says so if revoked keys work again and no objective is about that: nobody needs to promise that they do not.
func (j *judgement) unpromised() []string {
	promised := func(o scenarios.Objective) bool { return o.Metric == scenarios.MetricResurrected }
	if j.loss.Resurrected == 0 || slices.ContainsFunc(j.scenario.Objectives, promised) {
		return nil
	}
	return []string{fmt.Sprintf("resurrected (%d of %d revocations)", j.loss.Resurrected, j.loss.Revoked)}
}
