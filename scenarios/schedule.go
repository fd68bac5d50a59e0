package scenarios

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// schedule is what of a plan comes after what.
type schedule struct {
	before map[string]map[string]bool // by injection: those that are reverted before it begins
	begins map[string]time.Duration   // by injection: after the first one, if nothing takes any time; not there if a recovery decides
}

// newSchedule looks at the steps in their order: each comes only after steps above it.
func newSchedule(s *Scenario, all []Injection) schedule {
	sc := schedule{before: map[string]map[string]bool{}, begins: map[string]time.Duration{}}
	over := map[string]map[string]bool{} // by step: the injections that are reverted once it is over
	ends := map[string]time.Duration{}   // by step of faults: when it is over
	held := map[string]time.Duration{}   // by injection
	for i, step := range s.Steps {
		start := s.start(i)
		over[step.ID] = maps.Clone(over[start.After])
		if step.Recover != "" {
			continue
		}
		mine := map[string]bool{}
		_, known := ends[start.After]
		for _, in := range all {
			if in.Step != step.ID {
				continue
			}
			sc.before[in.ID] = joined(over[start.After], sc.before[in.Start.Behind])
			if in.Start.Behind != "" {
				sc.before[in.ID][in.Start.Behind] = true
			}
			if known || start.After == "" {
				at := ends[start.After] + in.Start.Delay
				if behind, ok := sc.begins[in.Start.Behind]; ok {
					at = max(at, behind+held[in.Start.Behind])
				}
				sc.begins[in.ID], held[in.ID] = at, in.End.Hold
				ends[step.ID] = max(ends[step.ID], at+in.End.Hold)
			}
			mine[in.ID] = true
		}
		over[step.ID] = joined(over[start.After], mine)
	}
	return sc
}

func joined(a, b map[string]bool) map[string]bool {
	all := map[string]bool{}
	maps.Copy(all, a)
	maps.Copy(all, b)
	return all
}

// Together reports whether two injections may be in effect at the same time.
func (p *Plan) Together(a, b Injection) bool {
	return !p.schedule.before[a.ID][b.ID] && !p.schedule.before[b.ID][a.ID]
}

// Begins returns when the injection begins if nothing takes any time, after the first one; false if a recovery decides that.
func (p *Plan) Begins(in Injection) (time.Duration, bool) {
	at, known := p.schedule.begins[in.ID]
	return at, known
}

// check refuses a plan that cannot be carried out as it says.
func (p *Plan) check() error {
	if n := len(p.Injections); n > maxInjections {
		return fmt.Errorf("%d faults would be injected, at most %d are allowed", n, maxInjections)
	}
	deadline := p.Scenario.Recovered.Deadline.D()
	seen, steps := map[string]bool{}, map[string]bool{}
	for _, step := range p.Scenario.Steps {
		steps[step.ID] = true
	}
	for _, in := range p.Injections {
		switch {
		case seen[in.ID]:
			return fmt.Errorf("two faults would be called %s: give one of the steps another id", in.ID)
		case in.ID != in.Step && steps[in.ID]:
			return fmt.Errorf("a fault of step %s would be called %s, as another step is: give one of the steps another id", in.Step, in.ID)
		}
		seen[in.ID] = true
		at, known := p.Begins(in)
		if !in.End.Recovered {
			at += in.End.Hold
		}
		if known && at >= deadline {
			return fmt.Errorf("%s would last until %s after the first fault, and recovered.deadline ends the drill after %s", in.ID, at, deadline)
		}
	}
	return p.crossed()
}

// crossed finds two faults in one instance that may not be undone in reverse order: one of them ends by itself, and it is not
// sure that the other began before it and outlasts it.
func (p *Plan) crossed() error {
	for i, a := range p.Injections {
		for _, b := range p.Injections[i+1:] {
			if !p.Together(a, b) || a.End.Recovered && b.End.Recovered || outlasts(a, b) || outlasts(b, a) {
				continue
			}
			for _, id := range a.Targets {
				if slices.Contains(b.Targets, id) {
					return fmt.Errorf("%w: %s and %s may be in effect in %s at the same time, and not end in reverse order: "+
						"let one come after the other", ErrUnsafe, a.ID, b.ID, id)
				}
			}
		}
	}
	return nil
}

// outlasts reports whether a begins before b for sure, and ends only with the recovery.
func outlasts(a, b Injection) bool {
	first := a.Start.After == "" && a.Start.Delay == 0 && b.Start.After != ""
	return a.End.Recovered && !b.End.Recovered && (first || a.Start.After == b.Start.After && a.Start.Delay < b.Start.Delay)
}
