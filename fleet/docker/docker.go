// Package docker is a fleet of containers of a Docker engine. It speaks the Engine API over the engine's socket. Only
// containers that carry the fleet's label belong to it, and they are only broken where the configuration allows it.
//
// The engine keeps no leases: while a fault is in effect, an empty volume on the engine says so and holds the undo record,
// and the drill's guard reverts it once nothing is heard of the drill.
package docker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"gwdr/fleet"
)

// Driver is the name of this driver in undo records and in gwdr.yaml.
const Driver = "docker"

// DefaultHost is where an engine listens unless it is told otherwise.
const DefaultHost = "unix:///var/run/docker.sock"

// The labels by which a container says what it is.
const (
	RegionLabel = "gwdr.region" // the name of its region; none is no region
	RoleLabel   = "gwdr.role"   // as of fleet.Role; none is data
	URLLabel    = "gwdr.url"    // where its data plane is reached from where gwdr runs
)

// Fleet is the containers of an engine that carry a label.
type Fleet struct {
	options Options
	engine  *engine
	id      string   // of the engine
	cpus    int      // of the engine
	pools   []prefix // from which the engine takes subnets
	own     []string // ids of the containers that this process may run in

	mu    sync.Mutex
	loops map[string]*loop // of faults that this process injected, by their nonce
}

var _ fleet.Fleet = (*Fleet)(nil)

// Options say which containers are meant.
type Options struct {
	Host  string // unix:///path of the engine's socket
	Label string // KEY=VALUE or KEY
	Allow bool   // the containers may be broken
	Log   *slog.Logger
}

// Open connects to the engine. Nothing is touched.
func Open(ctx context.Context, o Options) (*Fleet, error) {
	if strings.Trim(o.Label, "= ") == "" || strings.HasPrefix(o.Label, "=") {
		return nil, errors.New("open docker fleet: it needs a label: an empty one would match every container")
	}
	e, err := dial(ctx, o.Host)
	if err != nil {
		return nil, fmt.Errorf("open docker fleet: %w", err)
	}
	f := &Fleet{options: o, engine: e, own: ownContainers(), loops: map[string]*loop{}}
	info, err := e.info(ctx)
	if err != nil {
		return nil, fmt.Errorf("open docker fleet: %w", err)
	}
	f.id, f.cpus, f.pools = info.ID+" in "+info.Root, info.CPUs, info.Pools
	return f, nil
}

// Reopen connects to the engine that the undo record was made by.
func Reopen(ctx context.Context, u fleet.Undo, log *slog.Logger) (*Fleet, error) {
	data, err := decodeUndo(u)
	if err != nil {
		return nil, err
	}
	return Open(ctx, Options{Host: data.Host, Label: data.Label, Allow: true, Log: log})
}

