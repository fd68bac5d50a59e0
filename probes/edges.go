package probes

import (
	"fmt"
	"slices"
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

// disturbed reports whether an attempt of a control target that was under way at the edge shows that the prober was stalled for
// long enough to make an attempt of the other series slow.
func (a stretch) disturbed(control Estimate, limit time.Duration) bool {
	near := between(control.attempts, a.from-control.Series.Timeout, a.to+1)
	return slices.ContainsFunc(near, func(s Sample) bool {
		return a.meets(stretch{s.Due, s.Done}) && !calm(&s, control.Series.Interval, limit/stallShare)
	})
}

// checkEdges wants a control target to be answered quickly where the bounds come from: one attempt in a hundred may be late
// elsewhere, but a stall there makes an attempt slow that the gateway would have answered in time.
func (g Guards) checkEdges(control, e Estimate) []Finding {
	if g.Older {
		return checkOlderEdges(control, e)
	}
	for _, edge := range e.edges {
		if edge.disturbed(control, e.Limit) {
			return []Finding{{Guard: GuardControl, Series: control.Series.Name, Text: fmt.Sprintf(
				"disturbed at an edge of the outage of %s, though no fault touches it: so was the prober", e.Series.Name)}}
		}
	}
	return nil
}

// checkOlderEdges is checkEdges of builds before definitions 1: they wanted a control target to be ok there, by its own L.
func checkOlderEdges(control, e Estimate) []Finding {
	for _, edge := range e.edges {
		met := func(s Sample) bool {
			return judge(&s, control.Limit) != good && edge.meets(stretch{s.Due, s.Done})
		}
		if slices.ContainsFunc(control.attempts, met) {
			return []Finding{{Guard: GuardControl, Series: control.Series.Name, Text: fmt.Sprintf(
				"not ok at an edge of the outage of %s, though no fault touches it: the prober itself was disturbed", e.Series.Name)}}
		}
	}
	return nil
}
