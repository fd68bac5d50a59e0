package probes

import "time"

// Unavailability is the integral over a span of the share of requests that were affected: an outage of all requests with
// as many affected ones would have lasted so long. An attempt that was not made may have been either: it is good in Low and
// affected in High. Each outage adds at most 1/R + L at its edges, which the bracket does not hold.
type Unavailability struct {
	Span  time.Duration `json:"span_ns"` // attempts that were due × 1/R
	Low   time.Duration `json:"low_ns"`
	Point time.Duration `json:"point_ns"` // attempts that were not made fare as the others did
	High  time.Duration `json:"high_ns"`
}

// UnavailabilityOf integrates over [from, to), with valid answers later than limit as affected. It may reorder samples.
func UnavailabilityOf(s Series, samples []Sample, from, to, limit time.Duration) Unavailability {
	sortByDue(samples)
	samples = between(samples, from, to)
	c := count(samples, limit)
	affected, due := c.Slow+c.Failed, c.Sent+c.Unknown+absent(s, samples, from, to)
	u := Unavailability{
		Span: s.Interval * time.Duration(due),
		Low:  s.Interval * time.Duration(affected),
		High: s.Interval * time.Duration(affected+due-c.Sent),
	}
	u.Point = u.Low
	if c.Sent > 0 {
		u.Point = time.Duration(float64(u.Span) * float64(affected) / float64(c.Sent))
	}
	return u
}

// absent counts the attempts of [from, to) that the record lacks: in the middle by their numbers, at the ends by the time.
func absent(s Series, samples []Sample, from, to time.Duration) int {
	if len(samples) == 0 {
		return int((to - from) / s.Interval)
	}
	head := (samples[0].Due - from) / s.Interval
	tail := (to - 1 - samples[len(samples)-1].Due) / s.Interval
	return missing(samples) + int(head+tail)
}

// Add returns the sum of u and v, of spans that do not overlap or of other series.
func (u Unavailability) Add(v Unavailability) Unavailability {
	return Unavailability{u.Span + v.Span, u.Low + v.Low, u.Point + v.Point, u.High + v.High}
}

// Budget is what an objective such as 0.999 allows in a period.
type Budget struct {
	Objective float64       // least share of good requests
	Period    time.Duration // such as 28 days
}

// Share returns between which shares of its error budget u has spent: 1 is all of it. Where nothing is allowed, all was
// spent by anything (the Site Reliability Workbook, chapter 2).
func (b Budget) Share(u Unavailability) (low, high float64) {
	return b.share(u.Low), b.share(u.High)
}

func (b Budget) share(spent time.Duration) float64 {
	allowed := (1 - b.Objective) * float64(b.Period)
	switch {
	case spent == 0:
		return 0
	case allowed <= 0:
		return 1
	}
	return float64(spent) / allowed
}
