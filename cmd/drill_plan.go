package cmd

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"gwdr/drills"
	"gwdr/fleet"
	"gwdr/fleet/process"
	"gwdr/scenarios"
)

// dryRunResult is the document of gwdr drill run --dry-run --json.
type dryRunResult struct {
	Schema     string          `json:"schema"` // gwdr/plan/v1
	Scenario   string          `json:"scenario"`
	Title      string          `json:"title"`
	Fleet      string          `json:"fleet"`
	PlanSHA256 string          `json:"plan_sha256"`
	Actions    []plannedAction `json:"actions"` // in the order of the steps
	Undo       []plannedAction `json:"undo"`    // in the order in which it is done; what ends by itself comes when its time is over
	Promises   []string        `json:"promises"`
	Guardrails []string        `json:"guardrails"`
	Reach      []string        `json:"reach,omitempty"` // the fleet, as gwdr.yaml has it
	Bounds     []string        `json:"bounds"`          // when it may run, and what it may not touch
	Seeds      []string        `json:"seeds,omitempty"` // that were drawn: another plan draws others
	WorstCaseS float64         `json:"worst_case_s"`
	Warnings   []string        `json:"warnings,omitempty"`
}

// plannedAction is one thing that the drill would do.
type plannedAction struct {
	Step    string   `json:"step"`
	ID      string   `json:"id"` // of the fault; several of a step have numbers
	Action  string   `json:"action"`
	Targets []string `json:"targets,omitempty"`
	When    string   `json:"when,omitempty"`
	Until   string   `json:"until,omitempty"`
	AtS     *float64 `json:"at_s,omitempty"` // when it begins at the earliest, after the first fault; not there if a recovery decides that

	kind  fleet.FaultKind
	waits string // for what it waits, if AtS alone does not say so
}

// begins puts what waits for the outage, or for a recovery, last.
func (p plannedAction) begins() float64 {
	if p.AtS == nil {
		return math.Inf(1)
	}
	return *p.AtS
}

// dryRun says what a drill would do. Of a lab it looks at nothing but the scenario: none is started; another fleet is asked
// what it consists of. Nothing is written.
func (a *app) dryRun(ctx context.Context, s *scenarios.Scenario, drawn []string) error {
	instances, err := a.planned(ctx, s)
	if err != nil {
		return err
	}
	plan, err := a.plan(ctx, s, instances)
	if err != nil {
		return err
	}
	r, err := describePlan(plan, a.Config.Safety.bounds(), drawn)
	if err != nil {
		return err
	}
	if a.JSON {
		return a.writeJSON(r)
	}
	_, err = fmt.Fprintf(a.Stdout, "DRY RUN  %s: %s\nNothing was touched.\n\n%s", r.Scenario, r.Title, r.text())
	return err
}

// plan is what the drill would do with these instances, all of which the fleet can undo.
func (a *app) plan(ctx context.Context, s *scenarios.Scenario, instances []fleet.Instance) (*scenarios.Plan, error) {
	plan, err := s.Plan(instances)
	if err == nil {
		err = a.supported(ctx, plan, instances)
	}
	if err != nil {
		return nil, exitWith(exitRefused, err)
	}
	plan.Fleet = a.Config.Fleets[s.Fleet].words()
	return plan, nil
}

// supported asks the driver whether it could undo each fault, which touches nothing. Of a lab that is not there, what no lab can is known.
func (a *app) supported(ctx context.Context, plan *scenarios.Plan, instances []fleet.Instance) error {
	s := plan.Scenario
	prepare := func(f fleet.Fault, _ []fleet.Instance) error { return process.Supports(labTopology(s.Topology), f) }
	if s.Fleet != labFleet {
		f, err := a.openFleet(ctx, s.Fleet)
		if err != nil {
			return err
		}
		prepare = func(fault fleet.Fault, targets []fleet.Instance) error {
			_, err := f.Prepare(ctx, fault, targets)
			return err
		}
	}
	for _, in := range plan.Injections {
		targets := slices.DeleteFunc(slices.Clone(instances), func(one fleet.Instance) bool { return !slices.Contains(in.Targets, one.ID) })
		if err := prepare(fleet.Fault{ID: in.ID, Kind: in.Kind, With: in.With, Lease: s.Safety.Lease.D()}, targets); err != nil {
			return fmt.Errorf("%w: %w", drills.ErrRefused, err)
		}
	}
	return nil
}

