package scenarios

import (
	"fmt"
	"strings"
	"time"
)

// Delay returns how long after what it counts from the step is due, if When is a delay; a fault without When is due at once.
func (s Step) Delay() (time.Duration, error) {
	if s.When == "" && s.Fault != "" {
		return 0, nil
	}
	var d Duration
	err := d.UnmarshalText([]byte(s.When))
	return d.D(), err
}

// End returns when the step's fault ends.
func (s Step) End() End {
	e, _ := parseHold(s.Hold) // validated
	return e
}

// End is when a fault ends: once the gateway has recovered and Hold longer, or after Hold.
type End struct {
	Recovered bool          `json:"recovered"` // only with the drill's recovery
	Hold      time.Duration `json:"hold_ns"`   // from when it was shown to be in effect, or from the recovery
}

func parseHold(hold string) (End, error) {
	rest, untilRecovered := strings.CutPrefix(hold, holdUntilRecovered)
	if untilRecovered && rest == "" {
		return End{Recovered: true}, nil
	}
	var d Duration
	more, plus := strings.CutPrefix(rest, "+")
	if plus != untilRecovered || d.UnmarshalText([]byte(more)) != nil {
		return End{}, fmt.Errorf("%q is none of until-recovered, until-recovered+5s, 10s", hold)
	}
	return End{Recovered: untilRecovered, Hold: d.D()}, nil
}

// Sustain returns how long the faults are held after the gateway recovered.
func (s *Scenario) Sustain() time.Duration {
	var longest time.Duration
	for _, step := range s.Steps {
		if end := step.End(); step.Fault != "" && end.Recovered {
			longest = max(longest, end.Hold)
		}
	}
	return longest
}

// Needs reports whether a step of the scenario makes this recovery.
func (s *Scenario) Needs(recovery string) bool {
	for _, step := range s.Steps {
		if step.Recover == recovery {
			return true
		}
	}
	return false
}
