package probes

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// MinLimit and MaxLimit bound a series' limit L.
const (
	MinLimit = 20 * time.Millisecond
	MaxLimit = time.Second
)

// Latency is the distribution of the time from due to done, of attempts that brought the right answer, however late.
type Latency struct {
	Count int64         `json:"count"`
	P50   time.Duration `json:"p50_ns"`
	P99   time.Duration `json:"p99_ns"`
	P999  time.Duration `json:"p999_ns"`
}

// LatencyOf returns the latency of the ok attempts among samples that were due in [from, to). It is counted from the due
// time, so that a stall counts for every attempt that it delayed. Quantiles are right to three digits.
func LatencyOf(samples []Sample, from, to time.Duration) Latency {
	sortByDue(samples)
	return latency(between(samples, from, to))
}

func latency(samples []Sample) Latency {
	return quantiles(okHistogram(samples, forever))
}

func quantiles(h *hdrhistogram.Histogram) Latency {
	return Latency{Count: h.TotalCount(), P50: at(h, 50), P99: at(h, 99), P999: at(h, 99.9)}
}

// Limit returns L = clamp(3 × p99.9, 20 ms, 1 s) of the ok attempts of a baseline: a valid answer that took longer since
// its due time is slow. Without any ok attempt it is 1 s.
func Limit(baseline []Sample) time.Duration { return limitOf(baseline, forever) }

// limitOf returns the Limit of those attempts that had ended before inject: the fault delayed the others.
func limitOf(baseline []Sample, inject time.Duration) time.Duration {
	return limitFrom(okHistogram(baseline, inject))
}

func limitFrom(h *hdrhistogram.Histogram) time.Duration {
	if h.TotalCount() == 0 {
		return MaxLimit
	}
	return min(max(3*at(h, 99.9), MinLimit), MaxLimit)
}

// Limits returns the Limit of each series from its attempts that were due at or after from and had ended before inject: what
// EstimateOutage takes by itself, for a Detector.
func Limits(samples []Sample, from, inject time.Duration) map[string]time.Duration {
	of := map[string]*hdrhistogram.Histogram{}
	for i := range samples {
		s := &samples[i]
		if s.Due < from {
			continue
		}
		if of[s.Series] == nil {
			of[s.Series] = newHistogram()
		}
		if s.Class == OK && s.Done < inject {
			record(of[s.Series], s.Done-s.Due)
		}
	}
	limits := make(map[string]time.Duration, len(of))
	for name, h := range of {
		limits[name] = limitFrom(h)
	}
	return limits
}

// okHistogram returns the latencies in µs of the ok attempts that had ended before end.
func okHistogram(samples []Sample, end time.Duration) *hdrhistogram.Histogram {
	h := newHistogram()
	for i := range samples {
		if s := &samples[i]; s.Class == OK && s.Done < end {
			record(h, s.Done-s.Due)
		}
	}
	return h
}

// maxRecorded is the longest time that a histogram tells from longer ones.
const maxRecorded = time.Minute

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, maxRecorded.Microseconds(), 3)
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	// The only error is a value out of range, and clamping leaves none.
	_ = h.RecordValue(min(max(d, 0), maxRecorded).Microseconds())
}

func at(h *hdrhistogram.Histogram, percent float64) time.Duration {
	return time.Duration(h.ValueAtPercentile(percent)) * time.Microsecond
}
