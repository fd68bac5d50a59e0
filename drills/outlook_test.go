package drills

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"gwdr/fleet"
	"gwdr/probes"
)

// fronts is how the world passes requests on: it takes a killed instance out of use after 100 ms, by nothing that is configured.
func (l *lab) fronts(context.Context) (map[probes.Plane]Front, error) {
	return map[probes.Plane]Front{
		probes.DataPlane:    {Name: "the world", Serving: []string{"us-east-1"}, Standby: []string{"us-west-1"}, Check: Check{Every: 60 * ms, Timeout: 20 * ms, Unhealthy: 2, Healthy: 1}},
		probes.ControlPlane: {Name: "the world", Serving: []string{"us-east-control"}, Standby: []string{"us-west-control"}, Retries: 2},
	}, nil
}

func (l *lab) health(ctx context.Context) (map[probes.Plane]map[string]bool, error) {
	in, _ := l.world.serving()
	all := map[string]bool{}
	instances, _ := l.world.Instances(ctx) // an injection may be changing them
	for _, other := range instances {
		if other.Role == fleet.Data {
			all[other.ID] = in.ID == "" || in.ID == other.ID || other.Region == "us-west"
		}
	}
	return map[probes.Plane]map[string]bool{probes.DataPlane: all}, nil
}

// TestRunPredicts wants the second run to know how long the first one's promotion took, and both to see when the dead
// instance is passed over.
func TestRunPredicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var before *Result
		evidence := ""
		for n := range 2 {
			l := newLab(t)
			l.Site.Fronts, l.Site.Health = l.fronts, l.health
			if evidence == "" {
				evidence = l.Evidence
			}
			l.Evidence = evidence
			r, err := l.run(t, t.Context())
			if err != nil {
				t.Fatal(err)
			}
			data, control := r.Predicted["data"], r.Predicted["control"]
			if data.Detected == nil || data.Detected.HighS < 0.1 || data.Detected.HighS > 0.14 || data.Detected.LowS > 0.1 {
				t.Errorf("run %d: passed over %+v, want about 0.1 s", n+1, data.Detected)
			}
			if data.Recovery == nil || len(data.Surprises) > 0 {
				t.Errorf("run %d: %+v", n+1, data)
			}
			if control.Detected == nil || control.Detection == nil || (control.Recovery != nil) != (n == 1) {
				t.Errorf("run %d: %+v", n+1, control)
			}
			if before = r; before.Verdict != Pass {
				t.Errorf("%s: %s", before.Verdict, before.Reason)
			}
		}
	})
}

// TestRunWithoutOutlook shows that a drill goes on when nobody can say how requests are passed on.
func TestRunWithoutOutlook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.Site.Fronts = func(context.Context) (map[probes.Plane]Front, error) { return nil, errors.New("no answer") }
		l.Scenario.Safety.KeepHealthyRegions = 0 // else nobody knows whether they are kept
		l.Site.Health = func(context.Context) (map[probes.Plane]map[string]bool, error) { return nil, errors.New("no answer") }
		r, err := l.run(t, t.Context())
		if err != nil || r.Verdict != Pass || r.Predicted["data"].Unknown == "" {
			t.Errorf("%v, %+v", err, r)
		}
	})
}
