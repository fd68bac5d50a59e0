package drills

import (
	"fmt"
	"slices"
	"time"

	"gwdr/probes"
	"gwdr/scenarios"
)

// Judge computes the result of a run from what was recorded. It is a pure function: the same facts give the same result
// at any time, anywhere.
func Judge(s *scenarios.Scenario, f Facts) *Result {
	j := &judgement{scenario: s, facts: f}
	j.result = &Result{
		Schema: Schema, ID: f.ID, RunNo: f.RunNo, Scenario: s.Metadata.Name, Title: s.Metadata.Title, Fleet: s.Fleet,
		Strategy: s.Topology.Strategy, PlanSHA256: f.PlanSHA256, Started: f.Started, Ended: f.Ended,
		Objectives: []ObjectiveResult{}, RTA: map[string]RTA{}, RPA: RPA{ByKind: map[string]int{}}, Faults: j.faults(),
		Timeline: f.Phases, Previous: f.Previous, Tool: f.Tool, Evidence: f.Evidence, Clean: j.clean(),
	}
	if f.Calibration != nil {
		j.result.Calibration = f.Calibration.Statement()
	}
	if inject, ok := j.injected(); ok {
		j.measure(inject)
		j.promises()
	}
	j.result.Verdict, j.result.Reason = j.verdict()
	if found, _, worthless := j.worthless(); worthless && found == Inconclusive && f.Definitions > 4 {
		takeBack(j.result.Objectives, j.stands)
	}
	if v := j.result.Verdict; v == Aborted || v == Errored && (f.Definitions > 1 || !f.Complete) { // who was killed reported nothing
		cutShort(j.result.Objectives, v)
	}
	return j.result
}

// judgement is what Judge has found so far.
type judgement struct {
	scenario  *scenarios.Scenario
	facts     Facts
	estimates []probes.Estimate
	losses
	guards []probes.Finding
	result *Result
}

func (j *judgement) finding(format string, args ...any) {
	j.result.Findings = append(j.result.Findings, fmt.Sprintf(format, args...))
}

// injected returns the instant just before the first injector call, if there was one.
func (j *judgement) injected() (time.Duration, bool) {
	first, any := j.firstFault()
	return first.Injected, any
}

// firstFault returns the fault whose injector was called first.
func (j *judgement) firstFault() (first FaultFacts, any bool) {
	for _, f := range j.facts.Faults {
		if !f.InjectedAt.IsZero() && (!any || f.Injected < first.Injected) {
			first, any = f, true
		}
	}
	return first, any
}

// clean reports whether every fault that was meant to be injected is proven gone, and a scan found none.
func (j *judgement) clean() bool {
	reverted := !slices.ContainsFunc(j.facts.Faults, func(f FaultFacts) bool { return !f.Reverted })
	return reverted && len(j.facts.Leftovers) == 0 && (j.facts.Scanned || len(j.facts.Faults) == 0)
}

func (j *judgement) faults() []FaultResult {
	all := []FaultResult{}
	for _, f := range j.facts.Faults {
		r := FaultResult{ID: f.ID, Kind: string(f.Kind), Targets: f.Targets, Verified: f.Verified}
		if !f.InjectedAt.IsZero() {
			r.Injected = &f.InjectedAt
		}
		if f.Reverted {
			r.Reverted = &f.RevertedAt
		}
		all = append(all, r)
	}
	return all
}

// offset returns when the drill entered the phase for the first time, or 0.
func (j *judgement) offset(p Phase) time.Duration {
	for _, t := range j.facts.Phases {
		if t.Phase == p {
			return seconds(t.OffsetS)
		}
	}
	return 0
}

