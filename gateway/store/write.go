package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"gwdr/gateway"
)

// ErrFull is wrapped by errors of writes that the store's quota does not allow, ErrTooLarge by those of writes that are larger than
// an etcd elsewhere takes.
var (
	ErrFull     = errors.New("store is full")
	ErrTooLarge = errors.New("larger than etcd takes at once")
)

// Put writes the entity and returns the new revision and whether the entity was created. The error wraps
// gateway.ErrConflict if the condition on the entity or on Base failed, gateway.ErrMissing if one on Refs did, and
// gateway.ErrNotLeader if the store takes no writes.
func (s *Store) Put(ctx context.Context, e gateway.Entity, c gateway.Condition) (revision int64, created bool, err error) {
	if err := e.Validate(); err != nil {
		return 0, false, err
	}
	put := clientv3.OpPut(key(e.Ref), string(e.Body), clientv3.WithPrevKV())
	resp, err := s.write(ctx, e.Ref, c, put)
	if err != nil {
		return 0, false, fmt.Errorf("put %s: %w", e.Ref, err)
	}
	return resp.Header.Revision, resp.Responses[0].GetResponsePut().PrevKv == nil, nil
}

// Delete removes the entity and returns the new revision. Errors are those of Put, or wrap gateway.ErrNotFound.
func (s *Store) Delete(ctx context.Context, r gateway.Ref, c gateway.Condition) (revision int64, err error) {
	return s.remove(ctx, r, c, clientv3.OpDelete(key(r)))
}

// DeleteLeaving does what Delete does, and puts the entity left, unless there is one already, in the same transaction. Where
// there is nothing to delete, nothing is left.
func (s *Store) DeleteLeaving(ctx context.Context, r gateway.Ref, left gateway.Entity, c gateway.Condition) (revision int64, err error) {
	if err := left.Validate(); err != nil {
		return 0, err
	}
	missing := []clientv3.Cmp{clientv3.Compare(clientv3.CreateRevision(key(r)), ">", 0), clientv3.Compare(clientv3.CreateRevision(key(left.Ref)), "=", 0)}
	leave := clientv3.OpTxn(missing, []clientv3.Op{clientv3.OpPut(key(left.Ref), string(left.Body))}, nil)
	return s.remove(ctx, r, c, clientv3.OpDelete(key(r)), leave)
}

// remove runs a delete of r, and further operations.
func (s *Store) remove(ctx context.Context, r gateway.Ref, c gateway.Condition, ops ...clientv3.Op) (revision int64, err error) {
	resp, err := s.write(ctx, r, c, ops...)
	if err != nil {
		return 0, fmt.Errorf("delete %s: %w", r, err)
	}
	if resp.Responses[0].GetResponseDeleteRange().Deleted == 0 {
		return 0, fmt.Errorf("delete %s: %w", r, gateway.ErrNotFound)
	}
	return resp.Header.Revision, nil
}

// write runs the operations in one transaction, if the store leads and c holds.
func (s *Store) write(ctx context.Context, r gateway.Ref, c gateway.Condition, ops ...clientv3.Op) (*clientv3.TxnResponse, error) {
	known := s.state.Load()
	if err := known.leads(); err != nil {
		return nil, err
	}
	resp, err := s.kv.Txn(ctx).If(known.conditions(r, c)...).Then(append(ops, clientv3.OpPut(keyHead, ""))...).Commit()
	if err != nil {
		return nil, engineError(err)
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
		return engineError(err)
	}
	if len(resp.Kvs) > 0 && resp.Kvs[0].ModRevision != acted.rev {
		var now Role
		if err := json.Unmarshal(resp.Kvs[0].Value, &now); err != nil {
			return fmt.Errorf("read role: %w", err)
		}
		if s.shared {
			s.refresh(ctx)
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

// engineError translates what etcd says.
func engineError(err error) error {
	if errors.Is(err, rpctypes.ErrGRPCNoSpace) || errors.Is(err, rpctypes.ErrNoSpace) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	if errors.Is(err, rpctypes.ErrTooManyOps) || errors.Is(err, rpctypes.ErrRequestTooLarge) || status.Code(err) == codes.ResourceExhausted {
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return err
}
