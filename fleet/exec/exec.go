// Package exec is a fleet that the user's own commands list, break and mend: whatever ssh, a cloud's tool or a script can do.
// A command gets a document on its standard input and a few variables; what it must answer, docs/fleets.md says.
//
// At the far end nobody keeps a lease: while a fault is in effect, a file of gwdr's own says so and holds the undo record,
// and the drill's guard reverts it once nothing is heard of the drill.
package exec

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"gwdr/fleet"
	"gwdr/fleet/command"
	"gwdr/fleet/mark"
)

// Driver is the name of this driver in undo records and in gwdr.yaml.
const Driver = "exec"

// The bounds of Options.Timeout: what inspects must be done within what a drill waits for, and what reverts, too.
const (
	DefaultTimeout = 5 * time.Second
	LeastTimeout   = time.Second
	MostTimeout    = 10 * time.Second
)

// Options say what the fleet's commands are.
type Options struct {
	Name  string // of the fleet
	State string // absolute directory of the marks of faults; it need not exist
	Allow bool   // the instances may be broken
	Kinds []fleet.FaultKind

	// Commands are programs with their arguments: a path, relative to Dir, or a name that is looked for in PATH.
	List, Inject, Verify, Revert []string
	Renew                        []string // optional: what Verify says also renews, without it
	Leftovers                    []string // optional

	Dir     string        // absolute: where they run
	Timeout time.Duration // of each run; 0 is DefaultTimeout
	Environ []string      // KEY=VALUE of this process
	Pass    []string      // names of the variables that they get besides the usual ones; their values are kept nowhere
	Log     *slog.Logger
}

// Fleet is the instances that a command lists.
type Fleet struct {
	options  Options
	commands commands

	mu     sync.Mutex
	looked time.Time // when the last look at a fault ended
}

var _ fleet.Fleet = (*Fleet)(nil)

var (
	idPattern   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`) // never an option of a command line
	namePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// Check says what of the options cannot be used, whatever the machine is like. The error begins with the key in gwdr.yaml.
func (o Options) Check() error {
	for _, c := range []struct {
		key  string
		args []string
	}{{"list", o.List}, {"inject", o.Inject}, {"verify", o.Verify}, {"revert", o.Revert}} {
		if len(c.args) == 0 || c.args[0] == "" {
			return fmt.Errorf("%s is not set: it takes a command, as [./drill.sh, %s]", c.key, c.key)
		}
	}
	if len(o.Kinds) == 0 {
		return errors.New("kinds is not set: which faults can the commands inject? as [kill, pause]")
	}
	for _, kind := range o.Kinds {
		if _, known := fleet.KindOf(kind); !known {
			return fmt.Errorf("kinds: there is no fault %q", kind)
		}
	}
	if o.Timeout != 0 && (o.Timeout < LeastTimeout || o.Timeout > MostTimeout) {
		return fmt.Errorf("timeout: %s must be from %s to %s", o.Timeout, LeastTimeout, MostTimeout)
	}
	for _, name := range o.Pass {
		if !namePattern.MatchString(name) {
			return fmt.Errorf("env: %q is not the name of a variable; values are taken from the environment of gwdr", name)
		}
	}
	return nil
}

// Open finds the commands, and refuses those that others could replace. Nothing is run.
func Open(o Options) (*Fleet, error) {
	if err := o.Check(); err != nil {
		return nil, fmt.Errorf("open exec fleet: %w", err)
	}
	if !filepath.IsAbs(o.State) || !filepath.IsAbs(o.Dir) {
		return nil, errors.New("open exec fleet: its directories must be absolute")
	}
	if o.Timeout == 0 {
		o.Timeout = DefaultTimeout
	}
	f := &Fleet{options: o}
	f.commands = commands{Dir: o.Dir, Timeout: o.Timeout, Base: command.Environment(o.Environ), Pass: slices.Clone(o.Pass)}
	for _, c := range []struct {
		word string
		args []string
		to   *command.Command
	}{
		{"list", o.List, &f.commands.List}, {"inject", o.Inject, &f.commands.Inject}, {"verify", o.Verify, &f.commands.Verify},
		{"revert", o.Revert, &f.commands.Revert}, {"renew", o.Renew, &f.commands.Renew}, {"leftovers", o.Leftovers, &f.commands.Leftovers},
	} {
		found, err := f.commands.find(c.args)
		if err != nil {
			return nil, fmt.Errorf("open exec fleet: %s: %w", c.word, err)
		}
		*c.to = found
	}
	return f, nil
}

// Reopen returns the fleet that the undo record was made by, as it was then: what the configuration says by now has no say.
func Reopen(u fleet.Undo, environ []string, log *slog.Logger) (*Fleet, error) {
	data, err := decodeUndo(u)
	if err != nil {
		return nil, err
	}
	return &Fleet{commands: data.Commands,
		options: Options{Name: data.Fleet, State: data.State, Allow: true, Kinds: []fleet.FaultKind{u.Fault.Kind}, Dir: data.Commands.Dir,
			Timeout: data.Commands.Timeout, Environ: environ, Pass: data.Commands.Pass, Log: log}}, nil
}

// Instances asks the command list.
func (f *Fleet) Instances(ctx context.Context) ([]fleet.Instance, error) {
	return f.list(ctx, f.commands)
}

func (f *Fleet) list(ctx context.Context, c commands) ([]fleet.Instance, error) {
	said, err := f.run(ctx, c, c.List, request{Command: "list", Fleet: f.options.Name})
	if err != nil {
		return nil, err
	}
	instances, err := decodeInstances(said.stdout)
	if err != nil {
		return nil, fmt.Errorf("answer of list: %w", err)
	}
	return instances, nil
}

// Leftovers lists the faults that are marked here, and those that the command leftovers knows of.
func (f *Fleet) Leftovers(ctx context.Context) ([]string, error) {
	ids, err := mark.Dir{Path: f.options.State}.List()
	if err != nil {
		return nil, fmt.Errorf("look for faults: %w", err)
	}
	if len(f.commands.Leftovers.Args) > 0 {
		said, err := f.run(ctx, f.commands, f.commands.Leftovers, request{Command: "leftovers", Fleet: f.options.Name})
		if err != nil {
			return nil, err
		}
		more, err := decodeIDs(said.stdout)
		if err != nil {
			return nil, fmt.Errorf("answer of leftovers: %w", err)
		}
		ids = append(ids, more...)
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}
