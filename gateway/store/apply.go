package store

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"gwdr/gateway"
)

// Up to SwitchOps changes with SwitchBytes of bodies and references are made at once, or those of sharedAtOnce where what is written
// goes to other machines, too: nobody ever reads, or watches, a part of them. More are too large for a line of a watch, which never splits
// a revision, and for the memory: while it is made, a transaction takes some 5 KB for each change.
const (
	SwitchOps   = 125_000
	SwitchBytes = 48 << 20 // what is larger by itself goes alone
)

// bound is how large a transaction may be. The bytes are those of bodies and references, and some for the form of each change.
type bound struct{ ops, bytes int }

const formBytes = 64

// A blank store is nobody's to read before the last of its changes, so that small transactions do, in less memory.
// Any etcd takes what is no larger than anywhere: where one refuses more, changes are made in more steps.
var (
	atOnce       = bound{SwitchOps, SwitchBytes}
	sharedAtOnce = bound{25_000, 8 << 20}
	inParts      = bound{4000, 8 << 20}
	anywhere     = bound{100, 1 << 20}
)

// atOnce is how much is changed at once.
func (s *Store) atOnce() bound {
	if s.shared {
		return sharedAtOnce
	}
	return atOnce
}

// Apply makes the changes in the order given, in one transaction up to SwitchOps and SwitchBytes and in as many as it takes
// beyond, and returns how many were made and the revision of the last. Creates and updates both put; a delete of what is not
// there does nothing. What is changed twice takes a transaction of its own.
//
// A blank store takes changes only as a restore, which ends the blank mode with the last transaction: the store gets a
// new identity and leads in a new epoch. One that holds nothing gets a new identity, too, if the restore is large. Errors are those
// of Put.
func (s *Store) Apply(ctx context.Context, changes []gateway.Change, b gateway.Bulk) (applied int, revision int64, err error) {
	for _, c := range changes {
		if err := c.Entity.Validate(); err != nil {
			return 0, 0, inApply(err)
		}
	}
	if err := s.Answers(ctx); err != nil { // before the locks, which are held while their holder waits for an answer
		return 0, 0, inApply(err)
	}
	for {
		if b.Restore {
			applied, revision, filled, err := s.tryFill(ctx, changes, b.Base)
			if filled || err != nil {
				return applied, revision, inApply(err)
			}
		}
		t := transfer{Store: s, bound: s.atOnce(), acted: s.state.Load(), base: b.Base}
		if err = t.acted.leads(); err == nil {
			err = t.run(ctx, changes)
		}
		if busy := (*NotLeaderError)(nil); b.Restore && errors.As(err, &busy) && busy.Role.Hides != "" && ctx.Err() == nil { // another restore was quicker
			continue
		}
		return t.applied, t.revision, inApply(err)
	}
}

// leads returns an error unless the store leads.
func (k *known) leads() error {
	if k.role.Mode != gateway.ModeLeader {
		return &NotLeaderError{k.role}
	}
	return nil
}

// tryFill fills the store if it is blank, or holds nothing and is to hold much: one restore at a time, and no change of the role
// meanwhile. filled is false if the store was left alone.
func (s *Store) tryFill(ctx context.Context, changes []gateway.Change, base int64) (applied int, revision int64, filled bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.Role().Mode == gateway.ModeLeader && len(changes) > inParts.ops && !s.shared { // whoever else has it could not tell if this process died
		if _, err := s.hide(ctx, base); err != nil {
			return 0, 0, false, err
		}
	}
	if s.Role().Mode != gateway.ModeBlank {
		return 0, 0, false, nil
	}
	applied, revision, err = s.fill(ctx, changes, base)
	return applied, revision, true, err
}

func inApply(err error) error {
	if err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	return nil
}

// Replicate makes the changes that bring the store from its origin to the given one, and takes note of the new origin
// in the same transaction as the last of them. The store must follow. One revision of the leader is one revision here.
func (s *Store) Replicate(ctx context.Context, changes []gateway.Change, to Origin) error {
	t := transfer{Store: s, bound: s.atOnce(), acted: s.state.Load(), origin: &to}
	if mode := t.acted.role.Mode; mode != gateway.ModeFollower && mode != gateway.ModeFenced {
		return fmt.Errorf("replicate revision %d: store is %s", to.Revision, mode)
	}
	if err := t.run(ctx, changes); err != nil {
		return fmt.Errorf("replicate revision %d: %w", to.Revision, err)
	}
	return nil
}

// transfer is a list of changes on its way into the store.
type transfer struct {
	*Store
	bound  bound
	acted  *known  // what the decision to write was based on
	base   int64   // 0, or no entity may have changed after this revision
	role   *Role   // role that begins with the last transaction
	id     string  // identity that goes with role
	origin *Origin // origin that is reached with the last transaction

	applied  int
	revision int64
}

