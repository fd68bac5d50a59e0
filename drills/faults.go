package drills

import (
	"slices"
	"sync"
	"time"

	"gwdr/fleet"
)

// faults is what became of the faults, in the order in which they were injected. It is safe for concurrent use.
type faults struct {
	mu    sync.Mutex
	first time.Duration // just before the first injector call
	undos []fleet.Undo
	gone  map[string]bool // proven, by id
	left  bool            // a fault may still be in effect
}

func (f *faults) none() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.undos) == 0
}

func (f *faults) clean() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.left && len(f.gone) == len(f.undos)
}

// add takes a fault that is about to be injected, and returns whether it is the first one.
func (f *faults) add(u fleet.Undo, at time.Duration) (first bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if first = len(f.undos) == 0; first {
		f.first = at
	}
	f.undos = append(f.undos, u)
	return first
}

// reverted says that the fault is proven gone.
func (f *faults) reverted(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone == nil {
		f.gone = map[string]bool{}
	}
	f.gone[id] = true
}

// pending returns the faults that are not proven gone, oldest first.
func (f *faults) pending() []fleet.Undo {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(f.undos), func(u fleet.Undo) bool { return f.gone[u.Fault.ID] })
}

// scanned keeps whether a scan for leftovers found any.
func (f *faults) scanned(left bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.left = left
}

// since returns when the first injector was called.
func (f *faults) since() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.first
}
