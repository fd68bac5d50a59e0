package scenarios

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"gwdr/fleet"
)

// Plan is a scenario with its targets resolved against a fleet: exactly what a drill will do.
type Plan struct {
	Scenario   *Scenario     `json:"scenario"`
	Actions    []Action      `json:"actions"`
	Injections []Injection   `json:"injections"`
	Fleet      []string      `json:"fleet,omitempty"` // how whoever made the plan reaches the fleet, in lines; none for the lab
	Worst      time.Duration `json:"-"`               // the longest that the drill may take, from the baseline on, before its faults are reverted and settled

	schedule schedule
}

// Action is a step with the instances that it touches, by id.
type Action struct {
	Step    Step     `json:"step"`
	Targets []string `json:"targets,omitempty"`
}

// ErrUnsafe is wrapped by Scenario.Plan when the drill would touch more than the scenario's safety section allows.
var ErrUnsafe = errors.New("plan is not safe")

// Plan resolves the steps' targets against the instances of the fleet, expands each step into its injections, and holds all
// against the caps: how many each target may match, how many instances the drill may touch, and how many regions must stay
// healthy. The error wraps fleet.ErrNoTarget or ErrUnsafe. It is a pure function.
func (s *Scenario) Plan(instances []fleet.Instance) (*Plan, error) {
	p := &Plan{Scenario: s}
	touched := map[string]bool{}
	for i, step := range s.Steps {
		a := Action{Step: step}
		if step.Fault != "" {
			targets, err := s.resolve(step, instances)
			if err != nil {
				return nil, fmt.Errorf("plan step %s: %w", step.ID, err)
			}
			for _, in := range targets {
				a.Targets = append(a.Targets, in.ID)
				touched[in.ID] = true
			}
			p.Injections = append(p.Injections, step.expand(a.Targets, s.start(i))...)
		}
		p.Actions = append(p.Actions, a)
	}
	p.schedule, p.Worst = newSchedule(s, p.Injections), s.worstCase(len(p.Injections))
	if err := p.check(); err != nil {
		return nil, err
	}
	return p, p.holdAgainst(instances, touched)
}

// holdAgainst refuses a plan that would touch more than it may.
func (p *Plan) holdAgainst(instances []fleet.Instance, touched map[string]bool) error {
	s := p.Scenario
	for i, protect := range s.Safety.Protect {
		if len(protect.Select(instances)) == 0 {
			return fmt.Errorf("safety.protect[%d]: %w: whoever wrote it believes that something is protected", i, fleet.ErrNoTarget)
		}
	}
	if err := s.Safety.Guards(instances, touched); err != nil {
		return err
	}
	if len(touched) > s.Safety.MaxTargets {
		return fmt.Errorf("%w: %d instances would be touched, safety.maxTargets allows %d", ErrUnsafe, len(touched), s.Safety.MaxTargets)
	}
	for _, in := range p.Injections {
		at := map[string]bool{}
		for _, other := range p.Injections {
			if other.ID == in.ID || p.Together(in, other) {
				for _, id := range other.Targets {
					at[id] = true
				}
			}
		}
		if kept := HealthyRegions(instances, at); len(kept) < s.Safety.KeepHealthyRegions {
			return fmt.Errorf("%w: a data instance would be kept running in %s, safety.keepHealthyRegions demands %d",
				ErrUnsafe, cmp.Or(strings.Join(kept, ", "), "no region"), s.Safety.KeepHealthyRegions)
		}
	}
	return nil
}

// Guards refuses faults in instances that are protected, and in the last location that would keep its backups. The error wraps
// ErrUnsafe.
func (b Bounds) Guards(instances []fleet.Instance, touched map[string]bool) error {
	whole, touchedLocations := 0, 0
	for _, in := range instances {
		for _, protect := range b.Protect {
			if touched[in.ID] && len(protect.Select([]fleet.Instance{in})) > 0 {
				return fmt.Errorf("%w: %s would be touched, and safety.protect protects it", ErrUnsafe, in.ID)
			}
		}
		switch {
		case in.Role == fleet.Location && touched[in.ID]:
			touchedLocations++
		case in.Role == fleet.Location:
			whole++
		}
	}
	if touchedLocations > 0 && whole == 0 {
		return fmt.Errorf("%w: no location of backups would be left alone", ErrUnsafe)
	}
	return nil
}

func (s *Scenario) resolve(step Step, instances []fleet.Instance) ([]fleet.Instance, error) {
	t := s.Targets[step.Target]
	matched := t.Select.Select(instances)
	matched = slices.DeleteFunc(matched, func(in fleet.Instance) bool { return in.Role == fleet.Edge }) // where clients come in is no target
	switch n := len(matched); {
	case n == 0:
		return nil, fmt.Errorf("target %s: %w; there are %s", step.Target, fleet.ErrNoTarget, named(instances))
	case n < t.Expect.Min:
		return nil, fmt.Errorf("target %s: %w: matches %d instances (%s), expects at least %d", step.Target, ErrUnsafe, n, named(matched), t.Expect.Min)
	case t.Expect.Max > 0 && n > t.Expect.Max:
		return nil, fmt.Errorf("target %s: %w: matches %d instances (%s), expects at most %d", step.Target, ErrUnsafe, n, named(matched), t.Expect.Max)
	}
	picked, err := t.Pick.of(matched)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", step.Target, err)
	}
	return picked, nil
}

