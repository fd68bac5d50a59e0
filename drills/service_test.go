package drills

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"gwdr/fleet"
	"gwdr/probes"
	"gwdr/scenarios"
)

// foreseen returns recorded as a build of today records it: who passes requests on checks each 100 ms, and has taken
// us-east-1 and us-east-2 out of use after 180 ms; a promotion took 200 ms to 300 ms before, and 270 ms this time.
func foreseen(t *testing.T) (*scenarios.Scenario, Facts) {
	s, f := recorded(t)
	f.Definitions = definitions
	f.Faults[0].Targets, f.Faults[0].Returned = []string{"us-east-1", "us-east-2", "us-east-control"}, 5010*ms
	check := Check{Every: 100 * ms, Timeout: 250 * ms, Unhealthy: 2, Healthy: 1}
	f.Outlook = &Outlook{
		Fronts: map[probes.Plane]Front{
			probes.DataPlane: {Name: "the edge", Serving: []string{"us-east-1", "us-east-2"}, Standby: []string{"us-west-1", "us-west-2"}, Check: check},
			probes.ControlPlane: {Name: "the edge", Serving: []string{"us-east-control"}, Standby: []string{"us-west-control"},
				Check: check, Retries: 2},
		},
		Actions: map[string]Past{"promote": {Runs: 2, Quickest: 200 * ms, Mean: 250 * ms, Slowest: 300 * ms}},
	}
	f.Detected = []DetectedFact{{At: 5100 * ms, Series: probes.AdminSeries, Plane: probes.ControlPlane}}
	f.Steps = []StepFact{{ID: "promote", Action: "promote", To: "us-west", At: 5110 * ms},
		{ID: "promote", Action: "promote", To: "us-west", At: 5380 * ms, Done: true},
		{ID: "failback", Action: "promote", To: "us-east", At: 12 * time.Second},
		{ID: "failback", Action: "promote", To: "us-east", At: 12100 * ms, Done: true}}
	for _, id := range []string{"us-east-1", "us-east-2"} {
		f.Health = append(f.Health, HealthFact{Plane: probes.DataPlane, Instance: id, Healthy: true, At: 4900 * ms},
			HealthFact{Plane: probes.DataPlane, Instance: id, After: 5160 * ms, At: 5180 * ms})
	}
	for i := range f.Samples { // every instance in turn, of the region that serves
		a := &f.Samples[i]
		a.Instance = []string{"us-east-1", "us-east-2"}[a.Seq%2]
		if a.Due > 5*time.Second {
			a.Instance = []string{"us-west-1", "us-west-2"}[a.Seq%2]
		}
	}
	return s, f
}

func near(got, want float64) bool { return math.Abs(got-want) < 1e-6 }

func TestJudgeService(t *testing.T) {
	s, f := foreseen(t)
	r := Judge(s, f)
	if r.Verdict != Pass || len(r.Findings) > 0 {
		t.Errorf("%s: %s, %q", r.Verdict, r.Reason, r.Findings)
	}
	u := r.Unavailability["data"]
	if u.Series != "clients" || u.Outages != 1 || !near(u.AffectedS, 0.2) || !near(u.HighS, 0.2) || !near(u.SpanS, 10) {
		t.Errorf("%+v", u)
	}
	if b := u.Budget; b == nil || b.SLO != 99.9 || !near(b.AllowedS, 2592) || !near(b.High, 0.2/2592) {
		t.Errorf("%+v", b)
	}
	for plane, want := range map[string][4]float64{"data": {0, 0.202, 2.162, 0.222}, "control": {0, 0.402, 2.362, 0.402}} {
		rta := r.RTA[plane]
		for i, got := range []*float64{rta.FirstAffectedS, rta.FirstSuccessS, rta.StableS, rta.FullServiceS} {
			if got == nil {
				t.Errorf("%s: instant %d was not seen", plane, i)
			} else if math.Abs(*got-want[i]) > 0.021 {
				t.Errorf("%s: instant %d is %v, not %v", plane, i, *got, want[i])
			}
		}
	}
}