// Instances lists the fleet's containers by name. A paused one does not run.
func (f *Fleet) Instances(ctx context.Context) ([]fleet.Instance, error) {
	listed, err := f.engine.list(ctx, f.options.Label)
	if err != nil {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	instances := make([]fleet.Instance, 0, len(listed))
	for _, c := range listed {
		in := fleet.Instance{ID: c.name(), Region: c.Labels[RegionLabel], Role: fleet.Data, Running: c.State == "running", URL: c.Labels[URLLabel]}
		if role := fleet.Role(c.Labels[RoleLabel]); role != "" {
			in.Role = role
		}
		if !slices.Contains([]fleet.Role{fleet.Control, fleet.Data, fleet.Edge, fleet.Upstream, fleet.Location}, in.Role) {
			return nil, fmt.Errorf("list containers: label %s of %s: there is no role %q", RoleLabel, in.ID, in.Role)
		}
		instances = append(instances, in)
	}
	slices.SortFunc(instances, func(a, b fleet.Instance) int { return strings.Compare(a.ID, b.ID) })
	return instances, nil
}

// Inject breaks what u was prepared for. A mark on the engine comes first: it says what is in effect, and by whom.
func (f *Fleet) Inject(ctx context.Context, u fleet.Undo) error {
	data, err := f.read(u)
	if err != nil {
		return err
	}
	if !f.options.Allow {
		return fmt.Errorf("inject fault %s: %w", u.Fault.ID, fleet.ErrNotAllowed)
	}
	for _, t := range data.Targets {
		if err := f.unchanged(ctx, t); err != nil {
			return fmt.Errorf("inject fault %s: %w", u.Fault.ID, err)
		}
	}
	if err := f.mark(ctx, u); err != nil {
		return fmt.Errorf("inject fault %s: %w", u.Fault.ID, err)
	}
	how := injectors()[u.Fault.Kind]
	for _, stage := range how.inject {
		together, ctx := errgroup.WithContext(ctx)
		for _, t := range data.Targets {
			together.Go(func() error { return stage(f, ctx, t) })
		}
		if err := together.Wait(); err != nil {
			return fmt.Errorf("inject fault %s: %w", u.Fault.ID, err)
		}
	}
	if u.Fault.Kind == fleet.RestartLoop {
		f.startLoop(ctx, u.Fault, data)
	}
	return nil
}

// Verify asks the engine what it sees, and the container itself from outside.
func (f *Fleet) Verify(ctx context.Context, u fleet.Undo) (string, error) {
	data, err := f.read(u)
	if err != nil {
		return "", err
	}
	seen := make([]string, len(data.Targets))
	together, ctx := errgroup.WithContext(ctx)
	for i, t := range data.Targets {
		together.Go(func() error {
			what, err := f.look(ctx, u.Fault.Kind, t)
			if err != nil {
				return fmt.Errorf("verify fault %s: %s: %w", u.Fault.ID, t.Name, err)
			}
			seen[i] = t.Name + ": " + what
			return nil
		})
	}
	if err := together.Wait(); err != nil {
		return "", err
	}
	return strings.Join(seen, "; "), nil
}

func (f *Fleet) look(ctx context.Context, kind fleet.FaultKind, t target) (string, error) {
	c, err := f.engine.inspect(ctx, t.ID)
	if err != nil {
		return "", err
	}
	how := injectors()[kind]
	if err := how.broken(c, t); err != nil {
		return "", err
	}
	return how.look(f, ctx, t)
}

// Renew shows that the fault is still in effect: its mark is there, and the engine says so of every target. Who ends it
// when nobody renews is the guard.
func (f *Fleet) Renew(ctx context.Context, u fleet.Undo) error {
	data, err := f.read(u)
	if err != nil {
		return err
	}
	if err := f.marked(ctx, u.Fault.ID, data.Nonce); err != nil {
		return fmt.Errorf("renew fault %s: %w", u.Fault.ID, err)
	}
	for _, t := range data.Targets {
		c, err := f.engine.inspect(ctx, t.ID)
		if err == nil {
			err = injectors()[u.Fault.Kind].broken(c, t)
		}
		if err != nil {
			return fmt.Errorf("renew fault %s: %s: %w", u.Fault.ID, t.Name, err)
		}
	}
	return nil
}

// Revert makes every target as it was before the fault, and shows it. A container that was removed meanwhile has nothing to
// be reverted, and is only named in the log.
func (f *Fleet) Revert(ctx context.Context, u fleet.Undo) error {
	data, err := f.read(u)
	if err != nil {
		return err
	}
	if err := f.stopLoop(ctx, u.Fault, data); err != nil {
		return err
	}
	var failed []error
	for _, t := range data.inOrder() {
		err := f.revertOne(ctx, u, data, t)
		if errors.Is(err, errGone) {
			f.options.Log.Warn("container was removed, nothing of it is to be reverted", "container", t.Name, "fault", u.Fault.ID)
			continue
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("revert fault %s: %s: %w", u.Fault.ID, t.Name, err))
		}
	}
	if len(failed) > 0 {
		return errors.Join(failed...)
	}
	return f.unmark(ctx, u.Fault.ID, data.Nonce)
}

// errGone says that the container was removed.
var errGone = errors.New("container was removed")

// revertOne ends the fault for one target, and looks at it again. Whatever the fault, the target runs afterwards: an engine
// that was restarted may have ended it.
func (f *Fleet) revertOne(ctx context.Context, u fleet.Undo, data undoData, t target) error {
	c, err := f.engine.inspect(ctx, t.ID)
	if errors.Is(err, errNotFound) {
		return errGone // whatever else is not there later, such as a network, is an error
	} else if err != nil {
		return err
	}
	if err := f.finishStop(ctx, u, data, t, c); err != nil {
		return err
	}
	how := injectors()[u.Fault.Kind]
	if err := f.run(ctx, data, t); err != nil {
		return err
	}
	failed := how.revert(f, ctx, t) // what counts is how it is now: the guard may revert at the same time
	c, err = f.engine.inspect(ctx, t.ID)
	switch {
	case err != nil:
		return errors.Join(failed, err)
	case !c.State.Running || c.State.Restarting:
		return errors.Join(failed, fmt.Errorf("it does not run (%s)", c.State.Status))
	}
	if err := how.whole(c, t); err != nil {
		return errors.Join(failed, err)
	}
	f.awaitAnswers(ctx, t)
	return nil
}

// Leftovers lists the faults that are marked on the engine, by id.
func (f *Fleet) Leftovers(ctx context.Context) ([]string, error) {
	marks, err := f.marks(ctx)
	if err != nil {
		return nil, fmt.Errorf("look for faults: %w", err)
	}
	var ids []string
	for _, m := range marks {
		if m.Labels[markFleet] == f.options.Label {
			ids = append(ids, m.Labels[markFault])
		}
	}
	slices.Sort(ids)
	return ids, nil
}
