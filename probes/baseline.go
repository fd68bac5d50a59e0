package probes

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Baseline folds the attempts of one series in [From, To), before anything is broken, as they end: for who must know L at the
// end of it, and at once. Limits and Guards say the same of evidence.
type Baseline struct {
	Series   Series
	From, To time.Duration // since t0

	latencies   *hdrhistogram.Histogram // of those that were ok and had ended before To
	first, last time.Duration           // due times
	seen        bool
	made        int // and had ended before To
}

// Add takes an attempt that has ended, in any order. Those that were not due in the baseline are ignored.
func (b *Baseline) Add(s *Sample) {
	if s.Due < b.From || s.Due >= b.To {
		return
	}
	if !b.seen {
		b.first, b.last, b.seen = s.Due, s.Due, true
		b.latencies = newHistogram()
	}
	b.first, b.last = min(b.first, s.Due), max(b.last, s.Due)
	if s.Done >= b.To || s.Class == Unknown {
		return
	}
	b.made++
	if s.Class == OK {
		record(b.latencies, s.Done-s.Due)
	}
}

// Limit returns L. It is false, and L is MaxLimit, if no attempt was seen.
func (b *Baseline) Limit() (time.Duration, bool) {
	if !b.seen {
		return MaxLimit, false
	}
	return limitFrom(b.latencies), true
}

// Check returns what the guard of the baseline says, of one that should have been so long. A control target has no such guard.
func (b *Baseline) Check(length time.Duration) []Finding {
	if b.Series.Control {
		return nil
	}
	q := Quality{BaselineOK: 1}
	if b.seen {
		q.Baseline = b.last - b.first + 2*b.Series.Interval
	}
	if b.made > 0 {
		q.BaselineOK = float64(b.good()) / float64(b.made)
	}
	return Guards{Baseline: length}.checkBaseline(b.Series.Name, q)
}

// good counts the attempts that were ok and not slow, as closely as the histogram tells times apart: to three digits.
func (b *Baseline) good() (n int64) {
	limit := limitFrom(b.latencies)
	for _, bar := range b.latencies.Distribution() {
		if bar.Count > 0 && bar.From <= limit.Microseconds() {
			n += bar.Count
		}
	}
	return n
}
