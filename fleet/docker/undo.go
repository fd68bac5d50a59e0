package docker

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"

	"gwdr/fleet"
	"gwdr/fleet/reach"
)

// undoData is Undo.Data of this driver: which containers of which engine, and how they were.
type undoData struct {
	Host    string   `json:"host"`   // the engine's socket
	Engine  string   `json:"engine"` // its id, in case another one listens there by now
	Label   string   `json:"label"`  // of the fleet
	Nonce   string   `json:"nonce"`  // of this preparation: ids of faults are used again
	Targets []target `json:"targets"`
}

// target is a container as it was before the fault.
type target struct {
	ID        string              `json:"id"` // whole
	Name      string              `json:"name"`
	StartedAt string              `json:"started_at"`
	Networks  map[string]endpoint `json:"networks"` // by the network's id
	Pinned    []string            `json:"pinned"`   // ids of the networks in which an address can be asked for
	Restart   restartPolicy       `json:"restart"`
	CPU       cpuLimit            `json:"cpu"`
	Slowed    cpuLimit            `json:"slowed,omitzero"`   // fault slow: the limit instead
	Patience  int                 `json:"patience,omitzero"` // fault stop: seconds until it is killed
	Answers   []string            `json:"answers"`           // host:port at which it answered HTTP
}

// first is the least of the container's addresses: in this order containers are started and connected again, because an
// engine gives each the least that is free.
func (t target) first() netip.Addr {
	var least netip.Addr
	for _, e := range t.Networks {
		if ip, err := netip.ParseAddr(e.IPAddress); err == nil && (!least.IsValid() || ip.Less(least)) {
			least = ip
		}
	}
	return least
}

func (d undoData) inOrder() []target {
	sorted := slices.Clone(d.Targets)
	slices.SortStableFunc(sorted, func(a, b target) int { return a.first().Compare(b.first()) })
	return sorted
}