func (t *transfer) run(ctx context.Context, changes []gateway.Change) error {
	t.bulk.Lock()
	defer t.bulk.Unlock()
	if err := t.Answers(ctx); err != nil { // which takes less time than a large transaction to which there is no answer
		return err
	}
	for _, c := range changes { // before any is made
		if err := t.checkLog(ctx, bytesOf([]gateway.Change{c})); err != nil {
			return err
		}
	}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := t.bound.cut(changes)
		last := n == len(changes)
		// Once it is sent, it is waited for: a transaction of which nobody knows whether it was made may have changed the role.
		err := t.commit(context.WithoutCancel(ctx), changes[:n], last)
		if errors.Is(err, ErrTooLarge) && t.bound != anywhere {
			t.bound = anywhere
			continue
		}
		if err != nil {
			return err
		}
		t.applied += n
		if last {
			return nil
		}
		changes = changes[n:]
	}
}

// cut returns how many of the changes fit into one transaction. etcd refuses to touch a key twice in one.
func (b bound) cut(changes []gateway.Change) int {
	seen, size := make(map[gateway.Ref]bool, min(len(changes), b.ops)), 0
	for i, c := range changes {
		size += len(c.Entity.Body) + len(key(c.Entity.Ref)) + formBytes
		if i == b.ops || seen[c.Entity.Ref] || i > 0 && size > b.bytes {
			return i
		}
		seen[c.Entity.Ref] = true
	}
	return len(changes)
}

func (t *transfer) commit(ctx context.Context, changes []gateway.Change, last bool) error {
	tag := newID()
	ops := t.ops(changes, last)
	if len(ops) == 0 { // nothing to do
		return nil
	}
	if err := t.checkRoom(bytesOf(changes)); err != nil {
		return err
	}
	unchanged := append(unmoved(t.base), t.acted.sameMode())
	revision, err := decided(t.slow.Txn(ctx).If(unchanged...).Then(append(ops, clientv3.OpPut(keyBulk, tag))...).Commit())
	revision, err = settled(revision, err, func() (int64, error) { return t.settle(ctx, tag) })
	if err != nil {
		return t.engineError(err)
	}
	if revision == 0 {
		return t.refusal(ctx, t.acted, gateway.Condition{})
	}
	t.revision = revision
	if t.base != 0 {
		t.base = t.revision
	}
	return t.note(last)
}

// bytesOf returns what the puts among the changes take.
func bytesOf(changes []gateway.Change) (bytes int64) {
	for _, c := range changes {
		if c.Op != gateway.Delete {
			bytes += putBytes + int64(len(c.Entity.Body))
		}
	}
	return bytes
}

// decided returns the revision that a transaction made, or 0 if its conditions did not hold.
func decided(resp *clientv3.TxnResponse, err error) (revision int64, _ error) {
	if err != nil || !resp.Succeeded {
		return 0, err
	}
	return resp.Header.Revision, nil
}

// settle returns what decided does for a transaction that etcd did not await, which it does for 5 s, though it carries it out, or
// whose success it did not tell.
func (t *transfer) settle(ctx context.Context, tag string) (revision int64, err error) {
	kv, err := t.after(ctx, keyBulk)
	if err != nil || kv == nil || string(kv.Value) != tag {
		return 0, err
	}
	return kv.ModRevision, nil
}

// after reads a key once all is done that was asked for before: a delete of nothing is done after it. It returns nil if the key is
// not there.
func (s *Store) after(ctx context.Context, key string) (*mvccpb.KeyValue, error) {
	for {
		resp, err := s.kv.Txn(ctx).Then(clientv3.OpDelete(keyNone), clientv3.OpGet(key)).Commit()
		if errors.Is(err, rpctypes.ErrTimeout) && !errors.Is(err, ErrNoQuorum) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if kvs := resp.Responses[1].GetResponseRange().Kvs; len(kvs) == 1 {
			return kvs[0], nil
		}
		return nil, nil
	}
}

func (t *transfer) ops(changes []gateway.Change, last bool) []clientv3.Op {
	ops := make([]clientv3.Op, 0, len(changes)+4)
	for _, c := range changes {
		if c.Op == gateway.Delete {
			ops = append(ops, clientv3.OpDelete(key(c.Entity.Ref)))
		} else {
			ops = append(ops, clientv3.OpPut(key(c.Entity.Ref), string(c.Entity.Body)))
		}
	}
	if len(changes) > 0 {
		ops = append(ops, clientv3.OpPut(keyHead, ""))
	}
	if last && t.role != nil {
		ops = append(ops, roleOps(*t.role, t.id)...)
	}
	if last && t.origin != nil {
		ops = append(ops, clientv3.OpPut(keyApplied, string(gateway.Encode(t.origin))))
	}
	return ops
}

// note takes over what the last transaction changed beside the entities.
func (t *transfer) note(last bool) error {
	if last && t.origin != nil {
		t.learn(func(k *known) { k.origin = *t.origin })
	}
	if last && t.role != nil {
		return t.became(*t.role, t.id, t.revision)
	}
	return nil
}
