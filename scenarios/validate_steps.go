package scenarios

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"gwdr/fleet"
)

// longest bounds the times of a step: what is further away than a day is a mistake.
const longest = 24 * time.Hour

func (v *validator) steps(s *Scenario) {
	v.check(len(s.Steps) <= maxInjections, "steps", "are %d, at most %d are allowed", len(s.Steps), maxInjections)
	seen := map[string]bool{}
	injects := false
	for i, step := range s.Steps {
		field := fmt.Sprintf("steps[%d]", i)
		v.id(field+".id", step.ID, seen)
		v.after(s, field, i)
		switch {
		case (step.Fault == "") == (step.Recover == ""):
			v.fail(field, "needs exactly one of fault, recover")
		case step.Fault != "":
			injects = true
			v.faultStep(s, field, step)
		default:
			v.check(injects, field, "recovers before any fault")
			v.recoverStep(s, field, step)
		}
	}
	v.check(injects, "steps", "inject no fault")
	v.readable(s)
}

// readable wants a fault that is still in effect when the survivors are read back: what only the others had would count as kept.
func (v *validator) readable(s *Scenario) {
	lasts := slices.ContainsFunc(s.Steps, func(step Step) bool {
		end, err := parseHold(step.Hold)
		return step.Fault != "" && (end.Recovered || err != nil)
	})
	for i, o := range s.Objectives {
		v.check(lasts || o.Metric != MetricRPA, fmt.Sprintf("objectives[%d].metric", i),
			"rpa needs a fault that is held until recovered: when all faults have ended, nobody can tell what would have been lost")
	}
}

func (v *validator) faultStep(s *Scenario, field string, step Step) {
	v.fault(s, field, step)
	v.oneOf(field+".target", step.Target, slices.Sorted(maps.Keys(s.Targets)))
	v.check(step.To == "", field+".to", "is for recover only")
	end, err := parseHold(step.Hold)
	if err != nil {
		v.fail(field+".hold", "%v", err)
	}
	v.check(err != nil || end.Recovered || end.Hold > 0, field+".hold", "0s is no time to be held")
	v.between(field+".hold", Duration(end.Hold), 0, longest)
	v.repeat(field+".repeat", step, end)
	v.check(step.Stagger <= Duration(time.Hour), field+".stagger", "%s is above 1h", step.Stagger)
	delay, err := step.Delay()
	if err != nil {
		v.fail(field+".when", "%q is no delay such as 2s", step.When)
	}
	v.between(field+".when", Duration(delay), 0, longest)
}

// repeat checks that each injection is over before the next one is due.
func (v *validator) repeat(field string, step Step, end End) {
	r := step.Repeat
	if (r == Repeat{}) {
		return
	}
	v.check(1 <= r.Times && r.Times <= maxInjections, field+".times", "%d must be from 1 to %d", r.Times, maxInjections)
	v.between(field+".every", r.Every, 100*time.Millisecond, time.Hour)
	v.check(!end.Recovered, field, "needs hold, a duration: what is held until recovered ends once")
	v.check(end.Recovered || end.Hold <= r.Every.D(), field+".every", "%s is shorter than hold, %s", r.Every, step.Hold)
}

// after checks that a step comes after one that stands above it, and that this one has an end.
func (v *validator) after(s *Scenario, field string, i int) {
	after := s.Steps[i].After
	if after == "" {
		return
	}
	at := slices.IndexFunc(s.Steps[:i], func(above Step) bool { return above.ID == after })
	if at < 0 {
		v.fail(field+".after", "%q is no step above", after)
		return
	}
	end, err := parseHold(s.Steps[at].Hold)
	v.check(s.Steps[at].Fault == "" || err != nil || !end.Recovered, field+".after",
		"%s is held until recovered, and ends only with the drill: give it a hold such as 10s", after)
}

// fault checks the kind, its parameters, and whether it can be injected into what the target selects by role.
func (v *validator) fault(s *Scenario, field string, step Step) {
	var known []string
	for _, k := range fleet.Kinds() {
		known = append(known, string(k.Kind))
	}
	v.oneOf(field+".fault", step.Fault, known)
	kind, ok := fleet.KindOf(fleet.FaultKind(step.Fault))
	if !ok {
		return
	}
	step.With.Check(kind.Kind, func(name, problem string) {
		v.fail(strings.TrimSuffix(field+".with."+name, "."), "%s", problem)
	})
	if role := s.Targets[step.Target].Select.Role; role != "" {
		v.check(slices.Contains(kind.Roles, role), field+".target", "fault %s cannot be injected into role %s", kind.Kind, role)
	}
}

func (v *validator) recoverStep(s *Scenario, field string, step Step) {
	v.oneOf(field+".recover", step.Recover, recoveries)
	v.check(step.Target == "" && step.Hold == "" && step.With == fleet.Params{}, field, "target, with and hold are for a fault only")
	v.check(step.Stagger == 0 && step.Repeat == Repeat{}, field, "stagger and repeat are for a fault only")
	delay, err := step.Delay()
	if err != nil && step.When != Detected {
		v.fail(field+".when", "%q is neither detected nor a delay such as 2s", step.When)
	}
	v.between(field+".when", Duration(delay), 0, longest)
	if step.Recover == Promote && s.Fleet == labFleet {
		v.check(s.Topology.Replication != replicationSync, field+".recover",
			"with replication %s there is nobody to promote: each region takes changes, while most of them are there", replicationSync)
		v.oneOf(field+".to", step.To, s.Topology.names())
	}
}
