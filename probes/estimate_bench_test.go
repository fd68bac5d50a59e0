package probes

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkEstimateOutage estimates one series of a million samples, 20 ms apart, with an outage in the middle: five and a
// half hours of probing.
func BenchmarkEstimateOutage(b *testing.B) {
	const n = 1_000_000
	samples := make([]Sample, n)
	for i := range samples {
		due := time.Duration(i) * tick
		samples[i] = Sample{Series: "orders", Seq: int64(i), Due: due, Sent: due, Done: due + ms, Class: OK}
		if i > n/2 && i < n/2+500 {
			samples[i].Class = FailRefused
		}
	}
	w := Window{Inject: n / 2 * tick, Stable: 10 * time.Second}
	b.ReportAllocs()
	for b.Loop() {
		if e := EstimateOutage(orders, samples, w); len(e.Outages) != 1 {
			b.Fatal(e.Outages)
		}
	}
}

// BenchmarkEstimateLoss compares 100,000 changes with what two regions show.
func BenchmarkEstimateLoss(b *testing.B) {
	const n = 100_000
	var entries []Entry
	var observations []Observation
	for i := range int64(n) {
		id := fmt.Sprint("route-", i)
		entries = append(entries, entry(i+1, RouteChange, id, Acked))
		for _, region := range []string{"us-east", "us-west"} {
			observations = append(observations, Observation{Region: region, Kind: RouteChange, ID: id, Version: i + 1, Data: i + 1})
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if l := EstimateLoss(entries, observations, time.Hour); l.Checked != n {
			b.Fatal(l.Statement)
		}
	}
}

// BenchmarkRecorder appends samples as a drill does.
func BenchmarkRecorder(b *testing.B) {
	r, err := CreateRecorder(b.TempDir() + "/samples.jsonl.zst")
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	s := Sample{Series: "orders-fresh", Class: OK, Status: 200, Instance: "us-east-1", Region: "us-east"}
	b.ReportAllocs()
	for b.Loop() {
		s.Seq++
		s.Due += tick
		s.Sent, s.Done = s.Due+20*time.Microsecond, s.Due+ms
		if err := r.Append(s); err != nil {
			b.Fatal(err)
		}
	}
}
