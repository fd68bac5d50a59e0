package exec

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"gwdr/fleet"
	"gwdr/fleet/command"
	"gwdr/fleet/mark"
	"gwdr/fleet/reach"
)

// undoData is Undo.Data of this driver: what is to be run, and for which instances.
type undoData struct {
	Fleet    string           `json:"fleet"` // its name
	State    string           `json:"state"` // directory of the marks
	Nonce    string           `json:"nonce"` // of this preparation: ids of faults are used again
	Commands commands         `json:"commands"`
	Targets  []fleet.Instance `json:"targets"` // as they were
	Answers  []string         `json:"answers"` // URLs of targets that answered
}

func (d undoData) marks() mark.Dir { return mark.Dir{Path: d.State, Nonce: nonceOf} }

// nonceOf is that of the preparation, or "" where nobody prepared anything.
func nonceOf(u fleet.Undo) string {
	data, err := decodeUndo(u)
	if err != nil {
		return ""
	}
	return data.Nonce
}

// Prepare says how the fault would be undone and touches nothing; it asks for the list of instances, and each target over
// HTTP whether it answers.
func (f *Fleet) Prepare(ctx context.Context, fault fleet.Fault, targets []fleet.Instance) (fleet.Undo, error) {
	if err := f.check(fault, targets); err != nil {
		return fleet.Undo{}, fmt.Errorf("prepare %w", err)
	}
	instances, err := f.Instances(ctx)
	if err != nil {
		return fleet.Undo{}, fmt.Errorf("prepare fault %s: %w", fault.ID, err)
	}
	u := fleet.Undo{Driver: Driver, Fault: fault}
	data := undoData{Fleet: f.options.Name, State: f.options.State, Nonce: rand.Text(), Commands: f.commands}
	for _, t := range targets {
		i := slices.IndexFunc(instances, func(in fleet.Instance) bool { return in.ID == t.ID })
		switch {
		case i < 0:
			return fleet.Undo{}, fmt.Errorf("prepare fault %s: the command list tells of no instance %q", fault.ID, t.ID)
		case !instances[i].Running:
			return fleet.Undo{}, fmt.Errorf("prepare fault %s: %s does not run", fault.ID, t.ID)
		}
		u.Targets, data.Targets = append(u.Targets, t.ID), append(data.Targets, instances[i])
	}
	if silences(fault.Kind) {
		data.Answers = reach.Answering(ctx, urls(data.Targets))
	}
	if err := ctx.Err(); err != nil {
		return fleet.Undo{}, fmt.Errorf("prepare fault %s: %w", fault.ID, err)
	}
	if u.Data, err = json.Marshal(data); err != nil {
		return fleet.Undo{}, fmt.Errorf("prepare fault %s: %w", fault.ID, err)
	}
	return u, nil
}

// check reports why the fault cannot be injected, whatever the instances are like.
func (f *Fleet) check(fault fleet.Fault, targets []fleet.Instance) error {
	if !slices.Contains(f.options.Kinds, fault.Kind) {
		return fmt.Errorf("fault %s: %w (the configuration names the kinds %s)", fault.Kind, fleet.ErrUnsupported, kindWords(f.options.Kinds))
	}
	if !f.options.Allow {
		return fmt.Errorf("fault %s: %w", fault.ID, fleet.ErrNotAllowed)
	}
	return fault.Check(targets, nil) // the commands know what they can break
}

func kindWords(kinds []fleet.FaultKind) string {
	var words []string
	for _, k := range kinds {
		words = append(words, string(k))
	}
	return strings.Join(words, ", ")
}

func urls(instances []fleet.Instance) []string {
	var all []string
	for _, in := range instances {
		if in.URL != "" {
			all = append(all, in.URL)
		}
	}
	return all
}

// decodeUndo reads what Prepare wrote, possibly in another version, and refuses what nobody prepared.
func decodeUndo(u fleet.Undo) (undoData, error) {
	if u.Driver != Driver {
		return undoData{}, fmt.Errorf("undo of fault %s is for driver %q, not %s", u.Fault.ID, u.Driver, Driver)
	}
	if !fleet.IsFaultID(u.Fault.ID) {
		return undoData{}, fmt.Errorf("undo of fault %q: that is not the id of a fault", u.Fault.ID)
	}
	var data undoData
	if err := json.Unmarshal(u.Data, &data); err != nil {
		return undoData{}, fmt.Errorf("read undo of fault %s: %w", u.Fault.ID, err)
	}
	c := data.Commands
	broken := func(c command.Command) bool {
		return len(c.Args) == 0 || !filepath.IsAbs(c.Args[0]) || len(c.Files) == 0
	}
	strange := func(in fleet.Instance) bool { return !idPattern.MatchString(in.ID) }
	switch {
	case data.Fleet == "" || data.Nonce == "" || !filepath.IsAbs(data.State) || !filepath.IsAbs(c.Dir):
		return undoData{}, fmt.Errorf("read undo of fault %s: it names no fleet or no directories", u.Fault.ID)
	case len(data.Targets) == 0 || slices.ContainsFunc(data.Targets, strange):
		return undoData{}, fmt.Errorf("read undo of fault %s: it names no instances", u.Fault.ID)
	case slices.ContainsFunc([]command.Command{c.List, c.Inject, c.Verify, c.Revert}, broken) || c.Timeout < LeastTimeout || c.Timeout > MostTimeout:
		return undoData{}, fmt.Errorf("read undo of fault %s: it has no commands that could be run", u.Fault.ID)
	}
	return data, nil
}
