package telemetry

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/expfmt"

	"gwdr/drills"
	"gwdr/fleet"
	"gwdr/probes"
)

var update = flag.Bool("update", false, "write the golden files anew")

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

var all = []probes.Series{
	{Name: "fresh", Plane: probes.DataPlane, Interval: ms(50), Timeout: 2 * time.Second},
	{Name: "control", Plane: probes.DataPlane, Interval: ms(50), Timeout: 2 * time.Second, Control: true},
}

func newTestProbe() *Probe {
	var plan drills.WatchPlan
	for _, s := range all {
		plan.Series = append(plan.Series, drills.WatchSeries{Series: s})
	}
	return NewProbe("v1.2.3", plan)
}

// sample is attempt seq of fresh: answered after 3 ms, sent 0.3 ms late.
func sample(seq int, class probes.Class) *probes.Sample {
	due := ms(10 + 50*seq)
	return &probes.Sample{Series: "fresh", Seq: int64(seq), Due: due, Sent: due + 300*time.Microsecond, Done: due + ms(3), Class: class}
}

// golden compares all metrics but the build's with a file, and lints them.
func golden(t *testing.T, r prometheus.Gatherer, file string) {
	t.Helper()
	problems, err := testutil.GatherAndLint(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var have strings.Builder
	for _, f := range families {
		if f.GetName() == "gwdr_build_info" {
			continue
		}
		if _, err := expfmt.MetricFamilyToText(&have, f); err != nil {
			t.Fatal(err)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(have.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), have.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// TestProbeMetrics has a series that was down once, and is down again: it answers since 1.5 s, for too short a time.
func TestProbeMetrics(t *testing.T) {
	p := newTestProbe()
	for seq := range 30 {
		class := probes.OK
		if seq >= 10 && seq < 20 {
			class = probes.FailRefused
		}
		p.Observe(drills.WatchEvent{Sample: sample(seq, class)})
	}
	p.Observe(drills.WatchEvent{Sample: sample(30, probes.Unknown)})
	p.Observe(drills.WatchEvent{Sample: &probes.Sample{Series: "a stranger", Class: probes.OK}})
	p.Observe(drills.WatchEvent{Armed: true})
	p.Observe(drills.WatchEvent{Mark: true})
	p.Observe(drills.WatchEvent{At: ms(1700), Courses: []probes.Course{
		{Series: all[0], Back: ms(1500), Outages: []probes.Outage{
			{Series: "fresh", Start: ms(110), End: ms(310), Low: ms(180), High: ms(253)}, {Series: "fresh", Start: ms(510)}}},
		{Series: all[1]},
	}})
	golden(t, p, "testdata/probe.prom")
	if n := testutil.CollectAndCount(p, "gwdr_build_info"); n != 1 {
		t.Errorf("%d builds", n)
	}
}

// TestDrillMetrics has a drill that has ended, with one fault that may still be in effect.
func TestDrillMetrics(t *testing.T) {
	d := NewDrill("v1.2.3", "region-loss", "lab", append(all, probes.Series{Name: probes.AdminSeries, Plane: probes.ControlPlane, Interval: ms(40)}))
	d.Observe(drills.Event{Phase: &drills.PhaseEvent{Phase: drills.Armed}})
	d.Observe(drills.Event{Sample: sample(0, probes.OK)})
	for _, id := range []string{"power-cut", "split"} {
		d.Observe(drills.Event{Fault: &drills.FaultEvent{ID: id, Kind: fleet.Kill, What: "injected"}})
		d.Observe(drills.Event{Fault: &drills.FaultEvent{ID: id, What: "verified"}})
	}
	d.Observe(drills.Event{Fault: &drills.FaultEvent{ID: "split", What: "NOT reverted"}})
	d.Observe(drills.Event{Fault: &drills.FaultEvent{ID: "power-cut", What: "reverted"}})
	for _, r := range []probes.Result{"", probes.Acked, "", probes.Indeterminate} {
		d.Observe(drills.Event{Change: &probes.Entry{Result: r}})
	}
	d.Observe(drills.Event{At: ms(400), Courses: []probes.Course{{Series: all[0]}, {Series: probes.Series{Name: probes.AdminSeries}}}})
	ups := func(want int) {
		t.Helper()
		if n, err := testutil.GatherAndCount(d, "gwdr_probe_up"); n != want || err != nil {
			t.Errorf("%d series are measured, %v; want %d", n, err, want)
		}
	}
	ups(2)
	d.Observe(drills.Event{At: ms(500), Courses: []probes.Course{{Series: all[0]}}}) // the ledger is quiet
	ups(1)
	d.Observe(drills.Event{Phase: &drills.PhaseEvent{Phase: drills.Dirty}})
	d.Observe(drills.Event{Result: &drills.Result{Verdict: drills.Fail,
		RTA: map[string]drills.RTA{"data": {LowS: .38, PointS: .4, HighS: .41, Recovered: true}, "control": {LowS: 20, PointS: 30, HighS: 30}},
		RPA: drills.RPA{LowS: .1, HighS: .2, Acked: 1}}})
	golden(t, d, "testdata/drill.prom")
}

// TestNamesFromAnywhere: the name of a series may hold what is no text, and so may the class of an attempt.
func TestNamesFromAnywhere(t *testing.T) {
	d := NewDrill("v1", "s", "lab", []probes.Series{{Name: "or\xffders", Plane: probes.DataPlane, Interval: ms(20)}})
	for _, class := range []probes.Class{probes.OK, "fail:\xff", "fail:novel"} {
		d.Observe(drills.Event{Sample: &probes.Sample{Series: "or\xffders", Class: class}})
	}
	if n, err := testutil.GatherAndCount(d, "gwdr_probe_attempts_total"); err != nil || n != len(classes)+1 {
		t.Errorf("%d classes, %v; want one more than %d for what is in none", n, err, len(classes))
	}
}

// BenchmarkObserve is what the prober waits for at each attempt.
func BenchmarkObserve(b *testing.B) {
	p := newTestProbe()
	e := drills.WatchEvent{Sample: sample(0, probes.OK)}
	b.Run("one series", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p.Observe(e)
		}
	})
	b.Run("in parallel, scraped", func(b *testing.B) {
		done := make(chan struct{})
		scraping := make(chan struct{})
		go func() {
			defer close(scraping)
			for {
				select {
				case <-done:
					return
				case <-time.After(ms(10)):
					_, _ = p.Gather()
				}
			}
		}()
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				p.Observe(e)
			}
		})
		close(done)
		<-scraping
	})
}
