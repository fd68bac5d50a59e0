package cmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"gwdr/drills"
	"gwdr/report"
	"gwdr/scenarios"
)

// drillList is the document of gwdr drill list --json.
type drillList struct {
	Schema    string           `json:"schema"` // gwdr/drills/v1
	Scenarios []listedScenario `json:"scenarios"`
	Runs      []listedRun      `json:"runs"`
}

type listedScenario struct {
	Name       string   `json:"name"`
	Title      string   `json:"title"`
	Fleet      string   `json:"fleet"`
	Class      string   `json:"class"`
	Tags       []string `json:"tags"`
	Objectives []string `json:"objectives"`
}

type listedRun struct {
	drills.Run
	Verdict string `json:"verdict"`
}

func newDrillListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the scenarios that there are, and the runs so far",
		Long: `List shows the scenarios of the catalogue, each of which 'gwdr drill run' takes by its name, and all runs in the evidence
directory, the oldest first.

RUN is the number of the run and ID its name: 'gwdr drill show', 'gwdr report' and 'gwdr drill revert' take either. STARTED is
in UTC. VERDICT is one of

  pass, fail           all objectives were met, or one was missed
  inconclusive         the measurement decides not all of them
  aborted              it was ended before that, and all was reverted
  refused              it was not ready or not approved: nothing was broken
  error                something else went wrong
  ..., not clean       a fault may still be in effect: 'gwdr drill revert'
  running              it goes on now
  killed, ...          gwdr was; then whether its faults are reverted
  no report            it ended, and could not write one`,
		Example: `  gwdr drill list
  gwdr drill list --json | jq -r '.scenarios[].name'
  gwdr drill list --json | jq '.runs[-1]'   # the newest run`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return runDrillList(a) },
	}
}

func runDrillList(a *app) error {
	all, err := scenarios.Catalogue()
	if err != nil {
		return err
	}
	list := drillList{Schema: "gwdr/drills/v1", Scenarios: []listedScenario{}, Runs: []listedRun{}}
	for _, s := range all {
		l := listedScenario{Name: s.Metadata.Name, Title: s.Metadata.Title, Fleet: s.Fleet, Class: s.Metadata.Class, Tags: s.Metadata.Tags}
		for _, o := range s.Objectives {
			l.Objectives = append(l.Objectives, promise(o))
		}
		list.Scenarios = append(list.Scenarios, l)
	}
	runs, err := drills.Runs(a.Config.Evidence)
	if err != nil {
		return err
	}
	who, err := drills.AtWork(a.Config.Evidence)
	if err != nil {
		return err
	}
	for _, run := range runs {
		list.Runs = append(list.Runs, listedRun{run, runVerdict(run, who)})
	}
	if a.JSON {
		return a.writeJSON(list)
	}
	return list.write(a.Stdout)
}

// runVerdict reads the verdict off the run's report. A run that was killed, or is running, has none of its own: what a revert writes
// of it later says less than that. who is at work in its directory.
func runVerdict(run drills.Run, who string) string {
	var result struct {
		Verdict string `json:"verdict"`
	}
	text, err := os.ReadFile(filepath.Join(run.Dir, drills.ReportFile))
	if err == nil {
		err = json.Unmarshal(text, &result)
	}
	switch {
	case run.Ended && err == nil && run.Clean:
		return result.Verdict
	case run.Ended && err == nil:
		return result.Verdict + ", not clean"
	case run.Ended:
		return "no report"
	case strings.HasSuffix(who, fmt.Sprintf(", process %d", run.PID)):
		return fmt.Sprintf("running (process %d)", run.PID)
	case strings.HasPrefix(who, "the guard of "+run.ID):
		return "killed, its guard reverts"
	case run.Clean:
		return "killed, reverted"
	}
	return "killed, NOT reverted"
}

// warnOrphans says which runs may have left a fault behind.
func (a *app) warnOrphans() {
	for _, evidence := range a.evidences() {
		left, err := drills.Orphans(evidence)
		if err != nil {
			a.Log.Warn("look for orphaned runs", "err", err)
		}
		for _, o := range left {
			fmt.Fprintf(a.Stderr, "gwdr: ORPHANED: %s; 'gwdr drill revert %s' cleans up\n", o, a.runName(o.Run))
		}
	}
}

// runName is what names the run from here: its id, or its directory if that is elsewhere.
func (a *app) runName(run drills.Run) string {
	if filepath.Dir(run.Dir) == a.Config.Evidence {
		return run.ID
	}
	return shellWord(run.Dir)
}

func (l drillList) write(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SCENARIO\tTITLE")
	for _, s := range l.Scenarios {
		fmt.Fprintf(t, "%s\t%s\n", s.Name, s.Title)
	}
	if len(l.Runs) > 0 {
		fmt.Fprintln(t, "\nRUN\tSTARTED\tVERDICT\tID")
		for _, r := range l.Runs {
			fmt.Fprintf(t, "%d\t%s\t%s\t%s\n", r.No, r.Started.UTC().Format(time.DateTime), r.Verdict, r.ID)
		}
	}
	return t.Flush()
}

func newDrillShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME|FILE|RUN",
		Short: "Show a scenario, or what a run found",
		Long: `Of a scenario, by the name in the catalogue or by its file, show writes the file with all defaults filled in; docs/scenarios.md
explains its fields. Of a run, by its number or the beginning of its id ('gwdr drill list'), it writes what was found.

The table of a run has a row for each objective: METRIC is what was measured (RTA the time until it worked again, RPA how much
was lost), PROMISED the bound in the scenario, ACHIEVED what was measured with its error, VERDICT whether that keeps the promise.
It is judged from the record each time, also of a run that has no report; 'gwdr report verify' checks the record itself.`,
		Example: `  gwdr drill show region-loss
  gwdr drill show region-loss > my.yaml   # to begin a scenario of your own with
  gwdr drill show my.yaml --json
  gwdr drill show 1                       # what the run with that number found
  gwdr drill show 1 --json | jq .objectives`,
		ValidArgsFunction: func(c *cobra.Command, args []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
			names, directive := completeScenarios(c, args, begun)
			ids, _ := a.completeRuns(c, args, begun)
			return append(names, ids...), directive
		},
		Args: oneArgument("the name of a scenario, or the number or the id of a run", "see 'gwdr drill list'"),
		RunE: func(_ *cobra.Command, args []string) error { return runDrillShow(a, args[0]) },
	}
}

func runDrillShow(a *app, name string) error {
	if isRun(name) {
		return a.showRun(name)
	}
	s, err := loadScenario(name)
	if errors.Is(err, scenarios.ErrUnknown) {
		dir, none := a.findRun(name)
		if none != nil {
			return usageError(errors.Join(err, none))
		}
		return a.showRun(dir)
	} else if err != nil {
		return err
	}
	if a.JSON {
		return a.writeJSON(s)
	}
	text, err := (&scenarios.Plan{Scenario: s}).YAML()
	if err != nil {
		return err
	}
	_, err = a.Stdout.Write(text)
	return err
}

// showRun judges the run again from its record.
func (a *app) showRun(dir string) error {
	facts, s, err := drills.ReadFacts(dir)
	if errors.Is(err, drills.ErrEvidence) {
		return exitWith(exitIntegrity, err)
	} else if err != nil {
		return err
	}
	result := drills.Judge(s, facts)
	if a.JSON {
		return a.writeJSON(result)
	}
	return report.Text(a.Stdout, result)
}
