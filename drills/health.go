package drills

import (
	"context"
	"maps"
	"slices"
	"time"

	"gwdr/probes"
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
