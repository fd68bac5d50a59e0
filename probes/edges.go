package probes

import (
	"fmt"
	"time"
)

// stretch is a time since t0.
type stretch struct{ from, to time.Duration }

func (a stretch) meets(b stretch) bool { return a.from <= b.to && b.from <= a.to }

// edges returns where the bounds of an RTA come from: around the first affected attempt, and from the last one to the answer of
// the first that was ok.
func edges(s Series, w Window, r RTA) []stretch {
	if r.Impact == NoImpact {
		return nil
	}
	all := []stretch{{r.FirstAffected - s.Interval, r.FirstAffected + w.Limit}}
	if r.Recovered {
		all = append(all, stretch{w.Inject + r.Low, w.Inject + r.High})
	}
	return all
}

// notOK returns when the attempts that were not ok, or not made, were under way.
func notOK(samples []Sample, limit time.Duration) []stretch {
	var all []stretch
	for i := range samples {
		if s := &samples[i]; judge(s, limit) != good {
			all = append(all, stretch{s.Due, s.Done})
		}
	}
	return all
}

// checkEdges wants a control target to be ok where the bounds come from: one attempt in a hundred may be late elsewhere, but a
// stall there makes an attempt slow that the gateway would have answered in time.
func checkEdges(control, e Estimate) []Finding {
	for _, edge := range e.edges {
		for _, d := range control.disturbed {
			if edge.meets(d) {
				return []Finding{{Guard: GuardControl, Series: control.Series.Name, Text: fmt.Sprintf(
					"not ok at an edge of the outage of %s, though no fault touches it: the prober itself was disturbed", e.Series.Name)}}
			}
		}
	}
	return nil
}
