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

// approval returns what asks before a drill: the hash that --approve names decides, and on every fleet but the lab there must be
// one, or a person who types the scenario's name. drawn are the targets whose seeds are of this very plan only.
func (a *app) approval(s *scenarios.Scenario, approved string, drawn []string) func(context.Context, *scenarios.Plan, string) error {
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
		if err == nil && strings.TrimSpace(typed) != name {
			err = fmt.Errorf("%w: %w: that was not %s", drills.ErrRefused, errApproval, name)
		}
		return err
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
