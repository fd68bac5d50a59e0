package probes

import "time"

// stallShare is the part of L after which an answer of a control target shows a stall. L is three times the p99.9 of a series in
// its baseline, or more: who stays below L/3 would have made no attempt slow.
const stallShare = 3

// ControlSeries returns the series of a control target that is probed beside the others: four times as often as the quickest
// of them, but not more often than is of use. A stall of the prober makes an attempt of the others slow if it takes 2L/3 or
// more; one of a control target falls into the first L/4 of it then, at 1/R <= L, and takes longer than L/3.
func ControlSeries(name string, beside ...Series) Series {
	s := beside[0]
	for _, other := range beside {
		if other.Interval < s.Interval {
			s = other
		}
	}
	s.Name, s.Control = name, true
	s.Interval = max(s.Interval/4, MinLimit/4)
	return s
}

// shortStall bounds what a control target may be down for where no bound comes from it.
const shortStall = 3 * MinLimit

// stalled reports whether the control target was down for longer than that.
func stalled(all []Outage) bool {
	for _, o := range all {
		if o.End == 0 || o.End-o.Start > shortStall {
			return true
		}
	}
	return false
}

// calm reports whether an attempt at a control target shows that the prober was not stalled for longer than the patience. One
// that was not sent because it was late shows that as well as one that was; one for which there was no slot does not.
func calm(s *Sample, interval, patience time.Duration) bool {
	late := s.Done - s.Due
	switch s.Class {
	case OK:
		return late <= patience
	case Unknown:
		return late <= patience && s.Sent-s.Due > interval/2
	default:
		return false
	}
}
