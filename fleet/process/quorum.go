package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"gwdr/fleet"
)

// spare adds to u which of the store's members live on. Those of the first regions do, as they are whom clients ask: a majority of
// the others dies.
func (l *Lab) spare(u fleet.Undo, _ []Process) (fleet.Undo, error) {
	data, err := decodeUndo(u)
	if err != nil {
		return fleet.Undo{}, err
	}
	var members []string
	for _, region := range l.Regions() {
		members = append(members, controlID(region))
	}
	if len(u.Targets) != len(members) {
		return fleet.Undo{}, fmt.Errorf("prepare fault %s: its targets are %d of the store's %d members: name all, as a majority is one of all",
			u.Fault.ID, len(u.Targets), len(members))
	}
	majority := len(members)/2 + 1
	for i, t := range data.Targets {
		data.Targets[i].Spared = slices.Contains(members[:len(members)-majority], t.ID)
	}
	if u.Data, err = json.Marshal(data); err != nil {
		return fleet.Undo{}, fmt.Errorf("prepare fault %s: %w", u.Fault.ID, err)
	}
	return u, nil
}

// rejoin starts the members that were killed, with what they had, and waits until each has had a write acknowledged.
func (s *supervisor) rejoin(ctx context.Context, f *fault) error {
	if err := s.restart(ctx, f); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not within %s", startTimeout))
	defer cancel()
	for _, c := range f.targets {
		if err := poll(ctx, "wait until "+c.ID+" acknowledges a write", func() error { return s.admin(c).write(ctx) }); err != nil {
			return err
		}
	}
	return nil
}

// lookNoQuorum sees that the member is gone, or, of one that lives on, that it acknowledges no write, for want of a quorum.
func (l *Lab) lookNoQuorum(ctx context.Context, f fleet.Fault, t targetID) (string, error) {
	if !t.Spared {
		return l.lookDown(ctx, f, t)
	}
	err := adminAPI{"http://" + t.admin(), l.file.AdminToken, l.http}.write(ctx)
	if err == nil {
		return "", fmt.Errorf("%s acknowledges a write", t.ID)
	}
	if !errors.Is(err, errNoQuorum) {
		return "", fmt.Errorf("%s should refuse a write for want of a quorum: %w", t.ID, err)
	}
	return "refuses a write: no quorum", nil
}
