package cmd

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"gwdr/probes/calibration"
)

// calibrateOptions are the flags of gwdr drill calibrate.
type calibrateOptions struct {
	rounds int
	rate   float64
	seed   uint64
}

func newDrillCalibrateCommand(a *app) *cobra.Command {
	opts := calibrateOptions{rounds: 5, rate: 50}
	cmd := &cobra.Command{
		Use:   "calibrate",
		Short: "Show how wrong the measurement is, by outages of known length",
		Long: `Calibrate measures outages whose length is known from the clock of whoever makes them, with the prober, the estimates and the
guards of a drill, and compares: refused connections, a black hole, requests that are held and answered later, a one-way
link, and a brown-out of every second request. It touches nothing but a target of its own on free loopback ports.

For each kind and each kind of connection the table has the number of outages, the mean (bias), the standard deviation and
the largest error of the measured length, by how much the RTA that is judged overstates, and how often the truth lay in
the bracket. The result is kept; every later drill on this machine takes a copy into its evidence, and its report quotes it.

It ends with 0 if the truth lay in the bracket every time, with 3 if it did not, and with 4 if in more than half of the
outages of a kind a guard did not hold: then the machine was too busy, and nothing is claimed.`,
		Example: `  gwdr drill calibrate
  gwdr drill calibrate --rounds 20 --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runCalibrate(cmd.Context(), a, opts) },
	}
	cmd.Flags().IntVar(&opts.rounds, "rounds", opts.rounds, "outages of each kind")
	cmd.Flags().Float64Var(&opts.rate, "rate", opts.rate, "attempts a second, on new and on kept-alive connections each")
	cmd.Flags().Uint64Var(&opts.seed, "seed", 0, "decides lengths and instants of the outages (default: a random one, which is printed)")
	return cmd
}

func runCalibrate(ctx context.Context, a *app, opts calibrateOptions) error {
	plan, err := calibration.NewPlan(opts.rounds, opts.rate)
	if err != nil {
		return usageError(err)
	}
	if opts.seed == 0 {
		opts.seed = 1 + rand.Uint64N(1<<53-1) // which every reader of JSON can hold
	}
	host, err := thisHost()
	if err != nil {
		return err
	}
	if err := calibration.Prepare(a.Config.CalibrationsDir()); err != nil { // before minutes are spent on it
		return err
	}
	if err := raisePriority(); err != nil { // as a drill does
		a.Log.Info("a busy machine may disturb the measurement", "err", err)
	}
	a.progress("%d outages of each of %d kinds, in about %s, with seed %d", plan.Rounds, len(calibration.Kinds()),
		plan.Duration(len(calibration.Kinds())).Round(time.Second), opts.seed)
	record, err := a.calibrate(ctx, plan, opts.seed)
	if err != nil {
		return err
	}
	d := calibration.Judge(record)
	d.Tool, d.Host = "gwdr "+version(), host
	path, err := calibration.Save(a.Config.CalibrationsDir(), d)
	if err != nil {
		return err
	}
	if err := a.showCalibration(d, path); err != nil {
		return err
	}
	return map[calibration.Verdict]error{
		calibration.Fail: exitWith(exitMissed, nil), calibration.Inconclusive: exitWith(exitInconclusive, nil),
	}[d.Verdict]
}

// calibrate makes the outages on a target of its own.
func (a *app) calibrate(ctx context.Context, plan calibration.Plan, seed uint64) (_ calibration.Record, err error) {
	rig, err := openRig()
	if err != nil {
		return calibration.Record{}, err
	}
	defer rig.close()
	r := calibration.Runner{Plan: plan, Seed: seed, Probes: rig.probes(plan), Faults: rig.faults(),
		Told: func(k calibration.Known, no, of int) {
			a.progress("%*d/%d  %-10s down for %s", len(fmt.Sprint(of)), no, of, k.Kind, (k.Ended.From - k.Began.From).Round(time.Millisecond))
		}}
	return r.Run(ctx)
}

// thisHost describes the machine that a calibration holds for.
func thisHost() (h calibration.Host, err error) {
	if h.Name, err = os.Hostname(); err != nil {
		return h, fmt.Errorf("describe this host: %w", err)
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return h, fmt.Errorf("describe this host: %w", err)
	}
	h.Kernel = unix.ByteSliceToString(u.Sysname[:]) + " " + unix.ByteSliceToString(u.Release[:])
	h.CPUs = runtime.NumCPU()
	if load, err := os.ReadFile("/proc/loadavg"); err == nil { // where there is none, nobody knows
		_, _ = fmt.Sscan(string(load), &h.Load)
	}
	return h, nil
}

// newestCalibration returns the newest calibration of this host as it was written, or nil: a drill that has none goes on.
func (a *app) newestCalibration() []byte {
	name, err := os.Hostname()
	if err != nil {
		a.Log.Warn("no calibration", "err", err)
		return nil
	}
	data, err := calibration.Newest(a.Config.CalibrationsDir(), name)
	if err != nil {
		a.Log.Warn("no calibration", "err", err)
	}
	return data
}

// CalibrationsDir is where the results of calibrations are kept.
func (c *Config) CalibrationsDir() string { return filepath.Join(c.State, "calibrations") }

func (a *app) showCalibration(d calibration.Document, path string) error {
	if a.JSON {
		return a.writeJSON(d)
	}
	return writeCalibration(a.Stdout, d, path)
}

// calibrationLegend says what the columns are.
const calibrationLegend = `
n: outages. Lengths in ms: bias, sd and max of the error; 1/R+L, the most that
the prober's rate and its limit for slow answers allow; over, by how much the RTA
that is judged overstates. inside: the truth in the bracket. open: inconclusive.
`

// writeCalibration writes the table for people; lengths are in milliseconds.
func writeCalibration(out io.Writer, d calibration.Document, path string) error {
	fmt.Fprintf(out, "%s  %s\n\n", strings.ToUpper(string(d.Verdict)), d.Reason)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "outage\tconnections\tn\tbias\tsd\tmax\t1/R+L\tover\tinside\topen\t\n")
	for _, r := range d.Rows {
		figures := "–\t–\t–\t–\t–" // nothing was claimed
		if r.Inside+r.Outside > 0 {
			figures = strings.Join([]string{milli(r.BiasS), milli(r.SDS), milli(r.MaxS), milli(r.BoundS), milli(r.OverS)}, "\t")
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d/%d\t%d\t\n", r.Kind, r.Series, r.N, figures, r.Inside, r.Inside+r.Outside, r.Inconclusive)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprint(out, calibrationLegend)
	for _, line := range doubts(d.Trials) {
		fmt.Fprintln(out, line)
	}
	if d.Verdict == calibration.Inconclusive {
		fmt.Fprint(out, "next: calibrate again while the machine is idle, with more rounds: --rounds 20\n")
	}
	_, err := fmt.Fprintf(out, "\n%s  %s, %s, %d CPUs, load %.2f\n%s  %d at %g/s\n%s  %s\n", "host", d.Host.Name, d.Host.Kernel, d.Host.CPUs, d.Host.Load,
		"seed", d.Seed, d.RateHz, "kept", path)
	return err
}

// doubts names every measurement that was wrong, and counts those that were inconclusive by the guard that did not hold.
func doubts(trials []calibration.Trial) []string {
	var lines []string
	counts := map[string]int{}
	for _, t := range trials {
		switch t.Verdict {
		case calibration.Fail:
			lines = append(lines, fmt.Sprintf("wrong: %s, %s: %s", t.Kind, t.Series, t.Reason))
		case calibration.Inconclusive:
			guard, _, _ := strings.Cut(t.Reason, ":")
			counts[guard]++
		}
	}
	for _, guard := range slices.Sorted(maps.Keys(counts)) {
		lines = append(lines, fmt.Sprintf("inconclusive: %d by %s", counts[guard], guard))
	}
	return lines
}

func milli(s float64) string { return fmt.Sprintf("%.1f", 1e3*s) }
