package scenarios

import (
	"fmt"
	"strings"
	"time"
)

// Delay returns how long after the first injection the step is due, if When is a delay; a fault without When is due at
// once.
func (s Step) Delay() (time.Duration, error) {
	if s.When == "" && s.Fault != "" {
		return 0, nil
	}
	var d Duration
	err := d.UnmarshalText([]byte(s.When))
	return d.D(), err
}

// Sustain returns how long the step's fault is held after the gateway recovered.
func (s Step) Sustain() time.Duration {
	d, _ := parseHold(s.Hold) // validated
	return d
}

func parseHold(hold string) (time.Duration, error) {
	rest, ok := strings.CutPrefix(hold, holdUntilRecovered)
	if ok && rest == "" {
		return 0, nil
	}
	var d Duration
	more, plus := strings.CutPrefix(rest, "+")
	if !ok || !plus || d.UnmarshalText([]byte(more)) != nil {
		return 0, fmt.Errorf("%q is neither until-recovered nor until-recovered+5s", hold)
	}
	return d.D(), nil
}

// Sustain returns how long the faults are held after the gateway recovered.
func (s *Scenario) Sustain() time.Duration {
	var longest time.Duration
	for _, step := range s.Steps {
		if step.Fault != "" {
			longest = max(longest, step.Sustain())
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
