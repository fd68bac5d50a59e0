package probes

import (
	"context"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// BenchmarkProber probes a real server in a process of its own. It reports the processor time of the probers as a share
// of one processor, how late they send, and what they could not send on time. What of it is the machine's fault says
// floor-p99-us: how late the schedule is kept where it starts nothing, just before or after. An operation is an attempt of each
// series. With -cpu 1 the probers have one processor.
//
// It fails if p99 of the delay at 1,000/s is more than 1 ms, or 0.1 % or more of 10,000/s are unknown, on a quiet machine.
func BenchmarkProber(b *testing.B) {
	for _, c := range []struct {
		name     string
		series   int
		interval time.Duration
		scheme   string
		request  Request
		promise  promise
	}{
		{"4 series at 50 per s", 4, tick, "http", Request{}, promise{}},
		{"1 series at 1000 per s", 1, ms, "http", Request{}, promise{lag: ms}},
		{"1 series at 1000 per s, fresh", 1, ms, "http", Request{Fresh: true}, promise{}},
		{"1 series at 1000 per s, tcp", 1, ms, "tcp", Request{}, promise{}},
		{"10 series at 1000 per s", 10, ms, "http", Request{}, promise{unknown: 0.001}},
		{"100 series at 100 per s", 100, 10 * ms, "http", Request{}, promise{unknown: 0.001}},
		{"1 series at 10000 per s", 1, ms / 10, "http", Request{}, promise{unknown: 0.001}},
		{"1 series at 10000 per s, tcp", 1, ms / 10, "tcp", Request{}, promise{}},
	} {
		b.Run(c.name, func(b *testing.B) {
			_, lines := child(b, "serve")
			lines.Scan()
			request := c.request
			request.URL = c.scheme + "://" + lines.Text()
			floor := bareSchedule(c.interval)
			b.ReportAllocs()
			b.ResetTimer()
			ctx, cancel := context.WithTimeout(b.Context(), time.Duration(b.N)*c.interval)
			defer cancel()
			before := processorTime(b)
			samples := probeAll(ctx, b, request, c.series, c.interval, b.N)
			used := processorTime(b) - before
			b.StopTimer()
			b.ReportMetric(100*used.Seconds()/b.Elapsed().Seconds(), "%cpu")
			floor.Merge(bareSchedule(c.interval))
			b.ReportMetric(float64(at(floor, 99).Microseconds()), "floor-p99-us")
			late := lag(samples)
			b.ReportMetric(float64(late.Microseconds()), "lag-p99-us")
			counts, n := count(samples, time.Second), float64(max(1, len(samples)))
			b.ReportMetric(100*float64(counts.Unknown)/n, "%unknown")
			b.ReportMetric(100*float64(counts.Failed)/n, "%failed")
			c.promise.check(b, floor, late, float64(counts.Unknown)/n)
		})
	}
}

// promise is what a benchmark must keep, where it is not 0.
type promise struct {
	lag     time.Duration // p99 at most
	unknown float64       // share below
}

// check says nothing of a few attempts, nor of a machine that does not even keep a schedule that starts nothing.
func (p promise) check(b *testing.B, floor *hdrhistogram.Histogram, late time.Duration, unknown float64) {
	switch {
	case b.N < 100:
	case at(floor, 99) > ms/2 || at(floor, 100) > minLate:
		b.Logf("the machine is busy: what starts nothing is late by %v (p99) and %v (maximum)", at(floor, 99), at(floor, 100))
	case p.lag > 0 && late > p.lag:
		b.Errorf("p99 of the delay is %v, promised is %v", late, p.lag)
	case p.unknown > 0 && unknown >= p.unknown:
		b.Errorf("%.3f%% are unknown, promised is less than %.3f%%", 100*unknown, 100*p.unknown)
	}
}

// bareSchedule returns how late a schedule is kept that nothing but the machine disturbs.
func bareSchedule(interval time.Duration) *hdrhistogram.Histogram {
	h := newHistogram()
	s := schedule{t0: time.Now(), interval: interval}
	ctx, cancel := context.WithTimeout(context.Background(), 500*ms)
	defer cancel()
	s.run(ctx, func(_ int64, due time.Duration) { record(h, time.Since(s.t0)-due) })
	return h
}

// probeAll runs n probers until ctx ends.
func probeAll(ctx context.Context, b *testing.B, r Request, n int, interval time.Duration, attempts int) []Sample {
	all := make([]Sample, 0, n*attempts+n)
	var mu sync.Mutex
	var probers sync.WaitGroup
	for i := range n {
		p := Prober{
			Series: Series{Name: strconv.Itoa(i), Interval: interval, Timeout: time.Second}, Request: r, T0: time.Now(),
			Out: func(s Sample) {
				mu.Lock()
				defer mu.Unlock()
				all = append(all, s)
			},
		}
		probers.Go(func() {
			if err := p.Run(ctx); err != nil {
				b.Error(err)
			}
		})
	}
	probers.Wait()
	return all
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
