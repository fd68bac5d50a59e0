package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"gwdr/drills"
	"gwdr/scenarios"
)

// errApproval is what a drill ends with that nobody approved.
var errApproval = errors.New("nobody has approved this plan")

// planApproval returns nil if somebody wants exactly this plan to be carried out, with that hash.
type planApproval = func(ctx context.Context, p *scenarios.Plan, hash string) error

// approval returns what asks before a drill: the hash that --approve names decides, and on every fleet but the lab there must be
// one, or a person who types the scenario's name. drawn are the targets whose seeds are of this very plan only.
func (a *app) approval(s *scenarios.Scenario, approved string, drawn []string) planApproval {
	switch {
	case approved != "":
		return func(_ context.Context, _ *scenarios.Plan, hash string) error {
			if strings.EqualFold(approved, hash) {
				return nil
			}
			return unlessDrawn(s, drawn, fmt.Errorf("%w: %w: it has the hash %s, and --approve names %s", drills.ErrRefused, errApproval, hash, approved), hash)
		}
	case s.Fleet == labFleet:
		return nil
	}
	return func(ctx context.Context, p *scenarios.Plan, hash string) error {
		if !a.canConfirm() {
			return unlessDrawn(s, drawn, fmt.Errorf("%w: %w: fleet %q is not the lab", drills.ErrRefused, errApproval, s.Fleet), hash)
		}
		if err := a.showDrillPlan(p); err != nil {
			return err
		}
		name := s.Metadata.Name
		typed, err := a.question(ctx, fmt.Sprintf("\nType %s to break %s by this plan: ", name, s.Fleet), false)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return fmt.Errorf("%w: %w: %w", drills.ErrRefused, errApproval, err)
		case strings.TrimSpace(typed) != name:
			return fmt.Errorf("%w: %w: that was not %s", drills.ErrRefused, errApproval, name)
		}
		return nil
	}
}

// approvePlan wants the plan to be approved before the drill gets a number, anything is announced or a lab is started, and returns
// what holds the drill to it; nil if nobody has to approve it. A fleet that does not say what it consists of is left to the drill,
// which keeps on record that it was refused.
func (a *app) approvePlan(ctx context.Context, s *scenarios.Scenario, approved string, drawn []string) (planApproval, error) {
	approve := a.approval(s, approved, drawn)
	if approve == nil {
		return nil, nil
	}
	if err := drills.Admit(a.Config.Evidence); err != nil { // or somebody would be asked in vain
		return nil, drillError(nil, err)
	}
	instances, err := a.planned(ctx, s)
	if err != nil {
		return approve, nil
	}
	plan, err := a.plan(ctx, s, instances)
	if err != nil {
		return nil, err
	}
	text, err := plan.YAML()
	if err != nil {
		return nil, err
	}
	hash := scenarios.Hash(text)
	if err := approve(ctx, plan, hash); err != nil {
		return nil, drillError(nil, err)
	}
	return onlyPlan(hash), nil
}

// onlyPlan approves the plan with the hash, and no other.
func onlyPlan(approved string) planApproval {
	return func(_ context.Context, _ *scenarios.Plan, hash string) error {
		if hash == approved {
			return nil
		}
		return fmt.Errorf("%w: %w: it has the hash %s, and the one that was approved %s", drills.ErrRefused, errApproval, hash, approved)
	}
}

// canConfirm reports whether there is a person to ask.
func (a *app) canConfirm() bool {
	return !a.JSON && !a.Quiet && isTerminal(a.Stdin) && isTerminal(a.Stderr)
}

// unlessDrawn says how to approve a plan: with its hash, unless it holds seeds that the next one draws anew.
func unlessDrawn(s *scenarios.Scenario, drawn []string, err error, hash string) error {
	if len(drawn) == 0 {
		return withHint(err, "--dry-run shows this plan, and this runs it and no other:\n  --approve %s", hash)
	}
	return withHint(err, "the plan draws at random: write targets.%s.pick.seed: %d into the scenario, then --approve takes the hash that --dry-run shows",
		drawn[0], s.Targets[drawn[0]].Pick.Seed)
}
