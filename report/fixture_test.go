package report

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"gwdr/drills"
	"gwdr/fleet"
	"gwdr/internal/journal"
	"gwdr/probes"
	"gwdr/scenarios"
)

// The fixture is a region-loss as the lab shows it: 8 s of baseline, the data plane down for 380 ms, the admin API for
// 2.9 s, reverted 4 s after the recovery.
const (
	fixtureInject = 8 * time.Second
	fixtureEnd    = 24 * time.Second
)

var fixtureT0 = time.Date(2026, 11, 21, 2, 46, 1, 0, time.UTC)

var fixtureSeries = []probes.Series{
	{Name: "orders/live/fresh", Plane: probes.DataPlane, Interval: 20 * time.Millisecond, Timeout: time.Second},
	{Name: "orders/live/keepalive", Plane: probes.DataPlane, Interval: 20 * time.Millisecond, Timeout: time.Second},
	{Name: "orders/revoked/fresh", Plane: probes.DataPlane, Interval: 50 * time.Millisecond, Timeout: time.Second},
	{Name: "admin/write", Plane: probes.ControlPlane, Interval: 40 * time.Millisecond, Timeout: time.Second},
	{Name: "control", Plane: probes.DataPlane, Interval: 20 * time.Millisecond, Timeout: time.Second, Control: true},
}

// fixtureSamples makes every attempt of the series, the same ones each time.
func fixtureSamples() []probes.Sample {
	random := rand.New(rand.NewPCG(1, 2))
	var all []probes.Sample
	for i, s := range fixtureSeries {
		down := map[probes.Plane]time.Duration{probes.DataPlane: 380 * time.Millisecond, probes.ControlPlane: 2900 * time.Millisecond}[s.Plane]
		if s.Control {
			down = 0
		}
		seq := int64(0)
		for due := time.Second + time.Duration(i)*3*time.Millisecond; due < fixtureEnd; due += s.Interval {
			seq++
			all = append(all, attempt(random, s, seq, due, fixtureInject+down))
		}
	}
	return all
}

func attempt(random *rand.Rand, s probes.Series, seq int64, due, up time.Duration) probes.Sample {
	took := time.Duration(900_000 * math.Exp(0.5*random.NormFloat64()))
	sample := probes.Sample{Series: s.Name, Seq: seq, Due: due, Sent: due, Class: probes.OK, Status: 200,
		Instance: "us-east-1", Region: "us-east", Reused: s.Name == "orders/live/keepalive"}
	if s.Name == "orders/revoked/fresh" {
		sample.Status = 401
	}
	if due > fixtureInject {
		sample.Instance, sample.Region = "us-west-1", "us-west"
		took += time.Duration(random.Float64() * float64(400*time.Microsecond))
	}
	if due > fixtureInject && due < up {
		sample.Instance, sample.Region, sample.Status = "", "", 0
		switch {
		case due < fixtureInject+120*time.Millisecond:
			sample.Class, sample.Error = probes.FailReset, "connection reset by peer"
		case due < fixtureInject+260*time.Millisecond && sample.Reused:
			sample.Class, sample.Error, took = probes.FailTimeout, "deadline exceeded", s.Timeout
		default:
			sample.Class, sample.Status, sample.Error = probes.FailStatus, 503, "status is 503"
		}
	} else if due >= up && due < up+200*time.Millisecond && up > fixtureInject {
		took += time.Duration(random.Float64() * float64(30*time.Millisecond))
	}
	sample.Done = due + took
	return sample
}

func fixtureLedger() []probes.Entry {
	kinds := []probes.ChangeKind{probes.RouteChange, probes.SpecChange, probes.KeyChange, probes.RevokeChange}
	var all []probes.Entry
	for seq := int64(1); seq <= 560; seq++ {
		due := time.Second + time.Duration(seq)*40*time.Millisecond
		e := probes.Entry{Change: probes.Change{Seq: seq, Kind: kinds[seq%4], ID: "ledger"}, Due: due, Sent: due}
		all = append(all, e)
		e.Done, e.Result = due+3*time.Millisecond, probes.Acked
		if due > fixtureInject && due < fixtureInject+2900*time.Millisecond {
			e.Result, e.Error = probes.Indeterminate, "connection reset by peer"
			if seq%3 == 0 {
				e.Result, e.Error = probes.Rejected, "control plane takes no writes"
			}
		}
		all = append(all, e)
	}
	return all
}

