package cmd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"gwdr/backup"
	"gwdr/drills"
	"gwdr/internal/tui"
	"gwdr/probes"
	"gwdr/report"
	"gwdr/scenarios"
)

func newDrillCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drill",
		Short: "Break the gateway on purpose, and measure how it comes back",
		Long: `A drill runs a scenario: it makes sure that all is well and can be undone, breaks something on purpose, times the recovery
from the clients' side, counts what was lost, reverts every fault, and writes evidence that can be computed again.

A guard process reverts the faults if the drill is killed. 'gwdr drill abort' ends a drill from another terminal, and with
--all blocks new ones.`,
		Example: `  gwdr drill list
  gwdr drill run region-loss
  gwdr drill run my-scenario.yaml --dry-run
  gwdr drill abort
  gwdr drill revert`,
	}
	cmd.AddCommand(newDrillRunCommand(a), newDrillListCommand(a), newDrillShowCommand(a), newDrillAbortCommand(a), newDrillRevertCommand(a), newDrillCalibrateCommand(a), newDrillGuardCommand(a),
		newDrillHoldCommand(a))
	return cmd
}

// drillRunOptions are the flags of gwdr drill run.
type drillRunOptions struct {
	dryRun   bool
	approve  string
	evidence string
	metrics  string
}

func newDrillRunCommand(a *app) *cobra.Command {
	var opts drillRunOptions
	cmd := &cobra.Command{
		Use:   "run NAME|FILE",
		Short: "Run a drill",
		Long: `Run takes a scenario of the catalogue by its name ('gwdr drill list'), or a scenario file, through the whole lifecycle, and
prints what was promised and what was achieved. Where no lab is running it starts one of its own, and ends it
afterwards; a running lab of another topology is in its way, and refused. 'gwdr drill show NAME' writes the file of a
scenario, to begin your own with; docs/scenarios.md explains its fields. Where it is allowed to, it runs at a raised priority,
so that a busy machine is not taken for a broken gateway.

On every fleet but the lab somebody must approve the plan: at a terminal by typing the scenario's name, elsewhere with
--approve and the hash that --dry-run shows. In gwdr.yaml, safety: says when drills may run and what none may touch, and
notify: who is told.

Interrupting it once aborts the drill: every fault is reverted, and gwdr ends with code 5. Interrupting it twice ends gwdr at
once, and the guard process reverts.

` + metricsHelp + `

Where OTEL_EXPORTER_OTLP_ENDPOINT names a collector of OpenTelemetry, it gets the drill as a trace once it has ended.`,
		Example: `  gwdr drill run region-loss
  gwdr drill run region-loss --dry-run
  gwdr drill run region-loss --approve 5d2f0c...  # the plan of --dry-run
  gwdr drill run my-scenario.yaml --json --evidence /var/lib/gwdr/evidence
  gwdr drill run region-loss --metrics :9464
  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 gwdr drill run region-loss`,
		Args:              oneArgument("the name or the file of a scenario", "see 'gwdr drill list'"),
		ValidArgsFunction: completeScenarios,
		RunE:              func(cmd *cobra.Command, args []string) error { return runDrill(cmd.Context(), a, args[0], opts) },
	}
	cmd.Flags().BoolVar(&opts.dryRun, "dry-run", false, "show targets, actions, the undo plan and the worst-case duration, and touch nothing")
	cmd.Flags().StringVar(&opts.approve, "approve", "", "`hash` of the plan that may be run, as --dry-run shows it, and no other")
	cmd.Flags().StringVar(&opts.evidence, "evidence", "", "`directory` for the evidence of all runs (default: as configured, or ./evidence)")
	addMetricsFlag(cmd, &opts.metrics)
	return cmd
}

