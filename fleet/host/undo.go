package host

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"gwdr/fleet"
	"gwdr/fleet/mark"
	"gwdr/fleet/proc"
	"gwdr/fleet/reach"
)

// undoData is Undo.Data of this driver: which processes, how they were, and how they are started again.
type undoData struct {
	State   string   `json:"state"` // directory of the marks
	Nonce   string   `json:"nonce"` // of this preparation: ids of faults are used again
	Targets []target `json:"targets"`
}

// target is a process as it was before the fault.
type target struct {
	Name    string  `json:"name"`
	Main    proc.ID `json:"main"`
	Service service `json:"service"`
	Answers string  `json:"answers,omitempty"` // the URL at which it answered
}

func (d undoData) marks() mark.Dir { return mark.Dir{Path: d.State, Nonce: nonceOf} }

func (f *Fleet) marks() mark.Dir { return mark.Dir{Path: f.options.State, Nonce: nonceOf} }

// nonceOf is that of the preparation, or "" where nobody prepared anything.
func nonceOf(u fleet.Undo) string {
	data, err := decodeUndo(u)
	if err != nil {
		return ""
	}
	return data.Nonce
}

// Prepare says how the fault would be undone and touches nothing; it asks each target over HTTP whether it answers.
func (f *Fleet) Prepare(ctx context.Context, fault fleet.Fault, targets []fleet.Instance) (fleet.Undo, error) {
	if err := f.check(fault, targets); err != nil {
		return fleet.Undo{}, fmt.Errorf("prepare %w", err)
	}
	u := fleet.Undo{Driver: Driver, Fault: fault}
	data := undoData{State: f.options.State, Nonce: rand.Text()}
	for _, in := range targets {
		t, err := f.target(ctx, fault, in.ID)
		if err != nil {
			return fleet.Undo{}, fmt.Errorf("prepare fault %s: %s: %w", fault.ID, in.ID, err)
		}
		u.Targets, data.Targets = append(u.Targets, in.ID), append(data.Targets, t)
	}
	var err error
	if u.Data, err = json.Marshal(data); err != nil {
		return fleet.Undo{}, fmt.Errorf("prepare fault %s: %w", fault.ID, err)
	}
	return u, ctx.Err()
}

// target describes a process, and refuses one that could not be made as it is.
func (f *Fleet) target(ctx context.Context, fault fleet.Fault, id string) (target, error) {
	t := target{Name: id, Service: f.services[id]}
	var err error
	if t.Main, err = t.Service.main(ctx); err != nil {
		return t, err
	}
	if fault.Kind != fleet.Pause {
		if err := t.Service.startable(); err != nil {
			return t, fmt.Errorf("%w: %w", fleet.ErrUnsupported, err)
		}
	}
	all := tree(t.Main)
	for _, id := range all {
		if id.Stopped() {
			return t, fmt.Errorf("process %d is stopped already, and not by gwdr", id.PID)
		}
	}
	if err := f.apart(ctx, id, all); err != nil {
		return t, err
	}
	if url := f.options.Processes[id].URL; url != "" && len(reach.Answering(ctx, []string{url})) > 0 {
		t.Answers = url
	}
	return t, nil
}

// apart refuses a target that others of the fleet are part of: they would be broken with it, whatever the limits of the drill say.
func (f *Fleet) apart(ctx context.Context, id string, tree []proc.ID) error {
	for other, s := range f.services {
		if other == id {
			continue
		}
		now, err := s.main(ctx)
		if err == nil && slices.Contains(tree, now) {
			return fmt.Errorf("process %d, which is %s, is one of its processes", now.PID, other)
		} else if err != nil && !errors.Is(err, errNotRunning) {
			return fmt.Errorf("%s: %w", other, err)
		}
	}
	return nil
}

// check reports why the fault cannot be injected, whatever the processes are like.
func (f *Fleet) check(fault fleet.Fault, targets []fleet.Instance) error {
	_, ok := injectors()[fault.Kind]
	switch {
	case fault.Kind == fleet.Slow:
		return fmt.Errorf("fault %s: %w: what slows a process down by stopping it now and again might be killed while it is stopped",
			fault.Kind, fleet.ErrUnsupported)
	case !ok:
		return fmt.Errorf("fault %s: %w (host has %s)", fault.Kind, fleet.ErrUnsupported, kindWords())
	case !f.options.Allow:
		return fmt.Errorf("fault %s: %w", fault.ID, fleet.ErrNotAllowed)
	}
	for _, t := range targets {
		if _, ok := f.services[t.ID]; !ok {
			return fmt.Errorf("fault %s: no process %q is in the fleet", fault.ID, t.ID)
		}
	}
	kind, _ := fleet.KindOf(fault.Kind)
	return fault.Check(targets, kind.Roles)
}

// decodeUndo reads what Prepare wrote, possibly in another version, and refuses what nobody prepared.
func decodeUndo(u fleet.Undo) (undoData, error) {
	if u.Driver != Driver {
		return undoData{}, fmt.Errorf("undo of fault %s is for driver %q, not %s", u.Fault.ID, u.Driver, Driver)
	}
	var data undoData
	if err := json.Unmarshal(u.Data, &data); err != nil {
		return undoData{}, fmt.Errorf("read undo of fault %s: %w", u.Fault.ID, err)
	}
	strange := func(t target) bool {
		return !idPattern.MatchString(t.Name) || t.Main.PID <= 1 || (t.Service.Unit == "") == (t.Service.PIDFile == "") ||
			t.Service.Unit != "" && (!unitPattern.MatchString(t.Service.Unit) || len(t.Service.Systemctl.Args) != 1)
	}
	if !fleet.IsFaultID(u.Fault.ID) || data.Nonce == "" || !filepath.IsAbs(data.State) || len(data.Targets) == 0 ||
		slices.ContainsFunc(data.Targets, strange) {
		return undoData{}, fmt.Errorf("read undo of fault %q: %w", u.Fault.ID, errors.New("it names no processes"))
	}
	return data, nil
}
