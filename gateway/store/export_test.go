package store

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"gwdr/gateway"
)

// Shrink is shrink, and waits until the engine has made room.
func (s *Store) Shrink(ctx context.Context, most int64) error {
	if err := s.shrink(ctx, most); err != nil {
		return err
	}
	x, err := s.extent()
	if err != nil {
		return err
	}
	if _, err := s.kv.Compact(ctx, x.first, clientv3.WithCompactPhysical()); err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		return err
	}
	return nil
}

// Extent returns the first and the last revision that are known, and how many bytes are in use.
func (s *Store) Extent() (first, head, size int64) {
	x, _ := s.extent()
	return x.first, x.head, x.used
}

// StopRetaining leaves history and quota to the test.
func (s *Store) StopRetaining() {
	s.stop()
	s.tending.Wait()
}

// Overfill has the engine reach its own quota.
func (s *Store) Overfill(ctx context.Context) error {
	for {
		if _, err := s.kv.Put(ctx, keyNone, strings.Repeat("x", 1<<20)); err != nil {
			return err
		}
		s.etcd.Server.Backend().ForceCommit()
	}
}

// Alarmed reports whether the engine has reached its own quota.
func (s *Store) Alarmed() bool { return len(s.alarms()) > 0 }

// MakeRoom is makeRoom.
func (s *Store) MakeRoom(ctx context.Context) error { return s.makeRoom(ctx) }

// Settle is what Apply does after a timeout of etcd: it returns the revision of the bulk transaction with the tag, or 0.
func (s *Store) Settle(ctx context.Context, tag string) (revision int64, err error) {
	return (&transfer{Store: s}).settle(ctx, tag)
}

// Settled is settled.
var Settled = settled

// BulkTag returns the tag of the last bulk transaction.
func (s *Store) BulkTag(ctx context.Context) string {
	resp, err := s.kv.Get(ctx, keyBulk)
	if err != nil || len(resp.Kvs) == 0 {
		return ""
	}
	return string(resp.Kvs[0].Value)
}

// HideWithPart leaves the store as a process does that is killed while a restore fills it.
func (s *Store) HideWithPart(ctx context.Context, part gateway.Entity) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if hidden, err := s.hide(ctx, 0); err != nil || !hidden {
		return errors.Join(err, errors.New("not hidden"))
	}
	_, err := s.kv.Put(ctx, key(part.Ref), string(part.Body))
	return err
}

// ReadByClient has the store read its past as any client of etcd does, and not from memory.
func (s *Store) ReadByClient() { s.past = byClient{s} }

// CountPatient counts the transactions that get the patience that large ones take.
func (s *Store) CountPatient() *atomic.Int64 {
	n := new(atomic.Int64)
	s.slow = counting{s.slow, n}
	return n
}

type counting struct {
	clientv3.KV
	n *atomic.Int64
}

func (c counting) Txn(ctx context.Context) clientv3.Txn {
	c.n.Add(1)
	return c.KV.Txn(ctx)
}

// ReadsLarge is readsLarge.
var ReadsLarge = readsLarge

// Empty deletes all that the store is made of, as whoever empties an etcd does.
func (s *Store) Empty(ctx context.Context) error {
	_, err := s.kv.Delete(ctx, keys, clientv3.WithPrefix())
	return err
}

// LeadsCluster reports whether the embedded member is the one that orders the cluster's changes.
func (s *Store) LeadsCluster() bool { return s.etcd.Server.Leader() == s.etcd.Server.MemberID() }
