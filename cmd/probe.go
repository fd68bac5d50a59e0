package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"gwdr/drills"
	"gwdr/internal/sshsig"
	"gwdr/internal/telemetry"
	"gwdr/internal/tui"
	"gwdr/probes"
	"gwdr/report"
)

// probeOptions are the flags of gwdr probe.
type probeOptions struct {
	For       time.Duration
	Rate      float64
	Timeout   time.Duration
	Baseline  time.Duration
	StableFor time.Duration
	Target    time.Duration
	SLO       float64
	Control   string
	Evidence  string
	Metrics   string
	expectOptions
	vantageOptions

	requests []probes.Request // of each series of the plan
}

func newProbeCommand(a *app) *cobra.Command {
	var opts probeOptions
	cmd := &cobra.Command{
		Use:   "probe URL...",
		Short: "Measure an outage that somebody else causes",
		Long: `Probe asks each URL again and again, on fresh and on kept-alive connections, whatever became of the attempts before, while somebody
else pulls the plug. It shows success, latency and the clock of a current outage, and ends on ctrl-c or after --for with every
outage, the bracket in which its true length lies, and evidence that 'gwdr report verify' computes again.

The URL says what is asked, and several may be of different kinds:

  http://HOST/PATH, https://...   GET; a good answer has the status --expect (200), and what --expect-header, --expect-body and
                                  --expect-sha256 say. Over HTTP/1.1, or HTTP/2 with --http2
  h2c://HOST/PATH                 the same over HTTP/2 without TLS
  grpc://HOST:PORT/SERVICE        the health check of gRPC says SERVING; no SERVICE is the server as a whole; grpcs:// is with TLS
  tcp://HOST:PORT                 a connection is made and, with --expect-body, the text is said; --send TEXT is sent first
  dns://SERVER/NAME?type=A        the server answers with records of the type and, with --expect-record, with these and no others

A flag goes to those of the URLs that have a use for it. What is expected is recorded with the evidence, so it must be no secret.

The first seconds (--baseline) must be undisturbed: they tell how slow an answer may be. With --target the longest outage is
judged, and with --slo the share of good answers. Press m in the live view, or send SIGUSR1, right before something is broken: then
the recovery time (RTA) is counted from there, and --target judges that one. Of several marks the first counts.

A control target that no fault touches tells a stalled prober from a broken target. Without --control it is a server inside of this
process; name one beyond the same network if the network may be to blame.

The value of a header that is a secret comes from a file or a variable, and is neither recorded nor shown:
'NAME: @FILE', 'NAME: env:VARIABLE', also with a word before it: 'Authorization: Bearer env:TOKEN'. What --send sends is not recorded
either, only how much.

With --vantage agents on other hosts ('gwdr probe agent') ask the same URLs: an outage that only some places see. Each series of
theirs is judged like those from here, and the worst of all counts.

Without --for an interrupt is the end that was asked for: the exit code is that of what was measured. With --for it cuts the
measurement short: the code is 130, or 3 if the objective is missed already.

` + metricsHelp,
		Example: `  gwdr probe http://127.0.0.1:8080/health
  gwdr probe https://api.example.com/v1/ping --for 10m --target 30s \
    --header 'Authorization: Bearer env:TOKEN'
  gwdr probe https://10.0.0.7/ --host api.example.com --expect 2xx \
    --expect-header 'X-Region: us-east' --expect-body '/"status": *"up"/'
  gwdr probe tcp://10.0.0.7:6379 --send 'PING\r\n' --expect-body +PONG
  gwdr probe dns://10.0.0.53/api.example.com --expect-record 203.0.113.7
  gwdr probe grpc://10.0.0.7:9090/orders https://api.example.com/ \
    'dns://10.0.0.53/api.example.com?type=AAAA' --for 1h
  gwdr probe http://127.0.0.1:8080/ --for 1h --slo 99.9 --json > result.json
  gwdr probe https://api.example.com/v1/ping --metrics :9464
  gwdr probe https://api.example.com/ping \
    --vantage eu=https://eu.example.com:7070 \
    --vantage us=https://us.example.com:7070`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return withHint(errors.New("'gwdr probe' takes one URL or several"), "gwdr probe https://HOST/PATH")
			}
			return nil
		},
		ValidArgsFunction: completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := refuseIdle(cmd.Flags(), "for", "target", "slo", "host", "control", "expect", "expect-body", "expect-sha256", "send"); err != nil {
				return err
			}
			return runProbe(cmd.Context(), a, args, opts)
		},
	}
	opts.addFlags(cmd)
	opts.vantageOptions.addFlags(cmd)
	cmd.AddCommand(newProbeAgentCommand(a))
	cmd.AddCommand(newProbeLedgerCommand(a))
	return cmd
}

