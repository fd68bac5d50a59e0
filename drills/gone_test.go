package drills

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestFleetThatIsGone: of a fleet that is gone with its faults nobody waits for a lease to end, or for the steady state to come back.
func TestFleetThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.world.noFailover = true
		var gone time.Time
		l.on(Observing, func() {
			l.world.fail(&l.world.gone, fmt.Errorf("%w: its supervisor was killed", ErrFleetGone))
			gone = time.Now()
		})
		r, err := l.run(t, t.Context())
		took := time.Since(gone)
		if err != nil || r.Verdict != Aborted || !r.Clean || !strings.Contains(r.Reason, "power-cut is not in effect any more: the fleet is gone") {
			t.Errorf("%s: %s, clean %v, %v", r.Verdict, r.Reason, r.Clean, err)
		}
		if lease := l.Scenario.Safety.Lease.D(); took > lease {
			t.Errorf("it took %s, the lease is %s", took, lease)
		}
	})
}