// describePlan says what a plan is, for people and as a document.
func describePlan(plan *scenarios.Plan, general scenarios.Bounds, drawn []string) (*dryRunResult, error) {
	s := plan.Scenario
	text, err := plan.YAML()
	if err != nil {
		return nil, err
	}
	r := &dryRunResult{Schema: "gwdr/plan/v1", Scenario: s.Metadata.Name, Title: s.Metadata.Title, Fleet: s.Fleet, PlanSHA256: scenarios.Hash(text),
		Actions: []plannedAction{}, Undo: []plannedAction{}, Guardrails: []string{}, Bounds: append(boundsWords(s.Safety.Bounds), boundsWords(general)...),
		Reach: plan.Fleet, WorstCaseS: plan.Worst.Seconds()}
	for _, step := range s.Steps {
		if step.Recover != "" {
			r.Actions = append(r.Actions, plannedAction{Step: step.ID, ID: step.ID, When: startWords(s.Recovery(step)),
				Action: strings.TrimSpace(step.Recover + " " + step.To)})
		}
		for _, in := range plan.Injections {
			if in.Step == step.ID {
				r.Actions = append(r.Actions, planInjection(plan, in))
			}
		}
	}
	slices.SortStableFunc(r.Actions, func(a, b plannedAction) int { return cmp.Compare(a.begins(), b.begins()) })
	for _, action := range slices.Backward(r.Actions) {
		if len(action.Targets) > 0 {
			r.Undo = append(r.Undo, plannedAction{Step: action.Step, ID: action.ID, Action: undoWords(action.kind), Targets: action.Targets})
		}
	}
	for _, o := range s.Objectives {
		r.Promises = append(r.Promises, promise(o))
	}
	for _, g := range s.Guardrails {
		r.Guardrails = append(r.Guardrails, guardrail(g))
		if g.Drill != nil && plan.Worst > g.Drill.GT.D() {
			r.Warnings = append(r.Warnings, fmt.Sprintf("the worst case is longer than guardrail %s allows, %s: it may abort a drill that goes well", g.Name, g.Drill.GT))
		}
	}
	for _, name := range drawn {
		r.Seeds = append(r.Seeds, fmt.Sprintf("targets.%s.pick.seed: %d", name, s.Targets[name].Pick.Seed))
	}
	return r, nil
}

func planInjection(plan *scenarios.Plan, in scenarios.Injection) plannedAction {
	p := plannedAction{Step: in.Step, ID: in.ID, Action: string(in.Kind) + paramWords(in.With), Targets: in.Targets, When: startWords(in.Start), kind: in.Kind}
	if at, known := plan.Begins(in); known {
		s := at.Seconds()
		p.AtS, p.When = &s, "+"+at.String()
		switch {
		case in.Start.Behind != "":
			p.waits = "not before " + in.Start.Behind + " has ended"
		case in.Start.After != "":
			p.waits = fmt.Sprintf("%s after %s has ended", in.Start.Delay, in.Start.After)
		}
	}
	switch {
	case !in.End.Recovered:
		p.Until = fmt.Sprintf("for %s", in.End.Hold)
	case in.End.Hold > 0:
		p.Until = fmt.Sprintf("until recovered + %s", in.End.Hold)
	default:
		p.Until = "until recovered"
	}
	return p
}

// startWords says when something begins whose instant nobody knows, or what begins with the first fault.
func startWords(s scenarios.Start) string {
	switch {
	case s.After != "" && s.Detected:
		return "outage after " + s.After
	case s.After != "":
		return fmt.Sprintf("%s + %s", s.After, s.Delay)
	case s.Detected:
		return "outage detected"
	}
	return fmt.Sprintf("+%s", s.Delay)
}

// paramWords writes the parameters of a fault that are set, as a scenario does.
func paramWords(p fleet.Params) string {
	node := yaml.Node{}
	if (p == fleet.Params{}) || node.Encode(p) != nil {
		return ""
	}
	node.Style = yaml.FlowStyle
	text, err := yaml.Marshal(&node)
	if err != nil {
		return ""
	}
	return " " + strings.TrimSpace(string(text))
}

// boundsWords says when a drill may run, and what none may touch.
func boundsWords(b scenarios.Bounds) []string {
	all := []string{}
	for _, w := range b.Windows {
		all = append(all, "only "+w.String())
	}
	for _, day := range b.Blackout {
		all = append(all, fmt.Sprintf("never from %s to %s (%s)", day.From, day.To, day.Zone))
	}
	for _, p := range b.Protect {
		all = append(all, strings.TrimSpace(fmt.Sprintf("never touches %s", strings.Join(selectorWords(p), ", "))))
	}
	return all
}

