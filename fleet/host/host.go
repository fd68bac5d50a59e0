// Package host is a fleet of processes of this machine that gwdr has not started: somebody opted them in, by a file with their pid or
// by a unit of systemd.
package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"sync"

	"gwdr/fleet"
	"gwdr/fleet/command"
)

// Driver is the name of this driver in undo records and in gwdr.yaml.
const Driver = "host"

// Process is one that was opted in: with PIDFile or Unit.
type Process struct {
	Region string
	Role   fleet.Role // none is data
	URL    string     // optional: where gwdr sees whether it answers

	PIDFile string   // absolute; its first line is the pid
	Exe     string   // optional, of PIDFile: the program that it must run
	Start   []string // of PIDFile: the command that starts it again

	Unit string // of systemd
}

// Options say which processes are meant.
type Options struct {
	Processes map[string]Process
	Allow     bool     // they may be broken
	State     string   // directory of the marks, absolute
	Dir       string   // where Start is run, and relative programs of it are, absolute
	Environ   []string // KEY=VALUE, of this process
	Log       *slog.Logger
}

// Fleet is processes that somebody opted in.
type Fleet struct {
	options  Options
	services map[string]service
	launches sync.Map // proc.ID of a start -> chan error: how it ended
}

var _ fleet.Fleet = (*Fleet)(nil)

var (
	idPattern   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
	unitPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9:_.@-]{0,200}\.service$`)
)

// Check says what of the options cannot be used, whatever the machine is like. The error begins with the key in gwdr.yaml.
func (o Options) Check() error {
	owners := map[string]string{} // ids, by what they are found by
	for _, id := range slices.Sorted(maps.Keys(o.Processes)) {
		p := o.Processes[id]
		if err := p.check(); err != nil {
			return fmt.Errorf("processes: %s: %w", id, err)
		}
		if !idPattern.MatchString(id) {
			return fmt.Errorf("processes: %q cannot be the name of one", id)
		}
		by := p.foundBy()
		if other, twice := owners[by]; twice {
			return fmt.Errorf("processes: %s: it is found by %s, as %s is", id, by, other)
		}
		owners[by] = id
	}
	return nil
}

func (p Process) foundBy() string {
	if p.Unit != "" {
		return "unit " + p.Unit
	}
	return "pid_file " + filepath.Clean(p.PIDFile)
}

func (p Process) check() error {
	roles := []fleet.Role{"", fleet.Control, fleet.Data, fleet.Edge, fleet.Upstream, fleet.Location}
	at, err := url.Parse(p.URL)
	switch {
	case (p.PIDFile == "") == (p.Unit == ""):
		return errors.New("it needs either pid_file or unit")
	case p.Unit != "" && (len(p.Start) > 0 || p.Exe != ""):
		return errors.New("start and exe are of a pid_file; systemd knows how to start a unit")
	case p.Unit != "" && !unitPattern.MatchString(p.Unit):
		return fmt.Errorf("unit %q is not of the form NAME.service", p.Unit)
	case p.PIDFile != "" && !filepath.IsAbs(p.PIDFile), p.Exe != "" && !filepath.IsAbs(p.Exe):
		return errors.New("pid_file and exe must be absolute paths")
	case !slices.Contains(roles, p.Role):
		return fmt.Errorf("role %q is none of %v", p.Role, roles[1:])
	case p.URL != "" && (err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "" || at.User != nil):
		return errors.New("url is not of the form http://HOST:PORT/PATH")
	}
	return nil
}

// Open finds the commands, and refuses those that others could replace. Nothing is run but systemctl, if there are units.
func Open(o Options) (*Fleet, error) {
	f, err := open(o)
	if err != nil {
		return nil, fmt.Errorf("open host fleet: %w", err)
	}
	return f, nil
}

func open(o Options) (*Fleet, error) {
	switch err := errors.Join(supported(), o.Check()); {
	case err != nil:
		return nil, err
	case len(o.Processes) == 0:
		return nil, errors.New("it has no processes")
	case !filepath.IsAbs(o.State) || !filepath.IsAbs(o.Dir):
		return nil, errors.New("its directories must be absolute")
	}
	f := &Fleet{options: o, services: map[string]service{}}
	for id, p := range o.Processes {
		s, err := o.find(p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		f.services[id] = s
	}
	return f, nil
}

func (o Options) find(p Process) (service, error) {
	s := service{PIDFile: p.PIDFile, Exe: p.Exe, Unit: p.Unit, Dir: o.Dir, Env: command.Environment(o.Environ)}
	var err error
	if p.Unit != "" {
		s.Systemctl, err = command.Find(o.Dir, command.Path(s.Env), []string{"systemctl"})
		return s, err
	}
	if s.Start, err = command.Find(o.Dir, command.Path(s.Env), p.Start); err != nil {
		return s, fmt.Errorf("start: %w", err)
	}
	return s, nil
}

// Instances lists the processes, by id. It is an error if gwdr may not touch one that runs.
func (f *Fleet) Instances(ctx context.Context) ([]fleet.Instance, error) {
	var all []fleet.Instance
	for _, id := range slices.Sorted(maps.Keys(f.options.Processes)) {
		p := f.options.Processes[id]
		now, err := f.services[id].main(ctx)
		if err != nil && !errors.Is(err, errNotRunning) {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		all = append(all, fleet.Instance{ID: id, Region: p.Region, Role: cmp.Or(p.Role, fleet.Data), Running: err == nil, PID: now.PID, URL: p.URL})
	}
	return all, nil
}

// Leftovers lists the faults that are marked.
func (f *Fleet) Leftovers(context.Context) ([]string, error) {
	ids, err := f.marks().List()
	if err != nil {
		return nil, fmt.Errorf("look for faults: %w", err)
	}
	return ids, nil
}
