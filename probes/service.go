package probes

import (
	"slices"
	"time"
)

// FullService is reached when the latency is back within this much of the baseline's p99, for a second.
const (
	fullFactor = 1.5
	fullWindow = time.Second
	fullStep   = 100 * time.Millisecond
)

// FullService returns the start of the first second at or after from in which every series of the data plane that is not a
// control target had only ok answers with a p99 of at most 1.5 × its baseline's, or half its limit L if that is longer, and
// in which all planned instances answered. The result is false if there was none. It is to 100 ms.
func FullService(estimates []Estimate, samples []Sample, from time.Duration, planned []string) (time.Duration, bool) {
	of := bySeries(samples)
	end := time.Duration(0)
	for _, s := range of {
		sortByDue(s)
		end = max(end, s[len(s)-1].Due)
	}
	for at := from; at+fullWindow <= end; at += fullStep {
		if full(estimates, of, at, planned) {
			return at, true
		}
	}
	return 0, false
}

func full(estimates []Estimate, of map[string][]Sample, at time.Duration, planned []string) bool {
	waiting := slices.Clone(planned)
	for _, e := range estimates {
		if e.Series.Control || e.Series.Plane != DataPlane {
			continue
		}
		window := between(of[e.Series.Name], at, at+fullWindow)
		calm := max(time.Duration(fullFactor*float64(e.Before.P99)), e.Limit/2)
		if len(window) == 0 || okShare(window, e.Limit) < 1 || latency(window).P99 > calm {
			return false
		}
		waiting = slices.DeleteFunc(waiting, func(id string) bool {
			return slices.ContainsFunc(window, func(s Sample) bool { return s.Instance == id })
		})
	}
	return len(waiting) == 0
}

func bySeries(samples []Sample) map[string][]Sample {
	of := map[string][]Sample{}
	for _, s := range samples {
		of[s.Series] = append(of[s.Series], s)
	}
	return of
}