func selectorWords(s fleet.Selector) (all []string) {
	for _, field := range [][2]string{{"region", s.Region}, {"role", string(s.Role)}, {"instance", s.Instance}} {
		if field[1] != "" {
			all = append(all, field[0]+" "+field[1])
		}
	}
	return all
}

func undoWords(kind fleet.FaultKind) string {
	k, _ := fleet.KindOf(kind) // validated
	return k.Undo
}

func promise(o scenarios.Objective) string {
	metric := strings.TrimSpace(o.Metric + " " + o.Plane)
	if o.LE != nil {
		return fmt.Sprintf("%s: %s <= %s", o.ID, metric, o.LE)
	}
	return fmt.Sprintf("%s: %s == %d", o.ID, metric, *o.EQ)
}

func guardrail(g scenarios.Guardrail) string {
	if g.Drill != nil {
		return fmt.Sprintf("%s: the drill takes longer than %s", g.Name, g.Drill.GT)
	}
	return fmt.Sprintf("%s: success below %v for %s", g.Name, g.Success.LT, g.Success.For)
}

// text is the plan for people: a timeline that counts from the first fault, and what is undone, judged and watched.
func (r *dryRunResult) text() string {
	var b strings.Builder
	if len(r.Reach) > 0 {
		fmt.Fprintf(&b, "Fleet %s is\n  %s\n", r.Fleet, strings.Join(r.Reach, "\n  "))
	}
	fmt.Fprintf(&b, "Would do, from the first fault on\n%s", actionLines(r.Actions))
	fmt.Fprintf(&b, "Would undo, whatever happens\n%s", actionLines(r.Undo))
	for _, list := range []struct {
		title string
		items []string
	}{{"Would judge", r.Promises}, {"Would abort when", r.Guardrails}, {"Runs", r.Bounds}, {"Was drawn; another plan draws others", r.Seeds}} {
		if len(list.items) > 0 {
			fmt.Fprintf(&b, "%s\n  %s\n", list.title, strings.Join(list.items, "\n  "))
		}
	}
	fmt.Fprintf(&b, "\n%-10s %s, from the baseline to settled\n", "worst case", time.Duration(r.WorstCaseS*float64(time.Second)))
	for _, warning := range r.Warnings {
		fmt.Fprintf(&b, "%-10s %s\n", "warning", wrapped(warning, 11, 69))
	}
	fmt.Fprintf(&b, "plan sha256 %s\n", r.PlanSHA256)
	return b.String()
}

// actionLines writes actions in columns, what follows the first line below it.
func actionLines(all []plannedAction) string {
	when, id := 0, 0
	for _, p := range all {
		when, id = max(when, len(p.When)), max(id, len(p.ID))
	}
	var b strings.Builder
	for _, p := range all {
		lead := "  "
		if when > 0 {
			lead += fmt.Sprintf("%-*s  ", when, p.When)
		}
		lead += fmt.Sprintf("%-*s  ", id, p.ID)
		line := p.Action
		if len(p.Targets) > 0 {
			line += ": " + strings.Join(p.Targets, ", ")
		}
		if p.Until != "" {
			line += "; " + p.Until
		}
		if p.waits != "" {
			line += "; " + p.waits
		}
		b.WriteString(lead + wrapped(line, len(lead), max(80-len(lead), 30)) + "\n")
	}
	return b.String()
}

// wrapped breaks a line at blanks, and indents what follows.
func wrapped(line string, indent, width int) string {
	var b strings.Builder
	used := 0
	for i, word := range strings.Fields(line) {
		switch {
		case i == 0:
		case used+1+len(word) > width:
			b.WriteString("\n" + strings.Repeat(" ", indent))
			used = 0
		default:
			b.WriteByte(' ')
			used++
		}
		b.WriteString(word)
		used += len(word)
	}
	return b.String()
}

// showDrillPlan writes the plan to somebody who is to approve it.
func (a *app) showDrillPlan(p *scenarios.Plan) error {
	r, err := describePlan(p, a.Config.Safety.bounds(), nil)
	if err != nil {
		return err
	}
	_, err = io.WriteString(a.Stderr, fmt.Sprintf("PLAN  %s on %s: %s\n\n%s", r.Scenario, r.Fleet, r.Title, r.text()))
	return err
}