func fixtureObservations() []probes.Observation {
	var all []probes.Observation
	for i := int64(1); i <= 420; i++ {
		o := probes.Observation{Region: "us-west", Kind: probes.RouteChange, ID: "ledger", Version: i, Data: i}
		if i%4 == 0 {
			o.Kind, o.Revoked, o.Refused = probes.KeyChange, true, true
		}
		all = append(all, o)
	}
	return all
}

var fixturePhases = []struct {
	phase drills.Phase
	at    time.Duration
}{
	{drills.Planned, 0}, {drills.Validated, 20 * time.Millisecond}, {drills.Preflight, 60 * time.Millisecond},
	{drills.Announced, 900 * time.Millisecond}, {drills.Baseline, 950 * time.Millisecond},
	{drills.Armed, 7800 * time.Millisecond}, {drills.Injecting, 7900 * time.Millisecond}, {drills.Observing, 8200 * time.Millisecond},
	{drills.Recovering, 8400 * time.Millisecond}, {drills.Recovered, 12950 * time.Millisecond}, {drills.Sustain, 13 * time.Second},
	{drills.Reverting, 16 * time.Second}, {drills.Settling, 17500 * time.Millisecond}, {drills.Reconciling, 21 * time.Second},
	{drills.Clean, 24100 * time.Millisecond},
}

func fixtureScenario(t testing.TB) *scenarios.Scenario {
	t.Helper()
	s, err := scenarios.Load("region-loss")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fixtureBundle is the fixture as it would be read from an evidence directory.
func fixtureBundle(t testing.TB) *Bundle {
	t.Helper()
	b := &Bundle{
		Dir: "evidence/20261121T024601Z-region-loss-a1b2", Scenario: fixtureScenario(t), Result: fixtureResult(), Passes: 3,
		Journal: fixtureJournal(t),
		Facts: drills.Facts{
			Started: fixtureT0, Series: fixtureSeries, Samples: fixtureSamples(), Ledger: fixtureLedger(), Survivors: fixtureObservations(),
			Baseline: drills.Span{From: time.Second, To: fixtureInject},
			Faults: []drills.FaultFacts{{ID: "power-cut", Kind: fleet.Kill, Injected: fixtureInject, InjectedAt: fixtureT0.Add(fixtureInject),
				Verified: true, Detail: "no process of us-east-control, us-east-1, us-east-2 is alive, their ports refuse connections"}},
			Detected: []drills.DetectedFact{{At: fixtureInject + 60*time.Millisecond, Series: "orders/live/fresh", Plane: probes.DataPlane}},
			Steps:    []drills.StepFact{{ID: "promote", Action: "promote", To: "us-west"}, {ID: "promote", Action: "promote", To: "us-west", Done: true}},
			Digests: []drills.DigestFact{{Stage: drills.Reconciling, Region: "us-east", Digest: hashOf([]byte("x"))},
				{Stage: drills.Reconciling, Region: "us-west", Digest: hashOf([]byte("x"))}},
			Backups: []drills.Backup{{Point: "20261121T024558Z-412-0a1b2c3d", Time: fixtureT0.Add(-3 * time.Second), Locations: []string{"local", "nas", "offsite"}, Age: 3 * time.Second}},
		},
		Files: []File{
			{drills.JournalFile, hashOf([]byte("j")), 9813}, {drills.LedgerFile, hashOf([]byte("l")), 20148}, {drills.PlanFile, hashOf([]byte("p")), 2310},
			{drills.ReadbackFile, hashOf([]byte("r")), 7712}, {drills.ReportFile, hashOf([]byte("o")), 5221}, {drills.SamplesFile, hashOf([]byte("s")), 151_312},
		},
	}
	markSlow(b.Facts)
	return b
}

func fixtureJournal(t testing.TB) []journal.Entry {
	var all []journal.Entry
	add := func(kind string, offset time.Duration, data map[string]any) {
		raw, err := json.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, journal.Entry{Type: kind, OffsetS: offset.Seconds(), At: fixtureT0.Add(offset), Data: raw})
	}
	add("fault-injected", fixtureInject+100*time.Millisecond, map[string]any{"id": "power-cut", "at_ns": fixtureInject})
	add("fault-verified", fixtureInject+180*time.Millisecond, map[string]any{"id": "power-cut"})
	add("step", fixtureInject+2800*time.Millisecond, map[string]any{"id": "promote", "action": "promote", "done": true})
	add("fault-reverted", 17400*time.Millisecond, map[string]any{"id": "power-cut"})
	return all
}

