package drills

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"gwdr/probes"
	"gwdr/scenarios"
)

// definitions counts up what a result consists of, so that evidence of older builds gives what those reported: 1 adds
// unavailability, brown-outs, full service, the breakdown, the prediction and the detail of what was lost; 2 lets no objective
// pass where the run ended in an error, or a watch was interrupted; 3 looks for full service only once the last fault is in effect; 4 takes a target that
// was never good in a watch for a mistake, decides no objective of a watch whose measurement cannot be trusted, and predicts nothing of a fault that ends no instance;
// 5 decides no objective of a drill that shows nothing, but what is certain, and what the ledger shows of faults that were in effect, and says of no plane that it came back that did not;
// 6 tells a drill that was refused from one that ended in an error.
const definitions = 6

// service measures what clients had of each plane, beyond how long it took until it was back.
func (j *judgement) service(w probes.Window) {
	of := map[string][]probes.Sample{}
	for _, s := range j.facts.Samples {
		of[s.Series] = append(of[s.Series], s)
	}
	whole, from := of, w // of full service: before the last fault it would be one that did not last
	if last := j.lastFault(); j.facts.Definitions > 2 && last > w.Inject {
		whole, from.Inject = without(of, w.Inject, last), last
	}
	j.result.Unavailability = map[string]Unavailability{}
	for _, plane := range planesInOrder {
		rta, ok := j.result.RTA[string(plane)]
		if !ok {
			continue
		}
		estimates := slices.DeleteFunc(slices.Clone(j.estimates), func(e probes.Estimate) bool {
			return e.Series.Control || e.Series.Plane != plane
		})
		j.result.Unavailability[string(plane)] = j.unavailability(estimates, of, w.Inject)
		instants(&rta, estimates, w.Inject)
		var planned []string
		if plane == probes.DataPlane {
			planned = j.scenario.Topology.Serving(j.lost())
		}
		if at, back := fullService(estimates, whole, from, planned); back {
			rta.FullServiceS = since(at, w.Inject)
		} else if rta.Recovered {
			j.finding("full service of the %s plane not seen: %s", plane, notFull(whole, estimates, from, planned))
		}
		j.result.RTA[string(plane)] = rta
	}
}

// lastFault returns the instant just before the last injector call.
func (j *judgement) lastFault() (last time.Duration) {
	for _, f := range j.facts.Faults {
		if !f.InjectedAt.IsZero() {
			last = max(last, f.Injected)
		}
	}
	return last
}

// without returns the samples of each series but those that were due in [from, to).
func without(of map[string][]probes.Sample, from, to time.Duration) map[string][]probes.Sample {
	rest := map[string][]probes.Sample{}
	for name, samples := range of {
		rest[name] = slices.DeleteFunc(slices.Clone(samples), func(s probes.Sample) bool { return from <= s.Due && s.Due < to })
	}
	return rest
}

func since(at, inject time.Duration) *float64 {
	s := max((at - inject).Seconds(), 0) // an attempt that was in flight was due before
	return &s
}

// unavailability integrates over each series for as long as it was asked, and returns the worst.
func (j *judgement) unavailability(estimates []probes.Estimate, of map[string][]probes.Sample, inject time.Duration) Unavailability {
	var worst probes.Unavailability
	var outages []probes.Outage
	series := ""
	for _, e := range estimates {
		own := of[e.Series.Name]
		outages = append(outages, e.Outages...)
		if len(own) == 0 || e.Series.Interval <= 0 {
			continue
		}
		u := probes.UnavailabilityOf(e.Series, own, inject, max(lastDue(own), inject), e.Limit)
		if series == "" || u.High > worst.High {
			worst, series = u, e.Series.Name
		}
	}
	return Unavailability{Series: series, Outages: together(outages, inject), AffectedS: worst.Low.Seconds(),
		Integral: integral(worst).of(j.scenario.SLO)}
}

// lastDue returns the end of what was observed: just after the last attempt was due. A series that is made to be quiet, as the
// ledger while it is read back, is not unavailable.
func lastDue(samples []probes.Sample) time.Duration {
	last := time.Duration(-1)
	for i := range samples {
		last = max(last, samples[i].Due)
	}
	return last + 1
}

func integral(u probes.Unavailability) Integral {
	return Integral{LowS: u.Low.Seconds(), PointS: u.Point.Seconds(), HighS: u.High.Seconds(), SpanS: u.Span.Seconds()}
}

// of adds what was spent of the error budget that the SLO leaves.
func (i Integral) of(slo scenarios.SLO) Integral {
	low, high := probes.Budget{Objective: slo.Target / 100, Period: slo.Window.D()}.Share(
		probes.Unavailability{Low: seconds(i.LowS), High: seconds(i.HighS)})
	i.Budget = &Budget{SLO: slo.Target, WindowS: slo.Window.D().Seconds(), AllowedS: allowed(slo), Low: low, High: high}
	return i
}

// allowed is the whole budget in seconds, to the millisecond: the percentage is no binary number.
func allowed(slo scenarios.SLO) float64 {
	return math.Round((100-slo.Target)*slo.Window.D().Seconds()*10) / 1000
}