func runDrill(ctx context.Context, a *app, name string, opts drillRunOptions) error {
	s, err := loadScenario(name)
	if err != nil {
		return err
	}
	if err := checkAddress("--metrics", opts.metrics); err != nil {
		return usageError(err)
	}
	drawn := s.DrawSeeds(func() uint64 { return 1 + rand.Uint64N(1<<53-1) }) // which every reader of JSON can hold
	if opts.dryRun {
		return a.dryRun(ctx, s, drawn)
	}
	notify, err := a.notifier()
	if err != nil {
		return usageError(err)
	}
	keys, err := decrypting(a.openKeys(ctx)) // whoever cannot sign the report should hear it before
	if err != nil {
		return err
	}
	if err := a.useEvidence(opts.evidence); err != nil {
		return err
	}
	collector := a.drillCollector()
	observe, stop, err := a.observeDrill(s, opts.metrics)
	if err != nil {
		return err
	}
	defer stop()
	if err := raisePriority(); err != nil {
		a.Log.Info("a busy machine may disturb the measurement", "err", err)
	}
	if err := a.checkFleet(ctx, s); err != nil { // before the run gets a number, and before anything is announced
		return err
	}
	release, dir := func() error { return nil }, a.fleetDir(s.Fleet)
	if dir != "" {
		if release, err = drills.Claim(dir, s.Metadata.Name); err != nil {
			return drillError(nil, err)
		}
	}
	defer release() // the kernel would, too
	approve, err := a.approvePlan(ctx, s, opts.approve, drawn)
	if err != nil {
		return err
	}
	if dir != "" {
		if err := a.rememberEvidence(s.Fleet); err != nil {
			return fmt.Errorf("remember where the evidence is: %w", err)
		}
	}
	a.live = a.interactive()
	show, closeScreen := a.drillScreen(ctx, s)
	r := &drills.Runner{Scenario: s, Open: a.openSite(s), Evidence: a.Config.Evidence, Tool: "gwdr " + version(), Events: show, Observe: observe,
		Report: reportWriter(keys), Calibration: a.newestCalibration(), Bounds: a.Config.Safety.bounds(),
		Reach: a.Config.Fleets[s.Fleet].words(), Abort: a.abortCommand(), Approve: approve, Notify: notify, Log: a.Log}
	result, err := r.Run(ctx)
	closeScreen()
	if result != nil {
		err = errors.Join(err, a.showDrill(result))
		a.sendTrace(ctx, collector, result)
	}
	return drillError(result, err)
}

// abortCommand aborts the drill from wherever it is typed.
func (a *app) abortCommand() string {
	evidence, err := filepath.Abs(a.Config.Evidence)
	if err != nil {
		evidence = a.Config.Evidence
	}
	return a.typed() + " drill abort --evidence " + shellWord(evidence)
}

// fleetDir is where whoever breaks a fleet locks it, wherever the evidence is kept; empty for what cannot be the name of one.
func (a *app) fleetDir(name string) string {
	switch {
	case name == labFleet:
		return a.Config.LabDir()
	case plainName(strings.ToLower(name)):
		return filepath.Join(a.Config.State, "fleets", strings.ToLower(name))
	}
	return ""
}

// useEvidence takes another evidence directory than the configured one, if it is named.
func (a *app) useEvidence(dir string) error {
	if dir == "" {
		return nil
	}
	a.Config.Evidence = dir
	return a.Config.resolve()
}

// reportWriter returns what writes the report of a run into its evidence.
func reportWriter(keys backup.Keys) func(dir string, r *drills.Result) error {
	return func(dir string, r *drills.Result) error { return report.Write(dir, r, keys.Signer) }
}

// loadScenario tells a scenario that nobody knows, or that is not valid, from one that cannot be read.
func loadScenario(name string) (*scenarios.Scenario, error) {
	s, err := scenarios.Load(name)
	switch problems := (scenarios.Problems)(nil); {
	case errors.As(err, &problems):
		return nil, usageError(err)
	case errors.Is(err, scenarios.ErrUnknown) && nearestScenario(name) != "":
		return nil, withHint(usageError(err), "did you mean %s?", nearestScenario(name))
	case errors.Is(err, scenarios.ErrUnknown):
		return nil, withHint(usageError(err), "'gwdr drill list' tells what each is for; a file's name ends in .yaml")
	case err != nil:
		return nil, usageError(err)
	}
	return s, nil
}

// nearestScenario returns the scenario of the catalogue whose name is spelled most like it; "" if none is.
func nearestScenario(name string) string {
	all, err := scenarios.Catalogue()
	if err != nil {
		return ""
	}
	var names []string
	for _, s := range all {
		names = append(names, s.Metadata.Name)
	}
	return nearest(strings.ToLower(name), names)
}

// drillScreen returns what takes the drill's events, and what ends the screen when there are no more.
func (a *app) drillScreen(ctx context.Context, s *scenarios.Scenario) (show func(drills.Event), end func()) {
	if a.Quiet {
		return nil, func() {}
	}
	events, done := make(chan drills.Event, 256), make(chan struct{})
	go func() {
		defer close(done)
		if err := a.showEvents(ctx, s, events); err != nil {
			a.Log.Warn("screen", "err", err)
		}
		for range events { // the drill goes on without it
		}
	}()
	return func(e drills.Event) { events <- e }, func() { close(events); <-done }
}

