package process

import (
	"context"
	"maps"
	"slices"
	"strings"

	"gwdr/fleet"
)

// injector is how the lab does one kind of fault. It knows nothing of leases: those are the same for all.
type injector struct {
	roles []fleet.Role // of the instances that it can be injected into
	// prepare adds to the undo record what the fault needs beside its targets; nil: nothing.
	prepare func(l *Lab, u fleet.Undo, all []Process) (fleet.Undo, error)
	// inject breaks the targets, all of them, in the supervisor. After an error parts may be broken.
	inject func(s *supervisor, ctx context.Context, f *fault) error
	// revert makes the targets as they were. It may be called again after an error, and of what was only broken in part.
	revert func(s *supervisor, ctx context.Context, f *fault) error
	// look sees from outside, by a path that is not the injection's, that the target is broken, and says what it saw.
	look func(l *Lab, ctx context.Context, f fleet.Fault, t targetID) (string, error)
	// refuse says why this machine cannot do so much of it, in Prepare and again before the injection; nil: it can always.
	refuse func(f fleet.Fault) error

	// still reports how the fault has ended although nobody reverted it, as when somebody else lets a stopped process run; nil if
	// it cannot, or goes on by itself.
	still func(f *fault) error
	// renew extends leases that lie elsewhere than in the supervisor; nil if there are none.
	renew func(s *supervisor, ctx context.Context, f *fault) error
	links bool // it is done to links, and to nothing else
}

// injectors returns what the lab has for each kind of fault that it supports.
func injectors() map[fleet.FaultKind]injector {
	all := map[fleet.FaultKind]injector{}
	for _, family := range []map[fleet.FaultKind]injector{
		processFaults(), storeFaults(), upstreamFaults(), trafficFaults(), configFaults(), linkFaults(), locationFaults(),
	} {
		maps.Copy(all, family)
	}
	return all
}

// Kinds lists the kinds of fault that the lab has, in the order of their names. Whether this machine can do each of them, Prepare
// says.
func Kinds() []fleet.FaultKind { return slices.Sorted(maps.Keys(injectors())) }

// supported names the kinds of fault that the lab has.
func supported() string {
	var names []string
	for _, kind := range Kinds() {
		names = append(names, string(kind))
	}
	return strings.Join(names, ", ")
}
