package docker

import (
	"context"
	"slices"
	"strings"

	"gwdr/fleet"
)

// injector is how one kind of fault is done to a container. It knows nothing of marks and leases.
type injector struct {
	// prepare refuses a container in which the fault could not be undone, and adds to the target what the others need.
	prepare func(f *Fleet, fault fleet.Fault, c container, t *target) error
	// inject are the stages of the injection: each is done to all targets before the next.
	inject []stage
	// broken returns an error unless the engine says that the fault is in effect.
	broken func(c container, t target) error
	// look sees by another path what broken says, and tells.
	look func(f *Fleet, ctx context.Context, t target) (string, error)
	// revert makes a running target as it was; it may be called when nothing is broken.
	revert func(f *Fleet, ctx context.Context, t target) error
	// whole returns an error unless the engine says that what the fault broke is as it was.
	whole func(c container, t target) error
}

// stage is a part of an injection.
type stage = func(f *Fleet, ctx context.Context, t target) error

// injectors returns what there is for each kind of fault.
func injectors() map[fleet.FaultKind]injector {
	return map[fleet.FaultKind]injector{
		fleet.Kill: {
			prepare: refuseRestart, inject: []stage{(*Fleet).letStayDown, (*Fleet).kill}, broken: isDown, look: (*Fleet).lookSilent,
			revert: (*Fleet).revertRestart, whole: isRestarted,
		},
		fleet.Stop: {
			prepare: prepareStop, inject: []stage{(*Fleet).letStayDown, (*Fleet).stop}, broken: isDown, look: (*Fleet).lookStopped,
			revert: (*Fleet).revertRestart, whole: isRestarted,
		},
		fleet.RestartLoop: {
			prepare: refuseRestart, inject: []stage{(*Fleet).kill, (*Fleet).start}, broken: isAnother, look: (*Fleet).lookLoop,
			revert: (*Fleet).revertRestart, whole: isRestarted,
		},
		fleet.Pause: {
			prepare: refuseNothing, inject: []stage{(*Fleet).pause}, broken: isPaused, look: (*Fleet).lookSilent,
			revert: (*Fleet).unpause, whole: isUnpaused,
		},
		fleet.Isolate: {
			prepare: refuseIsolate, inject: []stage{(*Fleet).disconnect}, broken: isAlone, look: (*Fleet).lookAlone,
			revert: (*Fleet).reconnect, whole: isConnected,
		},
		fleet.Slow: {
			prepare: prepareSlow, inject: []stage{(*Fleet).slowDown}, broken: isSlowed, look: (*Fleet).lookThrottled,
			revert: (*Fleet).speedUp, whole: isUnslowed,
		},
	}
}

func refuseNothing(*Fleet, fleet.Fault, container, *target) error { return nil }

// supported names the kinds of fault that there are.
func supported() string {
	var names []string
	for kind := range injectors() {
		names = append(names, string(kind))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
