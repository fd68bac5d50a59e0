package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gwdr/drills"
)

// abortResult is the document of gwdr drill abort --json.
type abortResult struct {
	Schema  string      `json:"schema"`  // gwdr/abort/v1
	Blocked bool        `json:"blocked"` // a STOP file blocks new drills
	Clean   bool        `json:"clean"`
	Runs    []listedRun `json:"runs"` // that were aborted

	dirs    []string // that were looked at
	blocked []string // those of them where a STOP file stays
}

type drillAbortOptions struct {
	all, lift bool
	evidence  string
	wait      time.Duration
}

// abortEvery is the time between two looks at a drill that is being aborted.
const abortEvery = 200 * time.Millisecond

func newDrillAbortCommand(a *app) *cobra.Command {
	var opts drillAbortOptions
	cmd := &cobra.Command{
		Use:   "abort",
		Short: "End the drill that is running, and wait until all is reverted",
		Long: `Abort puts a file named STOP into the evidence directory. The drill that is running there sees it within a moment, aborts and
reverts all its faults; abort waits for that, and says how it ended. Then it removes the file, so that drills may run again.
Where no drill is running, the one that keeps its evidence elsewhere is ended there; of several, --evidence names the one.

With --all every drill is ended, wherever its evidence is, and the file stays: it blocks new drills until
'gwdr drill abort --lift', or rm, removes it.

It ends with 0 once no drill is at work and nothing is left in effect, also if none was, and with 6 if a fault may still be in
effect. What a drill that was killed has left behind is for 'gwdr drill revert'.`,
		Example: `  gwdr drill abort
  gwdr drill abort --all         # and no new ones
  gwdr drill abort --lift        # they may run again
  gwdr drill abort --evidence /var/lib/gwdr/evidence`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runDrillAbort(cmd.Context(), a, opts) },
	}
	cmd.Flags().BoolVar(&opts.all, "all", false, "block new drills, too")
	cmd.Flags().BoolVar(&opts.lift, "lift", false, "let drills run again")
	cmd.Flags().StringVar(&opts.evidence, "evidence", "", "`directory` for the evidence of all runs (default: as configured, or ./evidence)")
	cmd.Flags().DurationVar(&opts.wait, "wait", 10*time.Minute, "how long to wait for the drill")
	return cmd
}

func runDrillAbort(ctx context.Context, a *app, opts drillAbortOptions) (err error) {
	if opts.all && opts.lift {
		return usageError(errors.New("--all blocks new drills, and --lift lets them run: which of the two?"))
	}
	if err := a.useEvidence(opts.evidence); err != nil {
		return err
	}
	result := abortResult{Schema: "gwdr/abort/v1", Clean: true, Runs: []listedRun{}}
	if opts.lift {
		return a.liftStop(result)
	}
	if result.dirs, err = a.toAbort(opts); err != nil {
		return err
	}
	for _, dir := range result.dirs { // all at once, and only then is one waited for
		if err := drills.StopAll(dir, opts.all); err != nil {
			return err
		}
	}
	for _, dir := range result.dirs {
		if err := a.abortIn(ctx, dir, opts.wait, &result); err != nil {
			return err
		}
	}
	return a.showAborted(result)
}

// toAbort returns the evidence directories whose drills are to end: the one that was named, or the configured one, or, if no drill
// is at work there, the one where one is. Of several nobody knows which was meant, unless all were.
func (a *app) toAbort(opts drillAbortOptions) ([]string, error) {
	here := []string{a.Config.Evidence}
	if opts.evidence != "" {
		return here, nil
	}
	elsewhere := a.busyElsewhere()
	if opts.all {
		return append(here, elsewhere...), nil
	}
	who, err := drills.AtWork(a.Config.Evidence)
	switch {
	case err != nil, who != "", len(elsewhere) == 0:
		return here, err
	case len(elsewhere) == 1:
		return elsewhere, nil
	}
	err = fmt.Errorf("several drills are at work, with their evidence in %s", strings.Join(elsewhere, ", "))
	return nil, withHint(exitWith(exitRefused, err), "'gwdr drill abort --evidence %s' ends that one, and --all all of them", shellWord(elsewhere[0]))
}

// busyElsewhere returns the other directories where somebody is at work. One that cannot be looked at hides no other.
func (a *app) busyElsewhere() (busy []string) {
	for _, dir := range a.evidences()[1:] {
		who, err := drills.AtWork(dir)
		if err != nil {
			a.Log.Warn("look for drills", "err", err)
		}
		if who != "" {
			busy = append(busy, dir)
		}
	}
	return busy
}

