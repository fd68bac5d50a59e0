package store

import (
	"context"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"gwdr/gateway"
)

// notKnown is the revision of the role of a store of which only the identity file tells: no write is made on such a role.
const notKnown = -1

// share has the store know that it is not alone: others write, and a quorum may be missing.
func (s *Store) share() {
	raw := s.kv.KV
	s.shared, s.reads = true, func(*clientv3.Op) {}
	s.kv.KV, s.slow = bounded{raw, answerWithin}, bounded{raw, bulkWithin}
}

// attend learns what others do to the store, and whether a quorum answers, until ctx ends.
func (s *Store) attend(ctx context.Context) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			s.refresh(ctx)
		}
	}
}

// refresh looks at the store's identity and role, unless this process is about to change them.
func (s *Store) refresh(ctx context.Context) {
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	_, err := s.roleNow(ctx)
	if ctx.Err() != nil {
		return
	}
	switch before := s.quorate.Swap(err == nil); {
	case err != nil && before:
		s.log.Error("store does not answer: no change is taken, and none is heard of", "error", err)
	case err == nil && !before:
		s.log.Info("store answers again")
	}
}

// roleNow returns the role, also if another process has just changed it. s.mu is held.
func (s *Store) roleNow(ctx context.Context) (Role, error) {
	if !s.shared {
		return s.Role(), nil
	}
	found, err := s.read(ctx)
	if err == nil {
		err = s.adopt(found)
	}
	return s.Role(), err
}

// adopt takes over what another process, or whoever empties an etcd, made of the store. s.mu is held.
func (s *Store) adopt(found *known) error {
	have := s.state.Load()
	if found.id == "" && found.role.Mode != gateway.ModeBlank {
		found.role = Role{Mode: gateway.ModeBlank, Epoch: have.role.Epoch}
	}
	if found.rev == have.rev && found.id == have.id {
		return nil
	}
	s.state.Store(found)
	if found.id != have.id {
		s.tellOther(have.id, found)
		s.endWatches()
	}
	if found.id == "" {
		return nil
	}
	return s.writeIdentity(found.id, found.role.Epoch)
}

// tellOther says that another store is here than was before.
func (s *Store) tellOther(before string, now *known) {
	s.log.Warn("store is another one", "before", before, "now", now.id, "mode", now.role.Mode, "epoch", now.role.Epoch)
}

// assume takes the store for what the identity file tells until a quorum answers: what is served goes on meanwhile.
func (s *Store) assume(id string, epoch int64) {
	s.log.Warn("store does not answer: it is taken for what it last was", "store", id, "epoch", epoch)
	s.state.Store(&known{id: id, role: Role{Mode: gateway.ModeLeader, Epoch: epoch}, rev: notKnown})
}
