package report

import (
	"slices"
	"time"

	"gwdr/probes"
)

// bucket is what a group of series saw in one slice of time.
type bucket struct {
	start   time.Duration
	sent    int // without unknown ones
	ok      int
	latency []time.Duration // of right answers, however late; sorted
}

// success returns the share of ok attempts. There is none if nothing was sent.
func (b *bucket) success() (share float64, any bool) {
	if b.sent == 0 {
		return 0, false
	}
	return float64(b.ok) / float64(b.sent), true
}

// quantile returns the latency that a share q of the right answers did not exceed (nearest rank).
func (b *bucket) quantile(q float64) (time.Duration, bool) {
	if len(b.latency) == 0 {
		return 0, false
	}
	rank := int(q*float64(len(b.latency))+0.999999) - 1
	return b.latency[min(max(rank, 0), len(b.latency)-1)], true
}

// inBuckets folds the samples of the series that belong into slices of width from start to end. A sample counts where it
// was due: a hung request is bad when it should have been answered.
func inBuckets(samples []probes.Sample, belongs func(series string) bool, start, end, width time.Duration) []bucket {
	buckets := make([]bucket, max(1, int((end-start+width-1)/width)))
	for i := range buckets {
		buckets[i].start = start + time.Duration(i)*width
	}
	for i := range samples {
		s := &samples[i]
		if s.Due < start || s.Due >= end || s.Class == probes.Unknown || !belongs(s.Series) {
			continue
		}
		b := &buckets[int((s.Due-start)/width)]
		b.sent++
		if s.Class == probes.OK {
			b.ok++
		}
		if answered(s.Class) {
			b.latency = append(b.latency, s.Done-s.Due)
		}
	}
	for i := range buckets {
		slices.Sort(buckets[i].latency)
	}
	return buckets
}

// answered reports whether the attempt brought the right answer, however late.
func answered(c probes.Class) bool { return c == probes.OK || c == probes.Slow }

// bucketWidth returns a round width that cuts span into at most most slices.
func bucketWidth(span time.Duration, most int) time.Duration {
	for _, unit := range []time.Duration{100 * time.Millisecond, time.Second, 10 * time.Second, time.Minute, 10 * time.Minute} {
		for _, times := range []time.Duration{1, 2, 5} {
			if w := unit * times; span <= w*time.Duration(most) {
				return w
			}
		}
	}
	return time.Hour
}
