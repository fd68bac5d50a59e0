package drills

import (
	"context"
	"runtime"
	"strconv"
	"testing"
	"time"

	"gwdr/probes"
)

// BenchmarkJudgeWatch reads the evidence of 100 s at 10,000 attempts a second and judges it, with an outage in the middle. It
// reports how much the heap had to grow for it, and what is still held at the end, for each attempt.
func BenchmarkJudgeWatch(b *testing.B) {
	const n = 1_000_000
	dir := writeWatch(b, n, time.Second/10000)
	var before, after, held runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	b.ReportAllocs()
	for b.Loop() {
		facts, err := ReadWatch(dir)
		if err != nil {
			b.Fatal(err)
		}
		if r := JudgeWatch(facts); len(r.Series[0].Outages) != 1 {
			b.Fatalf("%+v", r)
		}
		runtime.ReadMemStats(&after)
		runtime.GC()
		runtime.ReadMemStats(&held)
		runtime.KeepAlive(facts)
	}
	b.ReportMetric(float64(after.HeapSys-before.HeapSys)/n, "grown-B/attempt")
	b.ReportMetric(float64(held.HeapAlloc-before.HeapAlloc)/n, "held-B/attempt")
}

// writeWatch leaves the evidence of a watch that made n attempts, half of which had ended before an earlier one did.
func writeWatch(b *testing.B, n int, interval time.Duration) (dir string) {
	b.Helper()
	s := probes.Series{Name: "keepalive", Plane: probes.DataPlane, Interval: interval, Timeout: time.Second}
	w := &Watch{Evidence: b.TempDir(), Tool: "test", Plan: WatchPlan{Targets: []WatchTarget{{Kind: "http", URL: "http://gateway/", Expect: 200}},
		Series: []WatchSeries{{Series: s}}, Baseline: 2 * time.Second, Stable: 2 * time.Second}}
	v, err := w.begin(time.Now())
	if err != nil {
		b.Fatal(err)
	}
	for i := range n {
		i ^= 1
		due := v.baseline.From + time.Duration(i)*interval
		a := probes.Sample{Series: s.Name, Seq: int64(i), Due: due, Sent: due + 20*time.Microsecond, Done: due + time.Millisecond, Class: probes.OK,
			Status: 200, Reused: true, FirstByte: 500 * time.Microsecond}
		if i > n/2 && i < n/2+5000 {
			a.Class, a.Status, a.Reused, a.FirstByte = probes.FailReset, 0, false, 0
			a.Error = "read tcp 127.0.0.1:" + strconv.Itoa(32768+i%10000) + "->127.0.0.1:80: read: connection reset by peer"
		}
		v.sample(a)
	}
	if err := v.end(context.Background()); err != nil {
		b.Fatal(err)
	}
	v.screens.close()
	return v.dir
}
