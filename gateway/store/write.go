package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"

	"gwdr/gateway"
)

// Put writes the entity and returns the new revision, and that of its last change before: 0 if it was created. The error wraps
// gateway.ErrConflict if the condition on the entity or on Base failed, gateway.ErrMissing if one on Refs did, and
// gateway.ErrNotLeader if the store takes no writes.
func (s *Store) Put(ctx context.Context, e gateway.Entity, c gateway.Condition) (revision, before int64, err error) {
	if err := e.Validate(); err != nil {
		return 0, 0, err
	}
	put := clientv3.OpPut(key(e.Ref), string(e.Body), clientv3.WithPrevKV())
	resp, err := s.write(ctx, e.Ref, c, putBytes+int64(len(e.Body)), put)
	if err != nil {
		return 0, 0, fmt.Errorf("put %s: %w", e.Ref, err)
	}
	return resp.Header.Revision, resp.Responses[0].GetResponsePut().PrevKv.GetModRevision(), nil
}

// Delete removes the entity and returns the new revision, and that of its last change before. Errors are those of Put, or wrap
// gateway.ErrNotFound.
func (s *Store) Delete(ctx context.Context, r gateway.Ref, c gateway.Condition) (revision, before int64, err error) {
	return s.remove(ctx, r, c)
}

// DeleteLeaving does what Delete does, and puts the entity left, also in the place of another, in the same transaction. Where there is
// nothing to delete, nothing is left.
func (s *Store) DeleteLeaving(ctx context.Context, r gateway.Ref, left gateway.Entity, c gateway.Condition) (
	revision, before int64, err error,
) {
	if err := left.Validate(); err != nil {
		return 0, 0, err
	}
	there := []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(key(r)), ">", 0)}
	leave := clientv3.OpTxn(there, []clientv3.Op{clientv3.OpPut(key(left.Ref), string(left.Body))}, nil)
	return s.remove(ctx, r, c, leave)
}

// remove deletes r, and runs further operations.
func (s *Store) remove(ctx context.Context, r gateway.Ref, c gateway.Condition, more ...clientv3.Op) (revision, before int64, err error) {
	resp, err := s.write(ctx, r, c, 0, append([]clientv3.Op{clientv3.OpDelete(key(r), clientv3.WithPrevKV())}, more...)...)
	if err != nil {
		return 0, 0, fmt.Errorf("delete %s: %w", r, err)
	}
	deleted := resp.Responses[0].GetResponseDeleteRange().PrevKvs
	if len(deleted) == 0 {
		return 0, 0, fmt.Errorf("delete %s: %w", r, gateway.ErrNotFound)
	}
	return resp.Header.Revision, deleted[0].ModRevision, nil
}

// write runs the operations, which put so many bytes, in one transaction, if the store leads and c holds.
func (s *Store) write(ctx context.Context, r gateway.Ref, c gateway.Condition, bytes int64, ops ...clientv3.Op) (
	*clientv3.TxnResponse, error,
) {
	known := s.state.Load()
	if err := known.leads(); err != nil {
		return nil, err
	}
	if err := errors.Join(s.checkRoom(bytes), s.checkLog(ctx, bytes)); err != nil {
		return nil, err
	}
	kv := s.kv.KV
	if bytes > int64(anywhere.bytes) {
		var err error
		if kv, err = s.patient(ctx); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// Once it is sent, it is waited for, though whoever asked may be gone: what was made is to be known, and in the audit log.
	resp, err := kv.Txn(context.WithoutCancel(ctx)).If(known.conditions(r, c)...).Then(append(ops, clientv3.OpPut(keyHead, ""))...).Commit()
	if err != nil {
		return nil, s.engineError(err)
	}
	if !resp.Succeeded {
		return nil, s.refusal(ctx, known, c)
	}
	return resp, nil
}

func (k *known) conditions(r gateway.Ref, c gateway.Condition) []clientv3.Cmp {
	cmps := []clientv3.Cmp{k.sameMode()}
	if c.Revision != 0 {
		cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(key(r)), "=", c.Revision))
	}
	if c.Absent {
		cmps = append(cmps, clientv3.Compare(clientv3.CreateRevision(key(r)), "=", 0))
	}
	for _, ref := range c.Refs {
		cmps = append(cmps, clientv3.Compare(clientv3.CreateRevision(key(ref)), ">", 0))
	}
	for ref, revision := range c.Seen {
		cmps = append(cmps, clientv3.Compare(clientv3.ModRevision(key(ref)), "=", revision))
	}
	return append(cmps, unmoved(c.Base)...)
}

// unmoved is the condition that no entity was changed after the revision base.
func unmoved(base int64) []clientv3.Cmp {
	if base == 0 {
		return nil
	}
	return []clientv3.Cmp{clientv3.Compare(clientv3.ModRevision(keyHead), "<", base+1)}
}

// refusal says which condition made a transaction fail: the role, an entity on which this one depends, or the revision.
func (s *Store) refusal(ctx context.Context, acted *known, c gateway.Condition) error {
	resp, err := s.kv.Get(ctx, keyMode, s.reads)
	if err != nil {
		return s.engineError(err)
	}
	if len(resp.Kvs) > 0 && resp.Kvs[0].ModRevision != acted.rev {
		var now Role
		if err := json.Unmarshal(resp.Kvs[0].Value, &now); err != nil {
			return fmt.Errorf("read role: %w", err)
		}
		if s.shared {
			s.refresh(ctx)
		}
		if acted.rev == notKnown {
			return fmt.Errorf("%w: one has come back this moment, and the role is known now", ErrNoQuorum)
		}
		if now.Mode != gateway.ModeLeader {
			return &NotLeaderError{now}
		}
		return gateway.ErrConflict // another process promoted or restored the store
	}
	for _, ref := range c.Refs {
		if _, err := s.Get(ctx, ref); errors.Is(err, gateway.ErrNotFound) {
			return fmt.Errorf("%w: %s", gateway.ErrMissing, ref)
		}
	}
	return gateway.ErrConflict
}
