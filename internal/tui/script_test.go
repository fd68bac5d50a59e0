package tui

import (
	"slices"
	"time"

	"gwdr/drills"
	"gwdr/fleet"
	"gwdr/probes"
)

var demoInfo = Info{
	Scenario: "region-loss", Title: "Loss of a region", Fleet: "lab",
	RTO: map[probes.Plane]time.Duration{probes.DataPlane: 5 * time.Second, probes.ControlPlane: 15 * time.Second},
	Series: []probes.Series{
		{Name: "orders fresh", Plane: probes.DataPlane, Interval: 20 * time.Millisecond},
		{Name: "orders keepalive", Plane: probes.DataPlane, Interval: 20 * time.Millisecond},
		{Name: "control", Plane: probes.DataPlane, Interval: 20 * time.Millisecond, Control: true},
	},
}

func ms(n int) time.Duration { return time.Duration(n) * time.Millisecond }

// demo is a region-loss: the data plane is back after 380 ms, the admin API after 2.9 s.
func demo() []drills.Event {
	events := []drills.Event{
		{At: 0, Phase: &drills.PhaseEvent{Phase: drills.Planned}},
		{At: ms(20), Fleet: demoFleet("")},
		{At: ms(60), Phase: &drills.PhaseEvent{Phase: drills.Preflight}},
		{At: ms(950), Phase: &drills.PhaseEvent{Phase: drills.Baseline}},
		{At: ms(7800), Phase: &drills.PhaseEvent{Phase: drills.Armed}},
		{At: ms(7900), Phase: &drills.PhaseEvent{Phase: drills.Injecting}},
		{At: ms(8000), Fault: &drills.FaultEvent{ID: "power-cut", Kind: fleet.Kill, What: "injected", Targets: []string{"us-east-1", "us-east-2", "us-east-control"}}},
		{At: ms(8180), Fault: &drills.FaultEvent{ID: "power-cut", What: "verified", Detail: "no process is alive, ports refuse"}},
		{At: ms(8190), Fleet: demoFleet("us-east")},
		{At: ms(8200), Phase: &drills.PhaseEvent{Phase: drills.Observing}},
		{At: ms(8400), Step: &drills.StepEvent{ID: "promote", Action: "promote"}},
		{At: ms(8400), Phase: &drills.PhaseEvent{Phase: drills.Recovering}},
		{At: ms(10800), Step: &drills.StepEvent{ID: "promote", Action: "promote", Done: true}},
		{At: ms(12950), Phase: &drills.PhaseEvent{Phase: drills.Recovered}},
		{At: ms(13000), Phase: &drills.PhaseEvent{Phase: drills.Sustain}},
		{At: ms(15000), Warning: "lease of power-cut was renewed late"},
		{At: ms(16000), Phase: &drills.PhaseEvent{Phase: drills.Reverting}},
		{At: ms(17400), Fault: &drills.FaultEvent{ID: "power-cut", What: "reverted"}},
		{At: ms(17410), Fleet: demoFleet("")},
		{At: ms(17500), Phase: &drills.PhaseEvent{Phase: drills.Settling}},
		{At: ms(21000), Phase: &drills.PhaseEvent{Phase: drills.Reconciling}},
		{At: ms(22100), Phase: &drills.PhaseEvent{Phase: drills.Clean}},
		{At: ms(22200), Result: &drills.Result{Verdict: drills.Pass, Reason: "all objectives were met"}},
	}
	events = append(events, demoSamples()...)
	slices.SortStableFunc(events, func(a, b drills.Event) int { return int(a.At - b.At) })
	return events
}

func demoSamples() []drills.Event {
	var events []drills.Event
	admin := probes.Series{Name: probes.AdminSeries, Plane: probes.ControlPlane, Interval: ms(40)}
	for _, s := range append(demoInfo.Series, admin) {
		up := map[probes.Plane]time.Duration{probes.DataPlane: ms(8380), probes.ControlPlane: ms(10900)}[s.Plane]
		for due := time.Second; due < ms(21000); due += s.Interval {
			a := probes.Sample{Series: s.Name, Due: due, Done: due + ms(1), Class: probes.OK, Reused: s.Name == "orders keepalive"}
			if !s.Control && due > ms(8000) && due < up {
				a.Class = probes.FailRefused
			}
			events = append(events, drills.Event{At: a.Done, Sample: &a})
			if s.Plane == probes.ControlPlane {
				e := probes.Entry{Result: probes.Acked}
				if a.Class != probes.OK {
					e.Result = probes.Indeterminate
				}
				events = append(events, drills.Event{At: a.Done, Change: &e})
			}
		}
	}
	return events
}

// demoFleet is the fleet while the region down is.
func demoFleet(down string) []fleet.Instance {
	all := []fleet.Instance{
		{ID: "edge", Role: fleet.Edge, Running: true},
		{ID: "us-east-1", Region: "us-east", Role: fleet.Data, Running: true},
		{ID: "us-east-2", Region: "us-east", Role: fleet.Data, Running: true},
		{ID: "us-east-control", Region: "us-east", Role: fleet.Control, Running: true},
		{ID: "us-west-1", Region: "us-west", Role: fleet.Data, Running: true},
		{ID: "us-west-2", Region: "us-west", Role: fleet.Data, Running: true},
		{ID: "us-west-control", Region: "us-west", Role: fleet.Control, Running: true},
	}
	for i := range all {
		all[i].Running = all[i].Region == "" || all[i].Region != down
	}
	return all
}