func fixtureResult() *drills.Result {
	injected, reverted := fixtureT0.Add(fixtureInject), fixtureT0.Add(17400*time.Millisecond)
	r := &drills.Result{
		Schema: drills.Schema, ID: "20261121T024601Z-region-loss-a1b2", RunNo: 7, Scenario: "region-loss", Title: "Loss of a region",
		Fleet: "lab", Strategy: "warm-standby", Verdict: drills.Pass, Clean: true, Reason: "all 4 objectives were met", PlanSHA256: hashOf([]byte("p")),
		Started: fixtureT0, Ended: fixtureT0.Add(24200 * time.Millisecond),
		Objectives: []drills.ObjectiveResult{
			{ID: "rto", Metric: "rta", Plane: "data", Target: "<= 5s", LowS: 0.36, HighS: 0.388, Value: "388ms", Verdict: drills.Pass},
			{ID: "rto-admin", Metric: "rta", Plane: "control", Target: "<= 15s", LowS: 2.88, HighS: 2.932, Value: "2.93s", Verdict: drills.Pass},
			{ID: "rpo", Metric: "rpa", Target: "<= 2s", Value: "0 of 481 lost", Verdict: drills.Pass},
			{ID: "no-resurrection", Metric: "resurrected", Target: "== 0", Value: "0", Verdict: drills.Pass},
		},
		RTA: map[string]drills.RTA{
			"data":    {LowS: 0.36, PointS: 0.38, HighS: 0.388, ErrorS: 0.04, Impact: "outage", Series: "orders/live/keepalive"},
			"control": {LowS: 2.88, PointS: 2.92, HighS: 2.932, ErrorS: 0.06, Impact: "outage", Series: "admin/write"},
		},
		RPA:      drills.RPA{Acked: 481, Indeterminate: 48, ByKind: map[string]int{}, Statement: "0 of 481 acknowledged changes lost (loss fraction < 0.62% at 95%)"},
		Requests: drills.Requests{Sent: 3453, OK: 3341, Slow: 9, Failed: 101, Unknown: 2},
		Faults:   []drills.FaultResult{{ID: "power-cut", Kind: "kill", Targets: []string{"us-east-1", "us-east-2", "us-east-control"}, Verified: true, Injected: &injected, Reverted: &reverted}},
		Latency:  map[string]drills.Latency{"before": {P50S: 0.0009, P99S: 0.0028, P999S: 0.0041}, "during": {P50S: 0.0012, P99S: 0.0031, P999S: 0.0042}, "after": {P50S: 0.0011, P99S: 0.0033, P999S: 0.0262}},
		Outages: []probes.Outage{
			{Series: "orders/live/keepalive", Plane: probes.DataPlane, Start: fixtureInject + 3*time.Millisecond, End: fixtureInject + 383*time.Millisecond},
			{Series: "admin/write", Plane: probes.ControlPlane, Start: fixtureInject + 9*time.Millisecond, End: fixtureInject + 2929*time.Millisecond},
		},
		Findings: []string{"resolution: admin/write: 1/R + L is 60ms: fine for a promise of 15s, too coarse for one below 600ms"},
		Previous: hashOf([]byte("6")), Tool: "gwdr v0.1.0", Evidence: "evidence/20261121T024601Z-region-loss-a1b2",
	}
	for _, p := range fixturePhases {
		r.Timeline = append(r.Timeline, drills.TimelineEntry{Phase: p.phase, At: fixtureT0.Add(p.at), OffsetS: p.at.Seconds()})
	}
	return r
}