// measure computes what was achieved.
func (j *judgement) measure(inject time.Duration) {
	f := &j.facts
	w := probes.Window{From: f.Baseline.From, Inject: inject, Until: j.offset(Reverting), Stable: j.scenario.Recovered.StableFor.D(),
		Older: f.Definitions == 0}
	j.estimates = probes.EstimateAll(f.Series, slices.Clone(f.Samples), w)
	for _, plane := range []probes.Plane{probes.DataPlane, probes.ControlPlane} {
		if rta, ok := probes.Worst(j.estimates, plane); ok {
			j.result.RTA[string(plane)] = RTA{LowS: rta.Low.Seconds(), PointS: rta.Point.Seconds(), HighS: rta.High.Seconds(),
				ErrorS: rta.Error.Seconds(), Recovered: rta.Recovered, Impact: string(rta.Impact), Series: rta.Series}
		}
	}
	j.traffic(inject)
	j.brownouts(w)
	j.ended()
	j.result.Convergence = j.convergence()
	if len(f.Ledger) > 0 {
		j.compareLedger(inject)
	}
	if f.Definitions > 0 {
		j.service(w)
		j.predict(inject)
		j.breakdown(inject)
	}
	j.guards = probes.Guards{Baseline: j.scenario.SteadyState.Baseline.D(), Targets: j.targets(), Drift: f.Drift,
		Older: f.Definitions == 0}.Check(j.estimates)
	for _, g := range j.guards {
		j.finding("%s", g)
	}
}

// traffic counts the requests of the data plane, and looks at its outages and latency.
func (j *judgement) traffic(inject time.Duration) {
	revert := j.offset(Reverting)
	var counts probes.Counts
	data := map[string]bool{}
	for _, e := range j.estimates {
		if e.Series.Control {
			continue
		}
		j.result.Outages = append(j.result.Outages, e.Outages...)
		for _, o := range e.Outages {
			if revert > 0 && o.Start >= revert {
				j.finding("an outage after the revert: %s, %d attempts affected, from %s after the revert began", o.Series, o.Affected, round(o.Start-revert))
			}
		}
		if e.Series.Plane == probes.DataPlane {
			counts = counts.Add(e.Counts)
			data[e.Series.Name] = true
		}
	}
	j.result.Requests = Requests{Sent: counts.Sent, OK: counts.OK, Slow: counts.Slow, Failed: counts.Failed, Unknown: counts.Unknown}
	samples := slices.DeleteFunc(slices.Clone(j.facts.Samples), func(s probes.Sample) bool { return !data[s.Series] })
	back := inject + seconds(j.result.RTA[string(probes.DataPlane)].HighS)
	j.result.Latency = map[string]Latency{
		"before": latency(samples, j.facts.Baseline.From, inject),
		"during": latency(samples, inject, back),
		"after":  latency(samples, back, 1<<63-1),
	}
}

// brownouts says of outages that spared a part of the requests how much longer they may have lasted than RTA says: an attempt
// that was ok does not show there that it was over.
func (j *judgement) brownouts(w probes.Window) {
	for _, e := range j.estimates {
		if e.Series.Control {
			continue
		}
		own := slices.DeleteFunc(slices.Clone(j.facts.Samples), func(s probes.Sample) bool { return s.Series != e.Series.Name })
		for _, b := range probes.Brownouts(e.Series, own, w) {
			if j.facts.Definitions > 0 {
				j.noteBrownout(b, w.Inject)
			}
			j.finding("a brown-out, not an outage of all requests: %s: %.0f%% of the attempts were affected; it may have lasted up to %s longer than the estimate says",
				b.Series, 100*b.Share, round(b.Margin))
		}
	}
}

func latency(samples []probes.Sample, from, to time.Duration) Latency {
	l := probes.LatencyOf(samples, from, to)
	return Latency{P50S: l.P50.Seconds(), P99S: l.P99.Seconds(), P999S: l.P999.Seconds()}
}

// targets returns the smallest promised recovery time of each plane.
func (j *judgement) targets() map[probes.Plane]time.Duration {
	all := map[probes.Plane]time.Duration{}
	for _, o := range j.scenario.Objectives {
		if o.Metric != scenarios.MetricRTA {
			continue
		}
		plane := probes.Plane(o.Plane)
		if have, ok := all[plane]; !ok || o.LE.D() < have {
			all[plane] = o.LE.D()
		}
	}
	return all
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// round keeps three or four digits, for people.
func round(d time.Duration) time.Duration {
	if d >= 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	if d >= time.Second {
		return d.Round(10 * time.Millisecond)
	}
	return d.Round(time.Millisecond)
}