// together counts the outages since the injection; those that overlap are one.
func together(outages []probes.Outage, inject time.Duration) int {
	slices.SortFunc(outages, func(a, b probes.Outage) int { return cmp.Compare(a.Start, b.Start) })
	n, until := 0, time.Duration(-1)
	for _, o := range outages {
		end := o.End
		if end == 0 {
			end = 1<<63 - 1
		}
		if end <= inject {
			continue
		}
		if o.Start > until {
			n++
		}
		until = max(until, end)
	}
	return n
}

// instants are when a plane was first affected, by any series, first answered again, by the worst one, and stable, by all.
func instants(rta *RTA, estimates []probes.Estimate, inject time.Duration) {
	first, stable := time.Duration(-1), time.Duration(0)
	for _, e := range estimates {
		if e.RTA.Impact != probes.NoImpact && (first < 0 || e.RTA.FirstAffected < first) {
			first = e.RTA.FirstAffected
		}
		if e.Series.Name == rta.Series && e.RTA.FirstOK > 0 {
			rta.FirstSuccessS = since(e.RTA.FirstOK, inject)
		}
		stable = max(stable, e.RTA.StableAt)
	}
	if first >= 0 {
		rta.FirstAffectedS = since(first, inject)
	}
	if rta.Recovered && stable > 0 {
		rta.StableS = since(stable, inject)
	}
}

// fullService returns when each series by itself was as quick as before, and every planned instance answered one of them.
func fullService(estimates []probes.Estimate, of map[string][]probes.Sample, w probes.Window, planned []string) (time.Duration, bool) {
	latest := time.Duration(0)
	var all []probes.Sample
	for _, e := range estimates {
		own := of[e.Series.Name]
		at, back := probes.FullService(own, w)
		if !back {
			return 0, false
		}
		latest, all = max(latest, at), append(all, own...)
	}
	if len(planned) > 0 {
		at, back := probes.FullService(all, w, planned...)
		return max(latest, at), back
	}
	return latest, len(estimates) > 0
}

// notFull says what full service lacked.
func notFull(of map[string][]probes.Sample, estimates []probes.Estimate, w probes.Window, planned []string) string {
	silent := slices.DeleteFunc(slices.Clone(planned), func(id string) bool {
		return slices.ContainsFunc(estimates, func(e probes.Estimate) bool {
			return slices.ContainsFunc(of[e.Series.Name], func(s probes.Sample) bool {
				return s.Instance == id && s.Class == probes.OK && s.Due >= w.Inject && (w.Until == 0 || s.Due < w.Until)
			})
		})
	})
	if len(silent) > 0 {
		return strings.Join(silent, ", ") + " did not answer"
	}
	return "slower than before, up to the revert"
}

// noteBrownout keeps a brown-out as numbers.
func (j *judgement) noteBrownout(b probes.Brownout, inject time.Duration) {
	j.result.Brownouts = append(j.result.Brownouts, Brownout{Series: b.Series, Plane: string(b.Plane), StartS: (b.Start - inject).Seconds(),
		LowS: b.Low.Seconds(), HighS: b.High.Seconds(), Share: b.Share, MarginS: b.Margin.Seconds(), Lasting: b.End == 0})
}

// breakdown lists the turns of events, in the order of their time.
func (j *judgement) breakdown(inject time.Duration) {
	tell := func(moment string, plane probes.Plane, at time.Duration, format string, args ...any) {
		j.result.Breakdown = append(j.result.Breakdown, Moment{Moment: moment, Plane: string(plane), At: j.facts.Started.Add(at),
			SinceS: (at - inject).Seconds(), What: fmt.Sprintf(format, args...)})
	}
	if f, any := j.firstFault(); any {
		tell(MomentInject, "", f.Injected, "%s: %s", f.ID, f.Kind)
	}
	for _, plane := range planesInOrder {
		rta := j.result.RTA[string(plane)]
		for _, m := range []struct {
			moment string
			at     *float64
		}{{MomentImpact, rta.FirstAffectedS}, {MomentFirstOK, rta.FirstSuccessS}, {MomentStable, rta.StableS}, {MomentFullService, rta.FullServiceS}} {
			if m.at != nil {
				tell(m.moment, plane, inject+seconds(*m.at), "")
			}
		}
	}
	j.reactions(tell)
	slices.SortStableFunc(j.result.Breakdown, func(a, b Moment) int { return cmp.Compare(a.SinceS, b.SinceS) })
}

// reactions tells who noticed, and what was done.
func (j *judgement) reactions(tell func(moment string, plane probes.Plane, at time.Duration, format string, args ...any)) {
	if seen, ok := j.passedOver(); ok {
		tell(MomentDetected, probes.DataPlane, seen.To, "%s passes over what is lost", j.facts.Outlook.Fronts[probes.DataPlane].Name)
	}
	for _, d := range j.facts.Detected {
		tell(MomentDetected, d.Plane, d.At, "gwdr sees that %s is down", d.Series)
	}
	begun := map[string]bool{}
	for _, s := range j.facts.Steps {
		what := s.Action
		if s.To != "" {
			what += " " + s.To
		}
		switch done := s.Done && s.Error == ""; {
		case done && s.ID == string(Failback):
			tell(MomentFailedBack, probes.ControlPlane, s.At, "%s", what)
		case done:
			tell(MomentActed, probes.ControlPlane, s.At, "%s", what)
		case !begun[s.ID] && s.ID != string(Failback):
			tell(MomentDecided, probes.ControlPlane, s.At, "%s", what)
		}
		begun[s.ID] = true
	}
}
