package probes

import "time"

// Course is how a series has fared so far, by the definitions of EstimateOutage and the limit that a Detector knows.
type Course struct {
	Series  Series
	Outages []Outage // those that are over, and at the end the one that lasts, which has no End
	// Back is when the first ok attempt after the last affected one of the outage that lasts was due: it answers again, but
	// is not shown to be up yet. 0 while it is down.
	Back time.Duration
}

// Lasts returns the outage that is not shown to be over, if there is one.
func (c Course) Lasts() (Outage, bool) {
	if n := len(c.Outages); n > 0 && c.Outages[n-1].End == 0 {
		return c.Outages[n-1], true
	}
	return Outage{}, false
}

// Courses returns the course of every series at the instant now, in the order given to NewDetector.
func (d *Detector) Courses(now time.Duration) []Course {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]Course, len(d.series))
	for i, w := range d.series {
		t := w.at(now)
		c := Course{Series: w.series}
		for _, in := range t.incidents() {
			c.Outages = append(c.Outages, in.outage(w.series, t.limit))
		}
		if t.down && t.back.outcome == good {
			c.Back = t.back.due
		}
		all[i] = c
	}
	return all
}
