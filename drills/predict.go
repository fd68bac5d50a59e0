package drills

import (
	"fmt"
	"math"
	"slices"
	"time"

	"gwdr/probes"
)

// predict says how soon each plane was expected back, by what was on record before the injection, and compares. A surprise
// is worth a look, and changes no verdict.
func (j *judgement) predict(inject time.Duration) {
	if j.facts.Outlook == nil {
		return
	}
	j.result.Predicted = map[string]Predicted{}
	for _, plane := range planesInOrder {
		rta, ok := j.result.RTA[string(plane)]
		if !ok {
			continue
		}
		f := &foresight{judgement: j, plane: plane, front: j.facts.Outlook.Fronts[plane]}
		p := f.predict()
		if seen, ok := j.detection(plane); ok {
			p.Detected = &Measured{LowS: max((seen.From - inject).Seconds(), 0), HighS: (seen.To - inject).Seconds()}
		}
		p.Surprises = p.surprises(plane, rta)
		for _, s := range p.Surprises {
			j.finding("surprise: %s", s)
		}
		j.result.Predicted[string(plane)] = p
	}
}

var planesInOrder = []probes.Plane{probes.DataPlane, probes.ControlPlane}

// detection returns between which instants it became known that the plane has lost something: of the data plane that whoever
// passes requests on had taken all that was lost out of use, of the control plane that the drill saw an outage.
func (j *judgement) detection(plane probes.Plane) (Span, bool) {
	if plane == probes.DataPlane {
		return j.passedOver()
	}
	if len(j.facts.Detected) == 0 {
		return Span{}, false
	}
	at := j.facts.Detected[0].At // whatever the outage was of: this is what recovery actions wait for
	return Span{From: at, To: at}, true
}

// passedOver returns between which instants the last of the lost instances that served clients was passed over.
func (j *judgement) passedOver() (last Span, all bool) {
	if j.facts.Outlook == nil {
		return Span{}, false
	}
	inject, _ := j.injected()
	lost := j.lostOf(j.facts.Outlook.Fronts[probes.DataPlane])
	for _, id := range lost {
		i := slices.IndexFunc(j.facts.Health, func(h HealthFact) bool {
			return h.Plane == probes.DataPlane && h.Instance == id && !h.Healthy && h.At > inject
		})
		if i < 0 {
			return Span{}, false
		}
		if h := j.facts.Health[i]; h.At > last.To {
			last = Span{From: h.After, To: h.At}
		}
	}
	return last, len(lost) > 0
}

// lost returns the ids of all instances that a fault touched.
func (j *judgement) lost() []string {
	var all []string
	for _, f := range j.facts.Faults {
		if !f.InjectedAt.IsZero() {
			all = append(all, f.Targets...)
		}
	}
	return all
}

// lostOf returns which of the instances that took a front's requests are lost.
func (j *judgement) lostOf(f Front) []string { return both(f.Serving, j.lost()) }

func both(some, others []string) []string {
	return slices.DeleteFunc(slices.Clone(some), func(id string) bool { return !slices.Contains(others, id) })
}

// surprises says what was measured outside of what was predicted.
func (p Predicted) surprises(plane probes.Plane, rta RTA) []string {
	var all []string
	if p.Detection != nil && p.Detected != nil {
		all = append(all, p.Detection.outside(fmt.Sprintf("%s noticed", plane), *p.Detected)...)
	}
	if p.Recovery != nil {
		all = append(all, p.Recovery.outside(fmt.Sprintf("%s back", plane), rta.Bracket())...)
	}
	return all
}

// outside says if what was measured was not expected.
func (e Expected) outside(what string, m Measured) []string {
	low, high := m.LowS, m.HighS
	measured := fmt.Sprintf("%s to %s", round(seconds(low)), round(seconds(high)))
	switch {
	case !e.Misses(low, high):
		return nil
	case math.IsInf(high, 1):
		measured = fmt.Sprintf("more than %s", round(seconds(low)))
	case low == high:
		measured = round(seconds(low)).String()
	}
	if e.WorstS == 0 {
		return []string{fmt.Sprintf("%s after %s, predicted no client affected", what, measured)}
	}
	return []string{fmt.Sprintf("%s after %s, predicted %s to %s", what, measured, round(seconds(e.BestS)), round(seconds(e.WorstS)))}
}
