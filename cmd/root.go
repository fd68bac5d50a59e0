// Package cmd is gwdr's command line: flags, environment, configuration, wiring and exit codes. It is the only package
// that knows cobra, viper and the drivers.
package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"gwdr/backup"
)

// app is what every command gets: its streams, its environment, its configuration.
type app struct {
	Stdin  io.Reader
	Stdout io.Writer // results
	Stderr io.Writer // logs and progress
	Env    func(string) string
	Log    *slog.Logger
	Config *Config

	JSON  bool // one document on Stdout
	Plain bool // no colours, no live view
	Quiet bool // nothing but errors on Stderr

	Executable string // this program, for the processes that it starts
	// Interrupt does what a first interrupt does, for a live view whose terminal sends keys instead of signals: the
	// command is cancelled, and the next signal ends the process at once.
	Interrupt func()

	keys *backup.Keys // that openKeys read
	live bool         // a live view has the terminal: nobody can be asked

	environ    []string
	configFile string
	logLevel   string
	started    bool // the command itself runs: an error is no longer one of usage
}

// invocation is what a command line gets from the operating system.
type invocation struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            func(string) string
	executable     string
	environ        []string // KEY=VALUE, as far as env knows them: to find those that mean nothing
}

// Main runs gwdr with the given arguments (without the program's name) and returns the exit code.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer, env func(string) string) int {
	executable, err := os.Executable()
	if err != nil {
		fmt.Fprintf(stderr, "gwdr: find this program: %v\n", err)
		return exitError
	}
	return run(args, invocation{stdin, stdout, stderr, env, executable, os.Environ()})
}

func run(args []string, p invocation) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	a := &app{Stdin: p.stdin, Stdout: p.stdout, Stderr: p.stderr, Env: p.env, Executable: p.executable,
		Log: slog.New(slog.DiscardHandler), Interrupt: stop,
		environ: p.environ}
	root := newRootCommand(a)
	root.SetArgs(args)
	if len(args) > 0 && strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) {
		plainUsages(root)
	}
	err := root.ExecuteContext(ctx)
	if err != nil && !a.started {
		err = usageError(err)
	}
	return a.fail(ctx, err)
}

func newRootCommand(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "gwdr",
		Short: "Prove that your API gateway comes back",
		Long: `gwdr proves that your API gateway comes back: it backs the gateway up to 3-2-1 locations, breaks it on purpose,
times the recovery from the clients' side, counts what was lost, and writes evidence that an auditor can recompute.

Without any gwdr.yaml everything runs on the lab, a fleet of real gateways on this machine.`,
		Example: `  gwdr drill run region-loss     # on the lab: breaks a region, and measures
  gwdr init && gwdr backup       # for your own gateway`,
		Version:           version(),
		SilenceUsage:      true,
		SilenceErrors:     true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.start(cmd) },
	}
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	flags := root.PersistentFlags()
	flags.StringVar(&a.configFile, "config", "", "configuration `file` (default gwdr.yaml here, then in the user's and the system's configuration folder)")
	flags.BoolVar(&a.JSON, "json", false, "write the result as one JSON document to stdout")
	flags.BoolVar(&a.Plain, "plain", false, "plain lines: no colours, no live view")
	flags.BoolVarP(&a.Quiet, "quiet", "q", false, "say nothing but errors; what was asked for comes all the same: a list, a plan, a document")
	flags.StringVar(&a.logLevel, "log-level", "", "`level` of the log on stderr: debug, info, warn or error (default warn)")
	root.AddCommand(commands(a)...)
	strict(root)
	fit(root)
	root.SetFlagErrorFunc(flagError)
	return root
}

// start reads the configuration before the command runs.
func (a *app) start(cmd *cobra.Command) error {
	level, err := a.level()
	if err != nil {
		return err
	}
	a.Log = slog.New(slog.NewTextHandler(a.Stderr, &slog.HandlerOptions{Level: level}))
	if !cmd.Hidden {
		if a.Config, err = loadConfig(a.configFile, a.Env); err != nil {
			return err
		}
		a.warnConfig()
		a.warnOrphans() // whatever the command is for: somebody should know
	}
	a.started = true
	return nil
}

func (a *app) level() (slog.Level, error) {
	text := a.logLevel
	if text == "" {
		text = a.Env("GWDR_LOG_LEVEL")
	}
	if text == "" {
		return slog.LevelWarn, nil
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(text)); err != nil {
		return 0, fmt.Errorf("log level %q is none of debug, info, warn, error", text)
	}
	return level, nil
}

// writeJSON writes v as the command's one document.
func (a *app) writeJSON(v any) error {
	enc := json.NewEncoder(a.Stdout)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// progress writes one line for people to stderr, unless they asked for quiet.
func (a *app) progress(format string, args ...any) {
	if !a.Quiet {
		fmt.Fprintf(a.Stderr, format+"\n", args...)
	}
}

// interactive reports whether a person watches: stdout and stderr are terminals and nobody asked for plain output.
func (a *app) interactive() bool {
	return !a.JSON && !a.Plain && !a.Quiet && isTerminal(a.Stdout) && isTerminal(a.Stderr) && a.Env("TERM") != "dumb"
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// release is the version of a build without a repository, which says nothing of itself. Only the linker sets it:
// -ldflags '-X gwdr/cmd.release=v1.2.3'.
var release string

// version is what this binary calls itself, from the build information.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && (v == "" || v == "(devel)") {
			v = "devel-" + s.Value[:min(12, len(s.Value))]
		}
	}
	return strings.TrimSpace(v)
}
