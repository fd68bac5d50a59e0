package process

import (
	"context"
	"fmt"
	"slices"

	"gwdr/fleet"
)

// clash reports whether two faults of one process, or of one location, cannot be in effect at the same time: one would undo the
// other, or they could not be reverted in any order.
func clash(a, b fleet.FaultKind) bool {
	paces := func(k fleet.FaultKind) bool { return k == fleet.Pause || k == fleet.Slow || k == fleet.RestartLoop }
	stores := func(k fleet.FaultKind) bool {
		return k == fleet.StoreWipe || k == fleet.StoreCorrupt || k == fleet.DiskFull
	}
	downs := func(k fleet.FaultKind) bool { return k == fleet.Kill || k == fleet.QuorumLoss }
	one := func(a, b fleet.FaultKind) bool {
		switch a {
		case fleet.RestartLoop: // starts what another keeps down
			return downs(b) || stores(b)
		case fleet.DiskFull: // needs to stop and continue its target
			return paces(b) || downs(b)
		case fleet.StoreCorrupt: // a target may not start again, while it is in effect
			return b == fleet.Kill
		}
		return false
	}
	locations := func(k fleet.FaultKind) bool {
		return k == fleet.LocationDeny || k == fleet.LocationCorrupt || k == fleet.LocationDelete
	}
	return a == fleet.ClockOffset && b == a || locations(a) && locations(b) ||
		paces(a) && paces(b) || stores(a) && stores(b) || one(a, b) || one(b, a)
}

// clashes returns an error that names a fault in effect with which this one would clash.
func (s *supervisor) clashes(u fleet.Undo) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.faults {
		for _, id := range u.Targets {
			if kind := other.undo.Fault.Kind; slices.Contains(other.undo.Targets, id) && clash(u.Fault.Kind, kind) {
				return fmt.Errorf("fault %s: %s of %s cannot be injected while fault %s, %s, is in effect: one would undo the other",
					u.Fault.ID, u.Fault.Kind, id, other.undo.Fault.ID, kind)
			}
		}
	}
	return nil
}

// background runs work until halt is called or ctx ends.
func (f *fault) background(ctx context.Context, work func(context.Context)) {
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		work(ctx)
	}()
	f.halt = func() {
		cancel()
		<-over
	}
}