func named(instances []fleet.Instance) string {
	var ids []string
	for _, in := range instances {
		ids = append(ids, in.ID)
	}
	return strings.Join(ids, ", ")
}

// HealthyRegions returns the regions in which a data instance runs that is not touched.
func HealthyRegions(instances []fleet.Instance, touched map[string]bool) []string {
	var regions []string
	for _, in := range instances {
		if in.Role == fleet.Data && in.Running && !touched[in.ID] && !slices.Contains(regions, in.Region) {
			regions = append(regions, in.Region)
		}
	}
	return regions
}

// BaselineLimit returns how long the steady state may take to hold for the whole baseline: another disturbance, such as a
// busy machine, starts it anew.
func (s *Scenario) BaselineLimit() time.Duration { return 6 * s.SteadyState.Baseline.D() }

// How long a drill tries before it gives up.
const (
	RevertLimit   = 30 * time.Second // to revert one fault
	VerifyLimit   = 5 * time.Second  // to see that one is in effect, or still is
	ReadBackLimit = 30 * time.Second // to read back from all regions what changed
)

// worstCase adds up what each phase may take: a baseline that is long in coming, injections and recovery until the deadline,
// sustain, and for each fault that it is looked at once more and reverted; settling, failback and the read-backs. How long a
// backup takes nobody knows.
func (s *Scenario) worstCase(injections int) time.Duration {
	worst := s.SteadyState.Backup.D() + s.BaselineLimit() + s.Recovered.Deadline.D() + s.Sustain() + 3*s.Revert.Settle.D()
	if s.SteadyState.Ledger.Every > 0 {
		worst += 2 * ReadBackLimit
	}
	return worst + time.Duration(injections)*(VerifyLimit+RevertLimit)
}

// YAML returns the plan as a scenario file that Parse reads, defaults filled in, with how the fleet is reached and the resolved
// targets in comments above: what a drill keeps as evidence of what was planned. The same plan gives the same bytes.
func (p *Plan) YAML() ([]byte, error) {
	var b bytes.Buffer
	for _, line := range p.Fleet {
		fmt.Fprintf(&b, "# fleet %s\n", line)
	}
	for _, in := range p.Injections {
		fmt.Fprintf(&b, "# %s: %s %s\n", in.ID, in.Kind, strings.Join(in.Targets, " "))
	}
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(p.Scenario), enc.Close()); err != nil {
		return nil, fmt.Errorf("write plan of %s: %w", p.Scenario.Metadata.Name, err)
	}
	return b.Bytes(), nil
}

// Hash identifies a plan by its file: the hex SHA-256 of what YAML returns.
func Hash(plan []byte) string {
	sum := sha256.Sum256(plan)
	return hex.EncodeToString(sum[:])
}

// Instances returns the instances that a lab of this topology has, all running: each region's control plane and data
// instances, the edge in front, the upstream behind, and its locations of backups.
func (t Topology) Instances() []fleet.Instance {
	var all []fleet.Instance
	for _, r := range t.Regions {
		all = append(all, fleet.Instance{ID: r.Name + "-control", Region: r.Name, Role: fleet.Control, Running: true})
		for i := range r.Instances {
			all = append(all, fleet.Instance{ID: fmt.Sprintf("%s-%d", r.Name, i+1), Region: r.Name, Role: fleet.Data, Running: true})
		}
	}
	all = append(all, fleet.Instance{ID: "edge", Role: fleet.Edge, Running: true}, fleet.Instance{ID: "echo", Role: fleet.Upstream, Running: true})
	for _, name := range LabLocations() {
		all = append(all, fleet.Instance{ID: name, Role: fleet.Location, Running: true})
	}
	slices.SortFunc(all, func(a, b fleet.Instance) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// LabLocations names the locations of a lab's backups, the nearest first, unless its user has configured others.
func LabLocations() []string { return []string{"local", "nas", "offsite"} }

// Serving returns the ids of the data instances that a lab of this topology plans to serve clients when some are lost: those
// left of the first region that has any. It is nil if none is left, or for another fleet, whose plan nobody told.
func (t Topology) Serving(lost []string) []string {
	for _, r := range t.Regions {
		var left []string
		for _, in := range t.Instances() {
			if in.Role == fleet.Data && in.Region == r.Name && !slices.Contains(lost, in.ID) {
				left = append(left, in.ID)
			}
		}
		if left != nil {
			return left
		}
	}
	return nil
}

func (t Topology) names() []string {
	names := make([]string, len(t.Regions))
	for i, r := range t.Regions {
		names[i] = r.Name
	}
	return names
}