// showEvents shows the drill until it ends: live to a person, and as lines to everybody else, or once the person leaves.
func (a *app) showEvents(ctx context.Context, s *scenarios.Scenario, events <-chan drills.Event) error {
	if !a.interactive() {
		return tui.Plain(a.Stderr, events, drillInfo(s))
	}
	err := tui.Run(context.WithoutCancel(ctx), a.Stdin, a.Stdout, events, drillInfo(s), a.Interrupt)
	left := (*tui.LeftError)(nil)
	if !errors.As(err, &left) {
		return err
	}
	fmt.Fprintln(a.Stderr, left)
	if left.Again { // which the view took from the terminal; as a signal it would have ended the process
		return syscall.Kill(os.Getpid(), syscall.SIGINT)
	}
	return tui.Plain(a.Stderr, events, drillInfo(s))
}

func drillInfo(s *scenarios.Scenario) tui.Info {
	info := tui.Info{Scenario: s.Metadata.Name, Title: s.Metadata.Title, Fleet: s.Fleet, RTO: map[probes.Plane]time.Duration{}}
	for _, o := range s.Objectives {
		if o.Metric == scenarios.MetricRTA {
			info.RTO[probes.Plane(o.Plane)] = o.LE.D()
		}
	}
	for _, p := range seriesOf(s) {
		info.Series = append(info.Series, p.Series)
	}
	return info
}

// showDrill writes the result, and what to do next.
func (a *app) showDrill(r *drills.Result) error {
	if a.JSON {
		return a.writeJSON(r)
	}
	if err := report.Text(a.Stdout, r); err != nil {
		return err
	}
	next := "report verify " + shellWord(r.Evidence)
	if !r.Clean {
		next = "drill revert " + r.ID
	}
	next = fmt.Sprintf("%-10s %s %s\n", "next", a.typed(), next)
	if r.Verdict == drills.Inconclusive && r.Distrusted() {
		next += fmt.Sprintf("%-10s %s\n", "again", "once this machine is otherwise idle: something disturbed the measurement")
	}
	_, err := fmt.Fprint(a.Stdout, next)
	return err
}

// typed is what somebody types to run this program: whoever tries it out of its sources has not installed it.
func (a *app) typed() string {
	if strings.Contains(a.Executable, string(filepath.Separator)+"go-build") {
		return "go run ."
	}
	return "gwdr"
}

// drillError maps a drill's end to the exit code. A fault that may still be in effect wins over everything.
func drillError(r *drills.Result, err error) error {
	orphan, stop := (*drills.OrphanError)(nil), (*drills.StopError)(nil)
	switch {
	case r != nil && !r.Clean:
		return withHint(exitWith(exitDirty, errors.Join(errors.New("a fault may still be in effect"), err)), "'gwdr drill revert %s' cleans up", r.ID)
	case errors.As(err, &orphan):
		return withHint(exitWith(exitRefused, err), "'gwdr drill revert %s' cleans up", orphan.Orphan.ID)
	case errors.As(err, &stop) && r != nil && r.Verdict == drills.Aborted:
		return exitWith(exitAborted, errors.New("aborted before anything was injected"))
	case errors.As(err, &stop):
		return withHint(exitWith(exitRefused, err), "'gwdr drill abort --lift --evidence %s' removes it", shellWord(filepath.Dir(stop.Path)))
	case errors.Is(err, drills.ErrGuard):
		return withHint(exitWith(exitRefused, err), "that drill was killed, and its guard reverts what it has left behind: wait, or 'gwdr drill revert' waits for it and says how it ended")
	case errors.Is(err, drills.ErrLocked):
		return withHint(exitWith(exitRefused, err), "wait for it, or 'gwdr drill abort'")
	case errors.Is(err, drills.ErrRefused) && errors.Is(err, drills.ErrUnsteady): // not because its record cannot be written
		return withHint(exitWith(exitRefused, err), "if this machine is busy, run it again once it is idle; if not, the fleet does not answer as the scenario's probes expect")
	case errors.Is(err, drills.ErrRefused) && errors.Is(err, drills.ErrInEffect):
		return withHint(exitWith(exitRefused, err), "'gwdr drill revert' cleans up, wherever drills of this machine have kept their evidence")
	case errors.Is(err, drills.ErrRefused):
		return exitWith(exitRefused, err)
	case errors.Is(err, context.Canceled):
		return exitWith(exitInterrupted, errors.New("interrupted before anything was injected"))
	case err != nil:
		return evidenceFailed(err)
	}
	code := map[drills.Verdict]int{
		drills.Fail: exitMissed, drills.Inconclusive: exitInconclusive, drills.Aborted: exitAborted, drills.Refused: exitRefused, drills.Errored: exitError,
	}[r.Verdict]
	if code == exitDone {
		return nil
	}
	return exitWith(code, nil) // the result says why
}
