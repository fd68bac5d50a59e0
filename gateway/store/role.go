package store

import (
	"context"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"gwdr/gateway"
)

// Role is what the store does with writes, and under which leadership.
type Role struct {
	Mode   gateway.Mode `json:"mode"`
	Epoch  int64        `json:"epoch"`            // grows with each promotion and restore; 0: never led, never followed
	Leader string       `json:"leader,omitempty"` // URL of the leader that is followed
	Forked int64        `json:"forked,omitempty"` // fenced: the epoch in which this store led
	Hides  string       `json:"hides,omitempty"`  // blank while a restore fills it: the id that it had, when it held nothing
}

// Origin is how far a leader's store is applied here. After a promotion it tells where the two histories part.
type Origin struct {
	Store    string `json:"store"`
	Revision int64  `json:"revision"`
}

// NotLeaderError says that the store takes no writes. It wraps gateway.ErrNotLeader.
type NotLeaderError struct{ Role Role }

// Error names the mode, and the leader where there is one.
func (e *NotLeaderError) Error() string {
	text := fmt.Sprintf("%v: %s", gateway.ErrNotLeader, e.Role.Mode)
	if e.Role.Leader != "" {
		text += " of " + e.Role.Leader
	}
	if e.Role.Hides != "" {
		text += ", while a restore fills it"
	}
	return text
}

// Unwrap returns gateway.ErrNotLeader.
func (e *NotLeaderError) Unwrap() error { return gateway.ErrNotLeader }

// Role returns the store's current role.
func (s *Store) Role() Role { return s.state.Load().role }

// Origin returns how far a leader's store is applied here.
func (s *Store) Origin() Origin { return s.state.Load().origin }

// Promote makes the store the leader of a new epoch and returns that epoch. On a leader it changes nothing. A blank
// store is not promoted: what it held is to be restored.
func (s *Store) Promote(ctx context.Context) (int64, error) {
	if err := s.Answers(ctx); err != nil { // before the lock, which is held while its holder waits for an answer
		return 0, fmt.Errorf("promote: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	role, err := s.roleNow(ctx)
	switch {
	case err != nil:
		return 0, fmt.Errorf("promote: %w", err)
	case role.Mode == gateway.ModeLeader:
		return role.Epoch, nil
	case role.Mode == gateway.ModeBlank:
		return 0, &NotLeaderError{role}
	}
	next := Role{Mode: gateway.ModeLeader, Epoch: role.Epoch + 1}
	return next.Epoch, s.become(ctx, next, s.ID())
}

// Demote stops writes at once, so that another can be promoted without a loss once it has all that is here: followers copy on. It
// returns the epoch in which the store led. What does not lead stays as it is. Promote takes it back, in a new epoch.
func (s *Store) Demote(ctx context.Context) (int64, error) {
	if err := s.Answers(ctx); err != nil { // before the lock, which is held while its holder waits for an answer
		return 0, fmt.Errorf("demote: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	role, err := s.roleNow(ctx)
	if err != nil {
		return 0, fmt.Errorf("demote: %w", err)
	}
	if role.Mode != gateway.ModeLeader {
		return role.Epoch, nil
	}
	return role.Epoch, s.become(ctx, Role{Mode: gateway.ModeFenced, Epoch: role.Epoch, Forked: role.Epoch}, s.ID())
}

// Fence stops writes at once, because a leader of a later epoch is known. The store remembers the epoch in which it led
// until Follow.
func (s *Store) Fence(ctx context.Context, leader string, epoch int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	role := s.Role()
	if role.Mode != gateway.ModeLeader || epoch < role.Epoch {
		return nil
	}
	return s.become(ctx, Role{Mode: gateway.ModeFenced, Epoch: epoch, Leader: leader, Forked: role.Epoch}, s.ID())
}

// Follow makes the store a follower of the leader at the given URL. A blank store gets a new identity thereby: the
// leader's configuration replaces what was lost. A store that leads is not demoted: Fence comes first.
func (s *Store) Follow(ctx context.Context, leader string, epoch int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	role, id := s.Role(), s.ID()
	next := Role{Mode: gateway.ModeFollower, Epoch: epoch, Leader: leader}
	if role == next {
		return nil
	}
	if role.Mode == gateway.ModeLeader || epoch < role.Epoch {
		return fmt.Errorf("follow %s in epoch %d: this store is %s in epoch %d", leader, epoch, role.Mode, role.Epoch)
	}
	if id == "" {
		id = newID()
	}
	return s.become(ctx, next, id)
}

// become writes the role, provided that nobody did meanwhile, and the identity file after it.
func (s *Store) become(ctx context.Context, role Role, id string) error {
	changed, err := s.changeRole(ctx, role, id, nil)
	if err == nil && !changed {
		err = gateway.ErrConflict
	}
	if err != nil {
		return fmt.Errorf("change role to %s: %w", role.Mode, err)
	}
	return nil
}

// changeRole writes the role and the id, with further operations, if nobody changed the role and the conditions hold, and reports
// whether they did. Whoever asked may be gone: that the role was changed must be known here all the same.
func (s *Store) changeRole(ctx context.Context, role Role, id string, more []clientv3.Op, conditions ...clientv3.Cmp) (changed bool, err error) {
	ctx = context.WithoutCancel(ctx)
	conditions = append(conditions, s.state.Load().sameMode())
	revision, err := decided(s.kv.Txn(ctx).If(conditions...).Then(append(roleOps(role, id), more...)...).Commit())
	revision, err = settled(revision, err, func() (int64, error) { return s.settleRole(ctx, role) })
	if err != nil || revision == 0 {
		return false, s.engineError(err)
	}
	return true, s.became(role, id, revision)
}

// settleRole is settle for a change of the role.
func (s *Store) settleRole(ctx context.Context, role Role) (revision int64, err error) {
	kv, err := s.after(ctx, keyMode)
	if err != nil || kv == nil || string(kv.Value) != string(gateway.Encode(role)) {
		return 0, err
	}
	return kv.ModRevision, nil
}

// roleOps are the operations that give the store a role and an id.
func roleOps(role Role, id string) []clientv3.Op {
	return []clientv3.Op{clientv3.OpPut(keyMode, string(gateway.Encode(role))), clientv3.OpPut(keyStore, id)}
}

// became takes note of a role that was written at revision rev. s.mu is held, or nobody else has the store yet.
func (s *Store) became(role Role, id string, rev int64) error {
	var old known
	s.learn(func(k *known) { old, k.role, k.id, k.rev = *k, role, id, rev })
	s.log.Info("role changed", "mode", role.Mode, "epoch", role.Epoch, "leader", role.Leader, "store", id)
	if old.role.Mode == gateway.ModeBlank || role.Mode == gateway.ModeBlank {
		s.endWatches()
	}
	if role.Mode == gateway.ModeBlank { // it is known by the id that it had
		return nil
	}
	return s.writeIdentity(id, role.Epoch)
}

// learn changes what this process knows about the store.
func (s *Store) learn(change func(*known)) {
	for {
		old := s.state.Load()
		next := *old
		change(&next)
		if s.state.CompareAndSwap(old, &next) {
			return
		}
	}
}

// sameMode is the condition of every write: the role is the one that this process acted on.
func (k *known) sameMode() clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(keyMode), "=", k.rev)
}
