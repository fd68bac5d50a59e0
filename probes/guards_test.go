package probes

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// findings checks a script, injected at sample 50, beside a control target that is fine, and returns the guards that do
// not hold.
func findings(g Guards, steps, control string) []string {
	w := Window{Inject: 50 * tick, Stable: time.Second, Limit: limit}
	target := Series{Name: "control", Plane: DataPlane, Interval: tick, Timeout: time.Second, Control: true}
	all := []Estimate{EstimateOutage(orders, script(steps), w), EstimateOutage(target, script(control), w)}
	var names []string
	for _, f := range g.Check(all) {
		names = append(names, f.Guard)
	}
	return names
}

func TestGuards(t *testing.T) {
	fine := "5.9.9."
	promised := map[Plane]time.Duration{DataPlane: 2 * time.Second}
	for name, c := range map[string]struct {
		guards         Guards
		steps, control string
		want           []string
	}{
		"all well":                            {Guards{Baseline: time.Second, Targets: promised}, "5.2x9.", fine, nil},
		"baseline too short":                  {Guards{Baseline: 2 * time.Second}, "5.2x9.", fine, []string{"baseline"}},
		"baseline not healthy":                {Guards{}, "2.x2....", fine, []string{"baseline"}},
		"an attempt of the baseline not made": {Guards{}, "2.?2.9.", fine, nil},
		"control target was down":             {Guards{}, "5.2x9.", "5.xxx9.9.", []string{"control"}},
		"control target was disturbed":        {Guards{}, "5.2x9.", "5.x5.x5.x5.", []string{"control"}},
		"control target was never probed":     {Guards{}, "5.2x9.", "", []string{"control"}},
		"one disturbance of a control target in a hundred is allowed": {Guards{}, "5.2x9.", "6.x9.9.", nil},
		"a disturbance where the outage begins":                       {Guards{}, "5.2x9.", "5.x9.9.", []string{"control"}},
		"a stall where the outage ends":                               {Guards{}, "5.2x9.", "7.?9.9.", []string{"control"}},
		"not made at the start of the outage":                         {Guards{}, "5..?2x9.", fine, []string{"unknown"}},
		"not made at its end":                                         {Guards{}, "5.2x??9.", fine, []string{"unknown"}},
		"not made within it":                                          {Guards{}, "5.1x?1x9.", fine, nil},
		"too coarse": {
			Guards{Targets: map[Plane]time.Duration{DataPlane: time.Second}}, "5.2x9.", fine, []string{"resolution"}},
		"an outage may hide where no attempt was made": {
			Guards{Targets: map[Plane]time.Duration{DataPlane: 2 * time.Second}}, "5.9?9.9.", fine, []string{"resolution"}},
		"no promise for the plane": {
			Guards{Targets: map[Plane]time.Duration{ControlPlane: time.Second}}, "5.2x9.", fine, nil},
		"clock drift":   {Guards{Drift: -50 * ms}, "5.2x9.", fine, []string{"drift"}},
		"a small drift": {Guards{Drift: 49 * ms}, "5.2x9.", fine, nil},
	} {
		if diff := cmp.Diff(c.want, findings(c.guards, c.steps, c.control)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestGuardsWantAControlTargetAndEveryAttempt(t *testing.T) {
	samples := script("5.2x9.")
	samples = append(samples[:60:60], samples[61:]...)
	e := EstimateOutage(orders, samples, Window{Inject: 50 * tick, Stable: time.Second, Limit: limit})
	var got []string
	for _, f := range (Guards{}).Check([]Estimate{e}) {
		got = append(got, f.String())
	}
	want := []string{"missing: orders: the record lacks 1 attempts", "control: no control target was probed"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLateSendingIsFound(t *testing.T) {
	samples := script("5.2x9.")
	for i := range samples {
		if i%20 == 0 {
			samples[i].Sent += tick/2 + ms
		}
	}
	e := EstimateOutage(orders, samples, Window{Inject: 50 * tick, Stable: time.Second, Limit: limit})
	if got := (Guards{}).Check([]Estimate{e}); len(got) == 0 || got[0].Guard != "lag" {
		t.Errorf("findings = %v, want lag", got)
	}
}

// TestBaselineDoesNotBlameWhatTheFaultMet has an attempt that was due shortly before the injection and met the fault, and one
// that hung long before.
func TestBaselineDoesNotBlameWhatTheFaultMet(t *testing.T) {
	for name, c := range map[string]struct {
		seq  int
		want float64
	}{"due within L of the injection": {49, 1}, "due earlier": {44, 0.98}} {
		samples := script("5.2x9.")
		samples[c.seq].Class, samples[c.seq].Done = FailReset, 50*tick+ms
		e := EstimateOutage(orders, samples, Window{Inject: 50 * tick, Stable: time.Second, Limit: limit})
		if e.Quality.BaselineOK != c.want {
			t.Errorf("%s: %.3f of the baseline ok, want %.3f", name, e.Quality.BaselineOK, c.want)
		}
	}
}
