package drills

import (
	"time"

	"gwdr/fleet"
	"gwdr/probes"
)

// Event is something that a running drill tells its screens. The journal is written first; an Event is never evidence.
// Exactly one of the pointers is set.
type Event struct {
	At      time.Duration // since t0
	Phase   *PhaseEvent
	Fault   *FaultEvent
	Step    *StepEvent
	Sample  *probes.Sample
	Change  *probes.Entry
	Courses []probes.Course  // of every series that is measured now, several times a second; only for who observes
	Fleet   []fleet.Instance // at the preflight, and whenever faults were injected or reverted
	Warning string
	Result  *Result
}

// PhaseEvent says that the drill entered a phase, and why if there is more to say.
type PhaseEvent struct {
	Phase  Phase
	Detail string
}

// FaultEvent says what became of a fault.
type FaultEvent struct {
	ID      string
	Kind    fleet.FaultKind
	Targets []string
	What    string // injected, verified, reverted, NOT reverted
	Detail  string
}

// StepEvent says that a recovery action started or ended.
type StepEvent struct {
	ID     string
	Action string // promote, restore
	Done   bool
	Err    error
}
