package cmd

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gwdr/fleet"
	"gwdr/scenarios"
)

// dryRunResult is the document of gwdr drill run --dry-run --json.
type dryRunResult struct {
	Schema     string          `json:"schema"` // gwdr/plan/v1
	Scenario   string          `json:"scenario"`
	Title      string          `json:"title"`
	Fleet      string          `json:"fleet"`
	PlanSHA256 string          `json:"plan_sha256"`
	Actions    []plannedAction `json:"actions"`
	Undo       []plannedAction `json:"undo"` // in the order in which it is done
	Promises   []string        `json:"promises"`
	Guardrails []string        `json:"guardrails"`
	WorstCaseS float64         `json:"worst_case_s"`
}

// plannedAction is one thing that the drill would do.
type plannedAction struct {
	Step    string   `json:"step"`
	Action  string   `json:"action"`
	Targets []string `json:"targets,omitempty"`
	When    string   `json:"when,omitempty"`
}

// dryRun says what a drill would do. Of a lab it looks at nothing but the scenario: none is started; another fleet is asked
// what it consists of. Nothing is written.
func (a *app) dryRun(ctx context.Context, s *scenarios.Scenario) error {
	instances, err := a.planned(ctx, s)
	if err != nil {
		return err
	}
	plan, err := s.Plan(instances)
	if err != nil {
		return exitWith(exitRefused, err)
	}
	text, err := plan.YAML()
	if err != nil {
		return err
	}
	r := dryRunResult{Schema: "gwdr/plan/v1", Scenario: s.Metadata.Name, Title: s.Metadata.Title, Fleet: s.Fleet,
		PlanSHA256: scenarios.Hash(text), Actions: []plannedAction{}, Undo: []plannedAction{}, Guardrails: []string{}, WorstCaseS: plan.Worst.Seconds()}
	for _, action := range plan.Actions {
		r.Actions = append(r.Actions, planAction(action))
	}
	for _, action := range slices.Backward(plan.Actions) {
		if action.Step.Fault != "" {
			r.Undo = append(r.Undo, plannedAction{Step: action.Step.ID, Action: undoWords(fleet.FaultKind(action.Step.Fault)), Targets: action.Targets})
		}
	}
	for _, o := range s.Objectives {
		r.Promises = append(r.Promises, promise(o))
	}
	for _, g := range s.Guardrails {
		r.Guardrails = append(r.Guardrails, guardrail(g))
	}
	if a.JSON {
		return a.writeJSON(r)
	}
	return writeDryRun(a.Stdout, r)
}

func planAction(a scenarios.Action) plannedAction {
	p := plannedAction{Step: a.Step.ID, Targets: a.Targets, When: a.Step.When}
	switch {
	case a.Step.Fault != "":
		p.Action = a.Step.Fault
		if p.When == "" {
			p.When = "after the baseline"
		}
	case a.Step.To != "":
		p.Action = a.Step.Recover + " " + a.Step.To
	default:
		p.Action = a.Step.Recover
	}
	if p.When == scenarios.Detected {
		p.When = "once the outage is detected"
	}
	return p
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

func writeDryRun(w io.Writer, r dryRunResult) error {
	var b strings.Builder
	fmt.Fprintf(&b, "DRY RUN  %s: %s\nNothing was touched.\n\n", r.Scenario, r.Title)
	fmt.Fprintf(&b, "Would do\n")
	for _, a := range r.Actions {
		b.WriteString(a.line())
	}
	fmt.Fprintf(&b, "Would undo, whatever happens\n")
	for _, a := range r.Undo {
		b.WriteString(a.line())
	}
	for _, list := range []struct {
		title string
		items []string
	}{{"Would judge", r.Promises}, {"Would abort when", r.Guardrails}} {
		if len(list.items) > 0 {
			fmt.Fprintf(&b, "%s\n  %s\n", list.title, strings.Join(list.items, "\n  "))
		}
	}
	fmt.Fprintf(&b, "\n%-10s %s\n", "worst case", time.Duration(r.WorstCaseS*float64(time.Second)))
	fmt.Fprintf(&b, "%-10s sha256 %s\n", "plan", r.PlanSHA256)
	_, err := io.WriteString(w, b.String())
	return err
}

func (p plannedAction) line() string {
	line := fmt.Sprintf("  %-12s %s", p.Step, p.Action)
	if len(p.Targets) > 0 {
		line += ": " + strings.Join(p.Targets, ", ")
	}
	if p.When != "" {
		line += " (" + p.When + ")"
	}
	return line + "\n"
}
