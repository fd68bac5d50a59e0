package probes

import (
	"context"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// BenchmarkProber probes a real server in a process of its own. It reports the processor time of the probers as a share
// of one processor, how late they send, and what they could not send on time. What of it is the machine's fault says
// floor-p99-us: how late the schedule is kept where it starts nothing, just before. An operation is an attempt of each series.
func BenchmarkProber(b *testing.B) {
	for _, c := range []struct {
		name     string
		series   int
		interval time.Duration
		scheme   string
		request  Request
	}{
		{"4 series at 50 per s", 4, tick, "http", Request{}},
		{"1 series at 1000 per s", 1, ms, "http", Request{}},
		{"1 series at 1000 per s, fresh", 1, ms, "http", Request{Fresh: true}},
		{"1 series at 1000 per s, tcp", 1, ms, "tcp", Request{}},
		{"10 series at 1000 per s", 10, ms, "http", Request{}},
		{"100 series at 100 per s", 100, 10 * ms, "http", Request{}},
		{"1 series at 10000 per s", 1, ms / 10, "http", Request{}},
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
			b.ReportMetric(100*used.Seconds()/b.Elapsed().Seconds(), "%cpu")
			b.ReportMetric(float64(lag(samples).Microseconds()), "lag-p99-us")
			b.ReportMetric(float64(floor.Microseconds()), "floor-p99-us")
			counts := count(samples, time.Second)
			b.ReportMetric(100*float64(counts.Unknown)/float64(max(1, len(samples))), "%unknown")
			b.ReportMetric(100*float64(counts.Failed)/float64(max(1, len(samples))), "%failed")
		})
	}
}

// bareSchedule returns the p99 of how late a schedule is kept that nothing but the machine disturbs.
func bareSchedule(interval time.Duration) time.Duration {
	h := newHistogram()
	s := schedule{t0: time.Now(), interval: interval}
	ctx, cancel := context.WithTimeout(context.Background(), 500*ms)
	defer cancel()
	s.run(ctx, func(_ int64, due time.Duration) { record(h, time.Since(s.t0)-due) })
	return at(h, 99)
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