func (o *probeOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.DurationVar(&o.For, "for", 0, "measure for this `time` (default: until interrupted)")
	f.Float64Var(&o.Rate, "rate", 20, "attempts a second of each series; each URL has two, but one of tcp and dns; at most 400 of new connections")
	f.DurationVar(&o.Timeout, "timeout", 2*time.Second, "give an attempt up this long after it was due")
	f.DurationVar(&o.Baseline, "baseline", 10*time.Second, "undisturbed `time` at the start")
	f.DurationVar(&o.StableFor, "stable-for", 10*time.Second, "an outage is over once 99% of this `time` after it is good")
	f.DurationVar(&o.Target, "target", 0, "judge: the longest outage, or the time since the mark, is at most this `RTO`")
	f.Float64Var(&o.SLO, "slo", 0, "judge: at least so many `percent` of the attempts are good, as 99.9")
	f.StringVar(&o.Control, "control", "", "`URL` that no fault touches and whose answer is good, of HTTP 200 (default: a server inside of gwdr)")
	f.StringVar(&o.Evidence, "evidence", "", "`directory` for the evidence (default: as configured, or ./evidence)")
	addMetricsFlag(cmd, &o.Metrics)
	for _, flag := range []string{"for", "rate", "timeout", "baseline", "stable-for", "target", "slo", "control"} {
		completeFlag(cmd, flag, cobra.NoFileCompletions)
	}
	o.expectOptions.addFlags(cmd)
	completeFlag(cmd, "evidence", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveFilterDirs
	})
}

// refuseIdle returns an error if one of the flags was given with the value that it has when it is not: nobody asks for that, but a
// variable of the shell that is not set does.
func refuseIdle(flags *pflag.FlagSet, names ...string) error {
	for _, name := range names {
		if f := flags.Lookup(name); f.Changed && f.Value.String() == f.DefValue {
			return usageError(fmt.Errorf("--%s %q does nothing: give a value, or leave it out", name, f.DefValue))
		}
	}
	return nil
}

func runProbe(ctx context.Context, a *app, urls []string, opts probeOptions) error {
	if err := opts.check(); err != nil {
		return usageError(err)
	}
	headers, err := a.probeHeaders(opts.Headers)
	if err != nil {
		return err
	}
	keys, err := a.openKeys(ctx) // whoever cannot sign the report should hear it before
	if err != nil {
		return err
	}
	if opts.Evidence != "" {
		a.Config.Evidence = opts.Evidence
		if err := a.Config.resolve(); err != nil {
			return err
		}
	}
	control, err := startControl(opts.Control)
	if err != nil {
		return err
	}
	defer control.close()
	w, err := opts.watch(urls, control.url, headers)
	if err != nil {
		return usageError(err)
	}
	if err := raisePriority(); err != nil {
		a.Log.Info("a busy machine may disturb the measurement", "err", err)
	}
	if err := a.addVantages(ctx, &opts, w); err != nil {
		return err
	}
	if opts.Metrics != "" {
		metrics := telemetry.NewProbe(version(), w.Plan)
		stop, err := a.serveMetrics(opts.Metrics, metrics)
		if err != nil {
			return err
		}
		defer stop()
		w.Observe = metrics.Observe
	}
	unused := make([]byte, opts.unused())
	defer runtime.KeepAlive(unused)
	return a.runWatch(ctx, w, keys.Signer)
}

