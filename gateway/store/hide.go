package store

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"gwdr/gateway"
)

// hide makes a store blank that leads and holds nothing, so that a restore can fill it in parts, which takes less time and half
// the memory of a switch, and nobody sees one of them. It reports false if the store holds anything, or has moved on since base.
// s.mu is held.
func (s *Store) hide(ctx context.Context, base int64) (bool, error) {
	if empty, err := s.empty(ctx); err != nil || !empty { // the condition below costs a read of all that there is
		return false, err
	}
	known := s.state.Load()
	blank := Role{Mode: gateway.ModeBlank, Epoch: known.role.Epoch, Hides: known.id}
	nothing := clientv3.Compare(clientv3.CreateRevision(entities), "=", 0).WithPrefix()
	return s.changeRole(ctx, blank, "", nil, append(unmoved(base), nothing)...)
}

// empty reports whether the store holds nothing.
func (s *Store) empty(ctx context.Context) (empty bool, err error) {
	first, _, err := s.page(ctx, span{from: entities, end: clientv3.GetPrefixRangeEnd(entities), limit: 1, keys: true})
	return len(first) == 0, err
}

// unhide makes a store what it was before hide: one that leads and holds nothing. s.mu is held, or nobody else has the store yet.
func (s *Store) unhide(ctx context.Context) error {
	known := s.state.Load()
	leader := Role{Mode: gateway.ModeLeader, Epoch: known.role.Epoch}
	empty := []clientv3.Op{clientv3.OpDelete(entities, clientv3.WithPrefix()), clientv3.OpPut(keyHead, "")}
	changed, err := s.changeRole(ctx, leader, known.role.Hides, empty)
	if err == nil && !changed {
		err = gateway.ErrConflict
	}
	if err != nil {
		return fmt.Errorf("undo the part of a restore: %w", err)
	}
	return nil
}

// fill makes the changes in parts, of which nobody sees one before the last. The store is blank. What was empty before is so again if
// they fail.
func (s *Store) fill(ctx context.Context, changes []gateway.Change, base int64) (applied int, revision int64, err error) {
	acted := s.state.Load()
	leader := Role{Mode: gateway.ModeLeader, Epoch: acted.role.Epoch}
	if acted.role.Hides == "" { // what was lost may have been followed
		leader.Epoch++
	}
	t := transfer{Store: s, bound: inParts, acted: acted, base: base, role: &leader, id: newID()}
	err = t.run(ctx, changes)
	if s.Role().Hides == "" { // it leads, though its identity may not be on file; or it was blank before
		return t.applied, t.revision, err
	}
	if undoErr := s.unhide(ctx); undoErr != nil {
		return t.applied, t.revision, errors.Join(err, undoErr)
	}
	return 0, 0, err
}
