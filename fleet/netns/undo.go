package netns

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"

	"gwdr/fleet"
)

// undoData is Undo.Data of this driver.
type undoData struct {
	State      string               `json:"state"` // where the holders' files are
	Nonce      string               `json:"nonce"` // of this preparation: ids of faults are used again
	Namespaces map[string]Namespace `json:"namespaces"`
	Targets    []target             `json:"targets"`
}

// target is a namespace, and between whom connections worked before the fault.
type target struct {
	Name  string   `json:"name"`
	Inode uint64   `json:"inode"`
	Rules []string `json:"rules"` // commands of nft, for chains of a table of ours
	Looks []look   `json:"looks"`
}

// look is a connection that the fault disturbs.
type look struct {
	From string         `json:"from"` // a namespace; none is where gwdr is
	To   netip.AddrPort `json:"to"`
}

const prefix = "gwdr-" // of our tables' names

var (
	noncePattern = regexp.MustCompile(`^n[A-Z0-9]{20,40}$`)
	namePattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)
)

// file is the holder's: its time is when the lease was renewed.
func (d undoData) file(t target) string {
	return filepath.Join(d.State, "netns", d.Nonce+"-"+t.Name+".json")
}

// Prepare says how the fault would be undone and touches nothing; it tries which connections work that the fault disturbs.
func (f *Fleet) Prepare(ctx context.Context, fault fleet.Fault, targets []fleet.Instance) (fleet.Undo, error) {
	if err := f.check(fault, targets); err != nil {
		return fleet.Undo{}, fmt.Errorf("prepare %w", err)
	}
	all, err := f.Instances(ctx)
	if err != nil {
		return fleet.Undo{}, err
	}
	u := fleet.Undo{Driver: Driver, Fault: fault}
	data := undoData{State: f.options.State, Nonce: "n" + rand.Text(), Namespaces: f.options.Namespaces}
	for _, in := range targets {
		t, err := f.target(ctx, fault, in, targets, all)
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

// check reports why the fault cannot be injected, whatever the namespaces are like.
func (f *Fleet) check(fault fleet.Fault, targets []fleet.Instance) error {
	switch {
	case fault.Kind == fleet.Latency || fault.Kind == fleet.Bandwidth:
		return fmt.Errorf("fault %s: %w: a queueing discipline has no owner, it would stay if gwdr were killed", fault.Kind, fleet.ErrUnsupported)
	case !slices.Contains(supported(), fault.Kind):
		return fmt.Errorf("fault %s: %w (netns has %v)", fault.Kind, fleet.ErrUnsupported, supported())
	case !f.options.Allow:
		return fmt.Errorf("fault %s: %w", fault.ID, fleet.ErrNotAllowed)
	}
	for _, t := range targets {
		if _, ok := f.options.Namespaces[t.ID]; !ok {
			return fmt.Errorf("fault %s: no namespace %q is in the fleet", fault.ID, t.ID)
		}
	}
	kind, _ := fleet.KindOf(fault.Kind)
	return fault.Check(targets, kind.Roles)
}

// read decodes what Prepare wrote, possibly in another version, and refuses what nobody prepared.
func read(u fleet.Undo) (undoData, error) {
	if u.Driver != Driver {
		return undoData{}, fmt.Errorf("undo of fault %s is for driver %q, not %s", u.Fault.ID, u.Driver, Driver)
	}
	var data undoData
	if err := json.Unmarshal(u.Data, &data); err != nil {
		return undoData{}, fmt.Errorf("read undo of fault %s: %w", u.Fault.ID, err)
	}
	bad := func(t target) bool { return !namePattern.MatchString(t.Name) }
	if !fleet.IsFaultID(u.Fault.ID) || !noncePattern.MatchString(data.Nonce) || !filepath.IsAbs(data.State) ||
		len(data.Targets) == 0 || slices.ContainsFunc(data.Targets, bad) {
		return undoData{}, fmt.Errorf("read undo of fault %q: it names no namespaces", u.Fault.ID)
	}
	return data, nil
}