// TestJudgeBreakdown wants every turn of events, in the order of their time.
func TestJudgeBreakdown(t *testing.T) {
	s, f := foreseen(t)
	var got []string
	last := -1.0
	for _, m := range Judge(s, f).Breakdown {
		if m.SinceS < last {
			t.Errorf("%s at %v comes after %v", m.Moment, m.SinceS, last)
		}
		last = m.SinceS
		got = append(got, strings.TrimSpace(m.Plane+" "+m.Moment))
	}
	want := []string{"inject", "data impact", "control impact", "control detected", "control decided", "data detected",
		"data first ok", "data full service", "control acted", "control first ok", "control full service", "data stable", "control stable", "control failed back"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestJudgePredicts compares with what the formulas give by hand, and wants a surprise where the measured lies outside, which
// changes no verdict.
func TestJudgePredicts(t *testing.T) {
	late := func(_ *scenarios.Scenario, f *Facts) { f.fail("clients", 5*time.Second, 6*time.Second) }
	for name, test := range map[string]struct {
		change              func(s *scenarios.Scenario, f *Facts)
		plane               string
		detection, recovery []float64 // best, mean, worst
		unknown, finding    string
	}{
		"by health checks": {func(*scenarios.Scenario, *Facts) {}, "data",
			[]float64{0.1, 0.165, 0.23}, []float64{0.1, 0.165, 0.23}, "", ""}, // 100 to 200 ms, the injector's 10 ms, an answer's 20 ms
		"beside a lost location": {func(s *scenarios.Scenario, _ *Facts) {
			s.Steps = append(s.Steps, scenarios.Step{ID: "backups", Fault: string(fleet.LocationDeny)})
		}, "data", []float64{0.1, 0.165, 0.23}, []float64{0.1, 0.165, 0.23}, "", ""},
		"and it was not": {late, "data", []float64{0.1, 0.165, 0.23}, []float64{0.1, 0.165, 0.23}, "", "surprise: data back after 980ms to 1s, predicted 100ms to 230ms"},
		"it stays down": {func(_ *scenarios.Scenario, f *Facts) { f.fail("clients", 5*time.Second, time.Hour) }, "data",
			[]float64{0.1, 0.165, 0.23}, []float64{0.1, 0.165, 0.23}, "", "surprise: data back after more than "},
		"by gwdr and an operator": {func(*scenarios.Scenario, *Facts) {}, "control",
			[]float64{0.08, 0.125, 0.17}, []float64{0.18, 0.375, 0.77}, "", ""}, // three of 40 ms, looked at each 20 ms; half and twice of what a promotion took
		"sooner than that": {func(_ *scenarios.Scenario, f *Facts) { f.Detected[0].At = 5050 * ms }, "control",
			[]float64{0.08, 0.125, 0.17}, []float64{0.18, 0.375, 0.77}, "", "surprise: control noticed after 50ms, predicted 80ms to 170ms"},
		"never run before": {func(_ *scenarios.Scenario, f *Facts) { f.Outlook.Actions = nil }, "control",
			[]float64{0.08, 0.125, 0.17}, nil, "how long promote takes is not known before the scenario was run once", ""},
		"the other plane alone": {func(_ *scenarios.Scenario, f *Facts) { f.Faults[0].Targets = []string{"us-east-control"} }, "data",
			nil, []float64{0, 0, 0}, "", "surprise: data back after 180ms to 202ms, predicted no client affected"},
		"repeated elsewhere": {func(_ *scenarios.Scenario, f *Facts) {
			front := f.Outlook.Fronts[probes.DataPlane]
			front.Retries, front.Broken = 2, 3
			f.Outlook.Fronts[probes.DataPlane] = front
		}, "data", []float64{0.04, 0.075, 0.11}, []float64{0, 0, 0}, "", "predicted no client affected"}, // three of 20 ms in a row
		"nobody says": {func(_ *scenarios.Scenario, f *Facts) { f.Outlook.Fronts = nil }, "data", nil, nil, "it is not known who passes requests on, or to whom", ""},
		"all are lost": {func(_ *scenarios.Scenario, f *Facts) {
			f.Faults[0].Targets = append(f.Faults[0].Targets, "us-west-1", "us-west-2")
		}, "data", nil, nil, "no instance is left that could serve", ""},
		"two operators": {func(s *scenarios.Scenario, _ *Facts) {
			s.Steps = append(s.Steps, scenarios.Step{ID: "again", Recover: "restore", When: scenarios.Detected})
		}, "control", nil, nil, "2 steps bring it back, a prediction is made for one", ""},
		"after a delay": {func(s *scenarios.Scenario, f *Facts) { s.Steps[1].When, f.Detected = "300ms", nil }, "control",
			nil, []float64{0.4, 0.55, 0.9}, "", ""},
		"one fault after the other": {func(s *scenarios.Scenario, _ *Facts) { s.Steps[0].When = "1s" }, "data", nil, nil, "the faults come one after another", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := foreseen(t)
			verdict := Judge(s, f).Verdict
			test.change(s, &f)
			r := Judge(s, f)
			p := r.Predicted[test.plane]
			equal(t, "detection", p.Detection, test.detection)
			equal(t, "recovery", p.Recovery, test.recovery)
			if p.Unknown != test.unknown {
				t.Errorf("unknown is %q, not %q", p.Unknown, test.unknown)
			}
			if all := strings.Join(p.Surprises, "; "); (test.finding == "") != (all == "") || !strings.Contains("surprise: "+all, test.finding) {
				t.Errorf("surprises %q, want %q", all, test.finding)
			}
			if name != "it stays down" && r.Verdict != verdict {
				t.Errorf("verdict %s, was %s: %s", r.Verdict, verdict, r.Reason)
			}
		})
	}
}

func equal(t *testing.T, what string, got *Expected, want []float64) {
	t.Helper()
	if got == nil || want == nil {
		if got != nil || want != nil {
			t.Errorf("%s is %+v, not %v", what, got, want)
		}
		return
	}
	if !near(got.BestS, want[0]) || math.Abs(got.MeanS-want[1]) > 0.011 || !near(got.WorstS, want[2]) {
		t.Errorf("%s is %+v, not %v", what, *got, want)
	}
}

// TestJudgeOlder shows that evidence of older builds gives nothing that those did not report.
func TestJudgeOlder(t *testing.T) {
	s, f := foreseen(t)
	f.Definitions = 0
	r := Judge(s, f)
	if r.Unavailability != nil || r.Breakdown != nil || r.Predicted != nil || r.RTA["data"].StableS != nil {
		t.Errorf("%+v", r)
	}
}

func TestJudgeFullServiceLacksAnInstance(t *testing.T) {
	s, f := foreseen(t)
	for i := range f.Samples {
		if f.Samples[i].Instance == "us-west-2" {
			f.Samples[i].Instance = "us-west-1"
		}
	}
	r := Judge(s, f)
	if want := "full service of the data plane not seen: us-west-2 did not answer"; !slices.Contains(r.Findings, want) || r.RTA["data"].FullServiceS != nil {
		t.Errorf("%q, want %q", r.Findings, want)
	}
}
