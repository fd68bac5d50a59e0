package scenarios

import (
	"fmt"
	"slices"
	"time"

	"gwdr/fleet"
)

// Injection is one fault in the instances that it is injected into together. A step has several where its targets come one
// after another, or where it is repeated.
type Injection struct {
	ID      string          `json:"id"` // of the fault: the step's, or step-1, step-2, ... if it has several
	Step    string          `json:"step"`
	Kind    fleet.FaultKind `json:"kind"`
	With    fleet.Params    `json:"with,omitzero"`
	Targets []string        `json:"targets"` // ids of instances
	Start   Start           `json:"start"`
	End     End             `json:"end"`
}

// Start is when a step begins: a delay after what it counts from.
type Start struct {
	After    string        `json:"after,omitempty"`    // a step that must be over: its faults reverted, or its recovery done; empty is the first injection
	Behind   string        `json:"behind,omitempty"`   // an injection of the same step that must be reverted besides
	Delay    time.Duration `json:"delay_ns"`           // after the one, or the first injection
	Detected bool          `json:"detected,omitempty"` // a recovery: once an outage is seen, and no delay
}

// maxInjections bounds what one drill injects.
const maxInjections = 100

// start returns when the i-th step begins. One that stands below a recovery, and does not say after what it comes, comes after
// that; what comes first is due at once, whatever its delay.
func (s *Scenario) start(i int) Start {
	step := s.Steps[i]
	delay, _ := step.Delay() // validated
	st := Start{After: step.After, Delay: delay, Detected: step.Recover != "" && step.When == Detected}
	if st.Detected {
		st.Delay = 0
	}
	for above := i - 1; above >= 0 && st.After == ""; above-- {
		if s.Steps[above].Recover != "" {
			st.After = s.Steps[above].ID
		}
	}
	if st.After == "" && step.Fault != "" && st.Delay == s.firstDelay() {
		st.Delay = 0
	}
	return st
}

// firstDelay is that of the faults that come first.
func (s *Scenario) firstDelay() time.Duration {
	first := time.Duration(-1)
	for _, step := range s.Steps {
		if step.Recover != "" {
			break // what is below comes after it
		}
		if delay, _ := step.Delay(); step.After == "" && (first < 0 || delay < first) {
			first = delay
		}
	}
	return first
}

// Recovery returns when a recovery step begins.
func (s *Scenario) Recovery(step Step) Start {
	return s.start(slices.IndexFunc(s.Steps, func(other Step) bool { return other.ID == step.ID }))
}

// expand returns the injections of one step.
func (step Step) expand(targets []string, start Start) []Injection {
	groups := [][]string{targets}
	if step.Stagger > 0 {
		groups = slices.Collect(slices.Chunk(targets, 1))
	}
	end := step.End()
	inTurn := !end.Recovered && step.Stagger > 0 && end.Hold <= step.Stagger.D() // each is over before the next begins
	var all []Injection
	for round := range max(step.Repeat.Times, 1) {
		for k, group := range groups {
			in := Injection{ID: fmt.Sprintf("%s-%d", step.ID, len(all)+1), Step: step.ID, Kind: fleet.FaultKind(step.Fault), With: step.With,
				Targets: group, Start: start, End: end}
			in.Start.Delay += time.Duration(round)*step.Repeat.Every.D() + time.Duration(k)*step.Stagger.D()
			if inTurn && len(all) > 0 {
				in.Start.Behind = all[len(all)-1].ID
			} else if round > 0 {
				in.Start.Behind = all[len(all)-len(groups)].ID
			}
			all = append(all, in)
		}
	}
	if len(all) == 1 {
		all[0].ID = step.ID
	}
	return all
}
