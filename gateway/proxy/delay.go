package proxy

import (
	"math"
	"sync"
	"time"
)

// memory is how long delays are remembered: what was seen so long ago counts a third.
const memory = 10 * time.Second

// delay is how long an endpoint takes to answer: a mean that forgets, but believes at once what is worse than it. With nothing
// seen it falls, so that an endpoint that was slow is tried again. Source: the peak EWMA of Twitter's Finagle (PeakEwma.scala).
type delay struct {
	mu   sync.Mutex
	mean float64 // nanoseconds; 0: nothing is known
	at   time.Time
}

// observe notes an answer after the time, or, if it failed, that it takes at least so long.
func (d *delay) observe(took time.Duration, failed bool, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	kept, seen := d.weight(now), float64(took)
	mean := d.mean*kept + seen*(1-kept)
	switch {
	case seen > d.mean*kept:
		mean = seen
	case failed:
		return
	}
	d.mean, d.at = max(mean, 1), now
}

// estimate is the delay to reckon with, in nanoseconds; 0: nothing is known.
func (d *delay) estimate(now time.Time) float64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mean * d.weight(now)
}

// weight is how much of what was known counts now.
func (d *delay) weight(now time.Time) float64 {
	return math.Exp(-float64(now.Sub(d.at)) / float64(memory))
}
