package cmd

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"gwdr/probes"
	"gwdr/probes/calibration"
)

// BenchmarkCalibration measures the same outages, in one run, as gwdr does and as two others do: one that asks, sleeps for a
// second, and asks again, as an experiment of Chaos Toolkit does with its pauses; and a scrape each second on a schedule, as
// Prometheus does with its blackbox exporter. Outages last from 0.2 s to 2 s. For each it says the mean and the largest error
// of the length, and the share of outages that it did not see at all.
//
//	go test -run '^$' -bench Calibration -benchtime 1x ./cmd
func BenchmarkCalibration(b *testing.B) {
	plan, err := calibration.NewPlan(6, 50)
	if err != nil {
		b.Fatal(err)
	}
	ours, loop, scrape := &errorsOf{}, &errorsOf{}, &errorsOf{}
	for seed := uint64(1); b.Loop(); seed++ {
		record, asked := measureAll(b, plan, seed)
		ours.addTrials(calibration.Judge(record))
		for _, k := range record.Known {
			truth := (k.Ended.From + k.Ended.To - k.Began.From - k.Began.To) / 2
			loop.add(asked[0].closedLoop(k)-truth, asked[0].closedLoop(k) == 0)
			scrape.add(asked[1].scraped(k)-truth, asked[1].scraped(k) == 0)
		}
	}
	for name, e := range map[string]*errorsOf{"gwdr": ours, "loop": loop, "scrape": scrape} {
		e.report(b, name)
	}
	b.ReportMetric(0, "ns/op")
}

// every is the time between two questions of the others.
const every = time.Second

// question is one question of another prober.
type question struct {
	sent time.Duration
	ok   bool
}

type questions struct {
	mu  sync.Mutex
	all []question
}

// measureAll runs a calibration with the two others beside it.
func measureAll(b *testing.B, plan calibration.Plan, seed uint64) (calibration.Record, []*questions) {
	b.Helper()
	rig, err := openRig()
	if err != nil {
		b.Fatal(err)
	}
	defer rig.close()
	r := calibration.Runner{Plan: plan, Seed: seed, Probes: rig.probes(plan), Faults: rig.faults()}
	asked := []*questions{{}, {}}
	client := &http.Client{Timeout: every, Transport: &http.Transport{DisableKeepAlives: true}}
	url := "http://" + rig.link.Addr() + "/"
	run := r.Probes[0].Run
	r.Probes[0].Run = func(ctx context.Context, t0 time.Time, out func(probes.Sample)) error {
		var others sync.WaitGroup
		defer others.Wait()
		others.Go(func() {
			for wait(ctx, every) {
				asked[0].ask(client, url, t0)
			}
		})
		others.Go(func() {
			for i := 1; wait(ctx, time.Duration(i)*every-time.Since(t0)); i++ {
				others.Go(func() { asked[1].ask(client, url, t0) })
			}
		})
		return run(ctx, t0, out)
	}
	record, err := r.Run(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for _, q := range asked {
		slices.SortFunc(q.all, func(a, b question) int { return int(a.sent - b.sent) })
	}
	return record, asked
}

func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

func (q *questions) ask(client *http.Client, url string, t0 time.Time) {
	sent := time.Since(t0)
	response, err := client.Get(url)
	ok := err == nil && response.StatusCode == http.StatusOK
	if err == nil {
		response.Body.Close()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.all = append(q.all, question{sent, ok})
}

// around returns the questions that may tell of the outage.
func (q *questions) around(k calibration.Known) []question {
	return slices.DeleteFunc(slices.Clone(q.all), func(a question) bool { return a.sent < k.Began.From-every || a.sent > k.Ended.To+2*every })
}

// closedLoop is the time from the first question that failed to the next that did not, 0 if none failed.
func (q *questions) closedLoop(k calibration.Known) time.Duration {
	first := time.Duration(-1)
	for _, a := range q.around(k) {
		switch {
		case !a.ok && first < 0:
			first = a.sent
		case a.ok && first >= 0:
			return a.sent - first
		}
	}
	return 0
}

// scraped is the number of scrapes that failed, times their interval: what a graph of probe_success shows.
func (q *questions) scraped(k calibration.Known) time.Duration {
	down := time.Duration(0)
	for _, a := range q.around(k) {
		if !a.ok {
			down += every
		}
	}
	return down
}

// errorsOf are the errors of one way to measure.
type errorsOf struct {
	all    []float64 // ms
	unseen int
}

func (e *errorsOf) add(d time.Duration, unseen bool) {
	e.all = append(e.all, d.Seconds()*1e3)
	if unseen {
		e.unseen++
	}
}

// addTrials takes what gwdr claims; what it calls inconclusive it does not claim.
func (e *errorsOf) addTrials(d calibration.Document) {
	for _, t := range d.Trials {
		if t.Verdict != calibration.Inconclusive {
			e.add(time.Duration((t.Length.PointS-(t.Length.TruthLowS+t.Length.TruthHighS)/2)*float64(time.Second)), t.Length.HighS == 0)
		}
	}
}

func (e *errorsOf) report(b *testing.B, name string) {
	n := float64(len(e.all))
	if n == 0 {
		b.Errorf("%s claims nothing", name)
		return
	}
	bias, worst := 0.0, 0.0
	for _, x := range e.all {
		bias, worst = bias+x/n, max(worst, math.Abs(x))
	}
	b.Log(fmt.Sprintf("%-7s n %3d  bias %8.1fms  max %7.1fms  not seen %d", name, len(e.all), bias, worst, e.unseen))
	b.ReportMetric(bias, name+"-bias-ms")
	b.ReportMetric(worst, name+"-max-ms")
	b.ReportMetric(100*float64(e.unseen)/n, name+"-unseen-%")
}
