package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"gwdr/fleet"
)

// undoData is Undo.Data of this driver: which processes of which lab, in case they are others by now.
type undoData struct {
	Dir     string     `json:"dir"` // of the lab
	Lab     identity   `json:"lab"` // its supervisor
	Targets []targetID `json:"targets"`
}

// targetID is a target as it was before the fault.
type targetID struct {
	ID       string       `json:"id"`
	identity              // of its process
	Ports    []string     `json:"ports"`              // host:port that it listens on
	Links    []brokenLink `json:"links,omitempty"`    // what a fault of the network does to which of its links
	Location string       `json:"location,omitempty"` // its directory, if it is a location
	Spared   bool         `json:"spared,omitempty"`   // nothing is done to it itself
	Aside    string       `json:"aside,omitempty"`    // directory for what the fault sets aside of it; it is gone once the fault is
}

// isInstance tells the gateway's instances, and the upstream behind them, from the processes that make them a lab.
func isInstance(r fleet.Role) bool { return r != roleLinks }

// Supports reports why no lab of the topology can inject such a fault, whatever its targets are like.
func Supports(t Topology, f fleet.Fault) error {
	if err := t.checkFault(f, nil); !errors.Is(err, fleet.ErrNoTarget) {
		return err
	}
	return nil
}

// checkFault reports why a lab of the topology cannot inject f into targets.
func (t Topology) checkFault(f fleet.Fault, targets []Process) error {
	injector, ok := injectors()[f.Kind]
	if why := impossible(t.Replication)[f.Kind]; why != "" {
		return fmt.Errorf("fault %s: %w: %s", f.Kind, fleet.ErrUnsupported, why)
	}
	if !ok {
		return fmt.Errorf("fault %s: %w (the lab has %s)", f.Kind, fleet.ErrUnsupported, supported())
	}
	if err := f.With.Err(f.Kind); err != nil {
		return fmt.Errorf("fault %s: %w", f.ID, err)
	}
	if injector.refuse != nil {
		if err := injector.refuse(f); err != nil {
			return fmt.Errorf("fault %s: %w", f.ID, err)
		}
	}
	var instances []fleet.Instance
	for _, t := range targets {
		instances = append(instances, t.Instance)
	}
	if err := f.Check(instances, injector.roles); err != nil {
		return err
	}
	for _, p := range targets {
		switch {
		case !p.Running && p.Fault != "":
			return fmt.Errorf("fault %s: %s is down already, by fault %s", f.ID, p.ID, p.Fault)
		case !p.Running:
			return fmt.Errorf("fault %s: %s is not running", f.ID, p.ID)
		case injector.links && p.Role == fleet.Control && t.Replication == ReplicationSync:
			return fmt.Errorf("fault %s of %s: %w: members of one store reach each other past the links, so that it would be cut off only in part",
				f.Kind, p.ID, fleet.ErrUnsupported)
		}
	}
	return nil
}

// encodeUndo describes how the fault ends.
func encodeUndo(dir string, lab identity, f fleet.Fault, targets []Process) (fleet.Undo, error) {
	u := fleet.Undo{Driver: Driver, Fault: f}
	data := undoData{Dir: dir, Lab: lab}
	for _, t := range targets {
		u.Targets = append(u.Targets, t.ID)
		target := targetID{ID: t.ID, identity: identity{PID: t.PID, Start: t.Start}, Ports: t.Ports}
		if t.Role == fleet.Location {
			p := layout(dir).place(t.ID, f.ID)
			target.Location, target.Aside = p.dir, p.aside
		}
		data.Targets = append(data.Targets, target)
	}
	var err error
	if u.Data, err = json.Marshal(data); err != nil {
		return fleet.Undo{}, fmt.Errorf("prepare fault %s: %w", f.ID, err)
	}
	return u, nil
}

// decodeUndo reads what encodeUndo wrote, possibly in another version, and refuses what nobody prepared.
func decodeUndo(u fleet.Undo) (undoData, error) {
	if u.Driver != Driver {
		return undoData{}, fmt.Errorf("undo of fault %s is for driver %q, not %s", u.Fault.ID, u.Driver, Driver)
	}
	var data undoData
	if err := json.Unmarshal(u.Data, &data); err != nil {
		return undoData{}, fmt.Errorf("read undo of fault %s: %w", u.Fault.ID, err)
	}
	broken := func(t targetID) bool {
		if _, ok := t.place(); ok {
			return !t.beside(layout(data.Dir))
		}
		return t.ID == "" || len(t.Ports) == 0
	}
	if data.Dir == "" || data.Lab.PID <= 0 || len(data.Targets) == 0 || slices.ContainsFunc(data.Targets, broken) {
		return undoData{}, fmt.Errorf("read undo of fault %s: it names no lab or no targets", u.Fault.ID)
	}
	return data, nil
}
