package process

import (
	"context"
	"fmt"
	"slices"

	"gwdr/fleet"
)

// clash reports whether two faults of one process cannot be in effect at the same time: one would undo the other.
func clash(a, b fleet.FaultKind) bool {
	pace := []fleet.FaultKind{fleet.Pause, fleet.Slow, fleet.RestartLoop}
	end := []fleet.FaultKind{fleet.Kill, fleet.StoreWipe, fleet.StoreCorrupt, fleet.DiskFull}
	loops := func(a, b fleet.FaultKind) bool { return a == fleet.RestartLoop && slices.Contains(end, b) }
	keeps := func(a, b fleet.FaultKind) bool {
		return slices.Contains(end[1:], a) && slices.Contains(end[1:], b)
	}
	return slices.Contains(pace, a) && slices.Contains(pace, b) || loops(a, b) || loops(b, a) || keeps(a, b)
}

// clashes returns an error that names a fault in effect with which this one would clash.
func (s *supervisor) clashes(f fleet.Fault, targets []*child) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, other := range s.faults {
		for _, c := range targets {
			if kind := other.undo.Fault.Kind; slices.Contains(other.targets, c) && clash(f.Kind, kind) {
				return fmt.Errorf("fault %s: %s of %s cannot be injected while fault %s, %s, is in effect: one would undo the other",
					f.ID, f.Kind, c.ID, other.undo.Fault.ID, kind)
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