// unused is how many bytes are asked for and never touched, so that they take no memory: the collector waits until the garbage is
// as much as the heap, and each time it stops all attempts for a moment. An attempt leaves some 8 KiB; it comes once a second, or
// less often, and not several times.
func (o *probeOptions) unused() int { return int(o.Rate) * 8 << 10 }

// runWatch measures, leaves the evidence with a signed report, and shows what came out.
func (a *app) runWatch(ctx context.Context, w *drills.Watch, signer *sshsig.Signer) error {
	w.Evidence, w.Tool = a.Config.Evidence, "gwdr "+version()
	w.Report = func(dir string, r *drills.WatchResult) error { return report.WriteWatch(dir, r, signer) }
	if short := shortFor(w.Plan); short != "" {
		a.progress("warning: %s", short)
	}
	result, err := a.watch(ctx, w)
	if err != nil {
		return evidenceFailed(err)
	}
	if err := a.showWatch(result); err != nil {
		return err
	}
	return watchEnd(result)
}

// watch runs it with its screen, and with the signal that marks the instant of a fault.
func (a *app) watch(ctx context.Context, w *drills.Watch) (*drills.WatchResult, error) {
	marks := make(chan time.Time, 16)
	mark := func() {
		select {
		case marks <- time.Now():
		default: // the first counts
		}
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	watched, cancel := context.WithCancel(ctx)
	defer func() { signal.Stop(signals); cancel() }()
	go func() {
		for {
			select {
			case <-signals:
				mark()
			case <-watched.Done():
				return
			}
		}
	}()
	a.live = a.interactive()
	show, closeScreen := a.watchScreen(ctx, w.Plan, mark)
	w.Marks, w.Events = marks, show
	result, err := w.Run(ctx)
	closeScreen()
	return result, err
}

// watchScreen returns what takes the events of a watch, and what ends the screen when there are no more.
func (a *app) watchScreen(ctx context.Context, plan drills.WatchPlan, mark func()) (show func(drills.WatchEvent), end func()) {
	if a.Quiet {
		return nil, func() {}
	}
	events, done := make(chan drills.WatchEvent, 256), make(chan struct{})
	go func() {
		defer close(done)
		run := func() error { return tui.PlainWatch(a.Stderr, events, plan) }
		if a.interactive() {
			run = func() error {
				return tui.RunWatch(context.WithoutCancel(ctx), a.Stdin, a.Stdout, events, plan, tui.Controls{Mark: mark, Stop: a.Interrupt})
			}
		}
		if err := run(); err != nil {
			a.Log.Warn("screen", "err", err)
		}
		for e := range events { // the measurement goes on without it
			if e.Warning != "" {
				a.progress("%s", printable(e.Warning))
			}
		}
	}()
	return func(e drills.WatchEvent) { events <- e }, func() { close(events); <-done }
}

// showWatch writes the result, and what to do next.
func (a *app) showWatch(r *drills.WatchResult) error {
	if a.JSON {
		return a.writeJSON(r)
	}
	if err := report.WatchText(a.Stdout, r); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.Stdout, "%-10s gwdr report verify %s\n", "next", shellWord(r.Evidence))
	return err
}

// evidenceFailed says that the evidence has a hole, and so is no result.
func evidenceFailed(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return withHint(err, "free some space, or name another directory with --evidence; what was written until then stays readable")
	}
	return err
}

// watchEnd maps what was measured to the exit code. Nothing has to be reverted after a watch that was cut short.
func watchEnd(r *drills.WatchResult) error {
	switch {
	case r.Verdict == drills.Fail:
		return exitWith(exitMissed, nil)
	case r.Interrupted:
		return exitWith(exitInterrupted, nil)
	case r.Verdict == drills.Inconclusive:
		return exitWith(exitInconclusive, nil)
	}
	return nil
}