var (
	idPattern = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// Prepare says how the fault would be undone and touches nothing; it asks each target over HTTP whether it answers.
func (f *Fleet) Prepare(ctx context.Context, fault fleet.Fault, targets []fleet.Instance) (fleet.Undo, error) {
	how, err := f.check(fault, targets)
	if err != nil {
		return fleet.Undo{}, fmt.Errorf("prepare %w", err)
	}
	listed, err := f.engine.list(ctx, f.options.Label)
	if err != nil {
		return fleet.Undo{}, fmt.Errorf("prepare fault %s: %w", fault.ID, err)
	}
	ids := map[string]string{}
	for _, c := range listed {
		ids[c.name()] = c.ID
	}
	u := fleet.Undo{Driver: Driver, Fault: fault}
	data := undoData{Host: f.options.Host, Engine: f.id, Label: f.options.Label, Nonce: rand.Text()}
	for _, in := range targets {
		id, ok := ids[in.ID]
		if !ok {
			return fleet.Undo{}, fmt.Errorf("prepare fault %s: no container %q has the label %s", fault.ID, in.ID, f.options.Label)
		}
		t, err := f.target(ctx, id, fault, how)
		if err != nil {
			return fleet.Undo{}, fmt.Errorf("prepare fault %s: %s: %w", fault.ID, in.ID, err)
		}
		u.Targets, data.Targets = append(u.Targets, in.ID), append(data.Targets, t)
	}
	if u.Data, err = json.Marshal(data); err != nil {
		return fleet.Undo{}, fmt.Errorf("prepare fault %s: %w", fault.ID, err)
	}
	return u, nil
}

// check reports why the fault cannot be injected, whatever the containers are like.
func (f *Fleet) check(fault fleet.Fault, targets []fleet.Instance) (injector, error) {
	how, ok := injectors()[fault.Kind]
	switch {
	case !ok:
		return how, fmt.Errorf("fault %s: %w (docker has %s)", fault.Kind, fleet.ErrUnsupported, supported())
	case !f.options.Allow:
		return how, fmt.Errorf("fault %s: %w", fault.ID, fleet.ErrNotAllowed)
	}
	kind, _ := fleet.KindOf(fault.Kind)
	return how, fault.Check(targets, kind.Roles)
}

// target describes a container, and refuses one in which this kind of fault could not be undone.
func (f *Fleet) target(ctx context.Context, id string, fault fleet.Fault, how injector) (target, error) {
	c, err := f.engine.inspect(ctx, id)
	if err != nil {
		return target{}, err
	}
	switch {
	case slices.Contains(f.own, c.ID):
		return target{}, errors.New("gwdr itself runs in this container")
	case c.State.Status != "running":
		return target{}, fmt.Errorf("it is not running but %s", c.State.Status)
	case c.Config.Labels["com.docker.swarm.task.id"] != "":
		return target{}, fmt.Errorf("it is a task of a swarm, which would put another in its place: %w", fleet.ErrUnsupported)
	}
	t := target{ID: c.ID, Name: c.Name, StartedAt: c.State.StartedAt, Networks: map[string]endpoint{},
		Restart: c.HostConfig.RestartPolicy.normal(), CPU: c.HostConfig.cpuLimit}
	t.Name = (listed{Names: []string{c.Name}}).name()
	for _, e := range c.NetworkSettings.Networks {
		n, err := f.engine.network(ctx, e.NetworkID)
		if err != nil {
			return target{}, err
		}
		e.Network = n.Name
		t.Networks[n.ID] = e
		if n.chosen(f.pools) {
			t.Pinned = append(t.Pinned, n.ID)
		}
	}
	slices.Sort(t.Pinned)
	if err := how.prepare(f, fault, c, &t); err != nil {
		return target{}, err
	}
	t.Answers = reach.Answering(ctx, c.doors())
	return t, ctx.Err()
}

// unchanged refuses a container that is not as it was when the fault was prepared: its undo record would not restore it.
func (f *Fleet) unchanged(ctx context.Context, t target) error {
	c, err := f.engine.inspect(ctx, t.ID)
	if err != nil {
		return fmt.Errorf("%s: %w", t.Name, err)
	}
	switch {
	case c.State.Status != "running":
		return fmt.Errorf("%s is not running but %s", t.Name, c.State.Status)
	case c.HostConfig.RestartPolicy.normal() != t.Restart:
		return fmt.Errorf("%s has another restart policy than when the fault was prepared", t.Name)
	case c.HostConfig.cpus() != t.CPU.cpus():
		return fmt.Errorf("%s has another CPU limit than when the fault was prepared", t.Name)
	}
	if err := sameNetworks(c, t); err != nil {
		return fmt.Errorf("%s is not as when the fault was prepared: %w", t.Name, err)
	}
	return nil
}

// read decodes the undo record of a fault, and refuses one of another engine: there, no container would be found.
func (f *Fleet) read(u fleet.Undo) (undoData, error) {
	data, err := decodeUndo(u)
	if err == nil && data.Engine != f.id {
		err = fmt.Errorf("undo of fault %s is for the engine %s; at %s is %s", u.Fault.ID, data.Engine, f.options.Host, f.id)
	}
	return data, err
}

// decodeUndo reads what Prepare wrote, possibly in another version, and refuses what nobody prepared.
func decodeUndo(u fleet.Undo) (undoData, error) {
	if u.Driver != Driver {
		return undoData{}, fmt.Errorf("undo of fault %s is for driver %q, not %s", u.Fault.ID, u.Driver, Driver)
	}
	if _, ok := injectors()[u.Fault.Kind]; !ok || !fleet.IsFaultID(u.Fault.ID) {
		return undoData{}, fmt.Errorf("undo of fault %q: %s: %w", u.Fault.ID, u.Fault.Kind, fleet.ErrUnsupported)
	}
	var data undoData
	if err := json.Unmarshal(u.Data, &data); err != nil {
		return undoData{}, fmt.Errorf("read undo of fault %s: %w", u.Fault.ID, err)
	}
	broken := func(t target) bool { return !idPattern.MatchString(t.ID) || t.Name == "" }
	if data.Host == "" || data.Engine == "" || data.Label == "" || data.Nonce == "" || len(data.Targets) == 0 || slices.ContainsFunc(data.Targets, broken) {
		return undoData{}, fmt.Errorf("read undo of fault %s: it names no engine or no containers", u.Fault.ID)
	}
	return data, nil
}
