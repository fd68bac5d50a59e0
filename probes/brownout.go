package probes

import "time"

// Brownout is an outage of a part of the requests: between its first and its last affected attempt there were good ones.
// The edges of such an outage are less certain than those of one that affects every attempt, for an attempt beyond them
// may have been spared: Outage's Low and High are widened by Margin at each.
type Brownout struct {
	Outage
	Share  float64       `json:"share"`     // of the attempts between the first and the last affected one that were affected
	Margin time.Duration `json:"margin_ns"` // the outage began at most so much earlier, and ended so much later, than an outage of all
}

// edgeRisk is the probability, for each edge, with which a brown-out may reach further than its Margin.
const edgeRisk = 1e-4

// Brownouts returns those outages of the series, as EstimateOutage finds them, that were only of a part of the requests.
// If requests are spared at random, the truth lies outside [Low, High] with a probability of at most 2 × 10^-4. It may reorder
// samples.
func Brownouts(s Series, samples []Sample, w Window) []Brownout {
	sortByDue(samples)
	samples = between(samples, w.From, forever)
	if w.Limit == 0 {
		w.Limit = limitOf(between(samples, w.From, w.Inject), w.Inject)
	}
	var all []Brownout
	for _, o := range outages(s, samples, w) {
		if b, partial := brownout(s, samples, w.Limit, o); partial {
			all = append(all, b)
		}
	}
	return all
}

// brownout looks at the attempts of an outage again; partial says that some were good which an outage of all requests would
// not have spared.
func brownout(s Series, samples []Sample, limit time.Duration, o Outage) (b Brownout, partial bool) {
	end := o.End
	if end == 0 {
		end = forever
	}
	during := between(samples, o.Start, end)
	if !anySpared(during, limit) {
		return Brownout{}, false
	}
	n, affected := inside(during, limit)
	lucky := spared(n, affected)
	before := between(samples, 0, o.Start)
	first := reachBack(before, limit, lucky, o.Start)
	margin := s.Interval * time.Duration(lucky)
	b = Brownout{Outage: o, Share: float64(affected) / float64(n), Margin: margin}
	b.Start, b.Low = first, o.Low+o.Start-first
	if o.End != 0 {
		b.High += 2*margin + okBefore(before, limit, o.Start) - okBefore(before, limit, first)
	}
	return b, true
}

// anySpared reports whether an attempt was good that was due later than L after the first affected one, which had met the
// outage by then, and earlier than L before the last one, which was due before its end.
func anySpared(during []Sample, limit time.Duration) bool {
	last := time.Duration(0)
	for i := range during {
		if judge(&during[i], limit) == bad {
			last = during[i].Due
		}
	}
	for i := range during {
		if s := &during[i]; s.Due > during[0].Due+limit && s.Due < last-limit && judge(s, limit) == good {
			return true
		}
	}
	return false
}

// inside counts the attempts that were made between the first and the last affected one, without these two, which are
// affected by choice, and those of them that were affected.
func inside(during []Sample, limit time.Duration) (n, affected int) {
	made, bads, trailing := 0, 0, 0
	for i := range during {
		switch judge(&during[i], limit) {
		case bad:
			made, bads, trailing = made+1, bads+1, 0
		case good:
			made, trailing = made+1, trailing+1
		}
	}
	return made - trailing - 2, bads - 2
}

// spared returns how many attempts in a row are spared with no more than the probability edgeRisk, when affected of n were
// affected: Laplace's rule of succession, so that a share that was itself only estimated from n is not taken for certain.
func spared(n, affected int) int {
	p := 1.0
	for k := 0; k < n+recentSize; k++ {
		if p <= edgeRisk {
			return k
		}
		p *= float64(n-affected+1+k) / float64(n+2+k)
	}
	return n + recentSize
}

// reachBack returns when the first affected attempt was due, looking back from the start of an outage over no more than lucky
// good attempts in a row: a run of three makes an outage begin although others failed shortly before.
func reachBack(before []Sample, limit time.Duration, lucky int, start time.Duration) time.Duration {
	for i, goods := len(before)-1, 0; i >= 0 && goods <= lucky; i-- {
		switch judge(&before[i], limit) {
		case bad:
			start, goods = before[i].Due, 0
		case good:
			goods++
		}
	}
	return start
}

// okBefore returns when the last good attempt before at was due.
func okBefore(samples []Sample, limit, at time.Duration) time.Duration {
	for i := len(samples) - 1; i >= 0; i-- {
		if samples[i].Due < at && judge(&samples[i], limit) == good {
			return samples[i].Due
		}
	}
	return 0
}