// abortIn waits for the end of the drill in the directory, and adds how it ended.
func (a *app) abortIn(ctx context.Context, dir string, patience time.Duration, result *abortResult) error {
	if dir != a.Config.Evidence {
		a.progress("a drill keeps its evidence in %s", dir)
	}
	running, err := a.awaitEnd(ctx, dir, patience)
	if err != nil { // the drill may have yet to see the file
		return withHint(err, "new drills stay blocked until 'gwdr drill abort --lift --evidence %s'", shellWord(dir))
	}
	blocked, err := drills.LiftPassing(dir)
	if err != nil {
		return err
	}
	if blocked {
		result.Blocked, result.blocked = true, append(result.blocked, dir)
	}
	return gatherAborted(result, dir, running)
}

func (a *app) liftStop(result abortResult) error {
	there, err := drills.Lift(a.Config.Evidence)
	if err != nil {
		return err
	}
	if a.JSON {
		return a.writeJSON(result)
	}
	text := "no STOP file blocked any drill in "
	if there {
		text = "drills may run again in "
	}
	_, err = fmt.Fprintln(a.Stdout, text+a.Config.Evidence)
	return err
}

// awaitEnd waits until nobody is at work in the evidence directory, tells how far they are, and returns the id of the run that
// was; empty if nobody was.
func (a *app) awaitEnd(ctx context.Context, evidence string, patience time.Duration) (running string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(abortEvery)
	defer tick.Stop()
	toldWho, toldPhase := "", drills.Phase("")
	for {
		who, err := drills.AtWork(evidence)
		if err != nil || who == "" {
			return running, err
		}
		id, phase := atWork(evidence)
		if running == "" {
			running = id
		}
		if who != toldWho {
			a.progress("waiting for %s", who)
		}
		if phase != toldPhase && phase != "" {
			a.progress("  %s", phase)
		}
		toldWho, toldPhase = who, phase
		select {
		case <-tick.C:
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return running, fmt.Errorf("%s is still at work after %s", who, patience)
			}
			return running, fmt.Errorf("wait for %s: %w", who, ctx.Err())
		}
	}
}

// atWork returns the newest run and the phase that it is in; what cannot be read yet is empty.
func atWork(evidence string) (id string, phase drills.Phase) {
	runs, err := drills.Runs(evidence)
	if err != nil || len(runs) == 0 || runs[len(runs)-1].Ended {
		return "", "" // it has yet to begin one, or is writing its report
	}
	last := runs[len(runs)-1]
	death, err := drills.Autopsy(last.Dir)
	if err != nil {
		return last.ID, ""
	}
	return last.ID, death.Phase
}

// gatherAborted adds how the run ended, and all that did not end clean.
func gatherAborted(result *abortResult, evidence, running string) error {
	runs, err := drills.Runs(evidence)
	if err != nil {
		return err
	}
	for _, run := range runs {
		if run.ID == running || !run.Clean {
			result.Runs = append(result.Runs, listedRun{run, runVerdict(run, "")})
			result.Clean = result.Clean && run.Clean
		}
	}
	return nil
}

func (a *app) showAborted(r abortResult) error {
	if a.JSON {
		if err := a.writeJSON(r); err != nil {
			return err
		}
	} else if err := a.writeAborted(r); err != nil {
		return err
	}
	if !r.Clean {
		return withHint(exitWith(exitDirty, errors.New("a fault may still be in effect")), "'gwdr drill revert' cleans up")
	}
	return nil
}

func (a *app) writeAborted(r abortResult) error {
	if len(r.Runs) == 0 {
		if _, err := fmt.Fprintf(a.Stdout, "no drill is at work in %s\n", strings.Join(r.dirs, ", ")); err != nil {
			return err
		}
	}
	for _, run := range r.Runs {
		state := "clean"
		if !run.Clean {
			state = "DIRTY"
		}
		if _, err := fmt.Fprintf(a.Stdout, "%s: %s; %s\n", state, run.ID, run.Verdict); err != nil {
			return err
		}
	}
	for _, dir := range r.blocked {
		if _, err := fmt.Fprintf(a.Stdout, "new drills are blocked until 'gwdr drill abort --lift --evidence %s'\n", shellWord(dir)); err != nil {
			return err
		}
	}
	return nil
}
