package cmd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gwdr/drills"
)

// revertResult is the document of gwdr drill revert --json.
type revertResult struct {
	Schema string             `json:"schema"` // gwdr/revert/v1
	Clean  bool               `json:"clean"`
	Runs   []*drills.Reverted `json:"runs"`
}

func newDrillRevertCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "revert [RUN]",
		ValidArgsFunction: a.completeRuns,
		Short:             "Revert what a drill has left behind",
		Long: `Revert replays the undo log of a run that did not end clean, in reverse order, and shows that no fault of it is left. Without
RUN it does so for every such run. It may be repeated, and does nothing where nothing is left.

A run that was killed has no report: revert writes it, if no other run has begun since.`,
		Example: `  gwdr drill revert
  gwdr drill revert 20261121T024601Z-region-loss-a1b2`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return runDrillRevert(cmd.Context(), a, first(args)) },
	}
}

func runDrillRevert(ctx context.Context, a *app, run string) error {
	if run == "" {
		if err := a.awaitGuards(ctx); err != nil {
			return err
		}
	}
	dirs, err := a.toRevert(run)
	if err != nil {
		return err
	}
	reverter := &drills.Reverter{Open: a.openUndo, Log: a.Log}
	keys, noKeys := a.openKeys(ctx) // reverting is more important than its report
	if noKeys == nil {
		reverter.Report = reportWriter(keys)
	}
	result := revertResult{Schema: "gwdr/revert/v1", Clean: true, Runs: []*drills.Reverted{}}
	var failed error
	for _, dir := range dirs {
		reverted, err := reverter.Revert(ctx, dir)
		if errors.Is(err, drills.ErrRefused) {
			return withHint(exitWith(exitRefused, err), "wait until it has ended, or interrupt it")
		}
		failed = errors.Join(failed, err)
		if reverted == nil {
			result.Clean = false
			continue
		}
		result.Runs = append(result.Runs, reverted)
		result.Clean = result.Clean && reverted.Clean
	}
	if err := a.showReverted(result); err != nil {
		return err
	}
	if !result.Clean {
		return exitWith(exitDirty, errors.Join(errors.New("a fault may still be in effect"), failed))
	}
	if len(dirs) > 0 && noKeys != nil {
		failed = errors.Join(failed, fmt.Errorf("clean, but the report cannot be written: %w", noKeys))
	}
	return failed
}

// guardPatience is how long a guard may take that is reverting already.
const guardPatience = 2 * time.Minute

// awaitGuards waits for all guards that are at work, and refuses if a drill is, unless that keeps its evidence elsewhere.
func (a *app) awaitGuards(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, guardPatience)
	defer cancel()
	for _, evidence := range a.evidences() {
		if err := a.awaitGuard(ctx, evidence); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) awaitGuard(ctx context.Context, evidence string) error {
	for told := ""; ; {
		who, err := drills.AtWork(evidence)
		switch {
		case err != nil || who == "":
			return err
		case !strings.HasPrefix(who, "the guard of ") && evidence != a.Config.Evidence:
			return nil
		case !strings.HasPrefix(who, "the guard of "):
			return withHint(exitWith(exitRefused, fmt.Errorf("%s is at work", who)), "interrupt it, and it reverts by itself; or 'gwdr drill abort'")
		case who != told:
			a.progress("waiting for %s, which reverts", who)
			told = who
		}
		select {
		case <-time.After(abortEvery):
		case <-ctx.Done():
			return withHint(exitWith(exitRefused, fmt.Errorf("%s is still at work: %w", who, ctx.Err())),
				"what it says is in %s of the run, in %s", drills.GuardFile, evidence)
		}
	}
}

// toRevert returns the directory of the run, or those of all runs that did not end clean, or clean but without a report.
func (a *app) toRevert(run string) ([]string, error) {
	if run == "" {
		return a.allToRevert()
	}
	dir, err := a.findRun(run)
	if err != nil {
		return nil, usageError(err)
	}
	runs, err := drills.Runs(filepath.Dir(dir))
	if err != nil {
		return nil, err
	}
	last, unreported, err := drills.Unreported(filepath.Dir(dir))
	for _, r := range runs {
		if r.ID == filepath.Base(dir) && (!r.Clean || unreported && r.ID == last.ID) {
			return []string{r.Dir}, err
		}
	}
	return nil, err
}

// allToRevert looks in every directory that drills have kept their evidence in.
func (a *app) allToRevert() (dirs []string, err error) {
	for _, evidence := range a.evidences() {
		left, leftErr := drills.Orphans(evidence)
		for _, o := range left {
			dirs = append(dirs, o.Dir)
		}
		last, unreported, lastErr := drills.Unreported(evidence)
		if unreported && !slices.Contains(dirs, last.Dir) {
			dirs = append(dirs, last.Dir)
		}
		err = errors.Join(err, leftErr, lastErr)
	}
	return dirs, err
}

func (a *app) showReverted(r revertResult) error {
	if a.JSON {
		return a.writeJSON(r)
	}
	if len(r.Runs) == 0 && r.Clean {
		_, err := fmt.Fprintln(a.Stdout, "clean: no drill has left anything behind in "+strings.Join(a.evidences(), ", "))
		return err
	}
	for _, run := range r.Runs {
		state := "clean"
		if !run.Clean {
			state = "DIRTY"
		}
		line := fmt.Sprintf("%s: %s", state, run.Run)
		if len(run.Reverted) > 0 {
			line += "; reverted " + strings.Join(run.Reverted, ", ")
		}
		if len(run.Leftovers) > 0 {
			line += "; in effect: " + strings.Join(run.Leftovers, ", ")
		}
		if _, err := fmt.Fprintln(a.Stdout, line); err != nil {
			return err
		}
	}
	return nil
}

func newDrillGuardCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "guard DIR LEASE",
		Short:   "Revert the run in DIR when stdin ends or falls silent for LEASE",
		Example: "  gwdr drill guard evidence/20261121T024601Z-region-loss-a1b2 5s",
		Hidden:  true,
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			lease, err := time.ParseDuration(args[1])
			if err != nil {
				return usageError(err)
			}
			reverter := &drills.Reverter{Open: a.openUndo, Log: a.Log}
			_, err = reverter.Watch(cmd.Context(), a.Stdin, a.Stdout, args[0], lease)
			return err
		},
	}
}
