package drills

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gwdr/fleet"
	"gwdr/probes"
	"gwdr/scenarios"
)

// healthPatience bounds one question.
const healthPatience = 250 * time.Millisecond

// watchHealth journals each time that whoever passes requests on takes an instance out of use, or into use again, until ctx
// ends.
func (d *drill) watchHealth(ctx context.Context) {
	known := map[probes.Plane]map[string]bool{}
	for last := time.Duration(0); sleep(ctx, pollEvery) == nil; {
		asked := d.offset()
		asking, cancel := context.WithTimeout(ctx, healthPatience)
		now, err := d.Health(asking)
		cancel()
		if err != nil { // the bracket becomes wider
			continue
		}
		at := d.offset()
		for _, plane := range planesInOrder {
			for _, id := range slices.Sorted(maps.Keys(now[plane])) {
				healthy := now[plane][id]
				if before, ok := known[plane][id]; !ok || before != healthy {
					d.note(entryHealth, HealthFact{Plane: plane, Instance: id, Healthy: healthy, After: last, At: at})
				}
			}
		}
		known, last = now, asked
	}
}

// keepsHealthy refuses an injection that would leave fewer regions healthy than the scenario demands, by how they are now and
// not by how they were planned. One that is on its way back is waited for.
func (d *drill) keepsHealthy(ctx context.Context, in scenarios.Injection) error {
	least := d.Scenario.Safety.KeepHealthyRegions
	if least == 0 {
		return nil
	}
	err := poll(ctx, scenarios.VerifyLimit, askEvery, func(ctx context.Context) error {
		instances, err := d.healthyInstances(ctx)
		if err != nil {
			return err
		}
		touched := map[string]bool{}
		for _, id := range in.Targets {
			touched[id] = true
		}
		for _, u := range d.faults.pending() {
			for _, id := range u.Targets {
				touched[id] = true
			}
		}
		if kept := scenarios.HealthyRegions(instances, touched); len(kept) < least {
			return fmt.Errorf("%d regions would stay healthy (%s), safety.keepHealthyRegions demands %d", len(kept), strings.Join(kept, ", "), least)
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		return abortf(AbortHealth, "fault %s was not injected: %v", in.ID, err)
	}
	return err
}

// healthyInstances returns the instances that run, and to which requests are sent as far as that is known.
func (d *drill) healthyInstances(ctx context.Context) ([]fleet.Instance, error) {
	instances, err := d.Fleet.Instances(ctx)
	if err != nil || d.Health == nil {
		return instances, err
	}
	asking, cancel := context.WithTimeout(ctx, healthPatience)
	defer cancel()
	healthy, err := d.Health(asking)
	if err != nil {
		return nil, fmt.Errorf("nobody knows which instances are healthy: %w", err)
	}
	return slices.DeleteFunc(instances, func(in fleet.Instance) bool {
		serves, known := healthy[probes.DataPlane][in.ID]
		return in.Role == fleet.Data && known && !serves
	}), nil
}
