package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"gwdr/gateway"
)

// All reads of a single member are serializable, which shows every acknowledged write and costs no round of consensus; those of a
// shared store are linearizable.

// Get returns the entity and the revision of its last change. The error wraps gateway.ErrNotFound if it is not there.
func (s *Store) Get(ctx context.Context, r gateway.Ref) (gateway.Item, error) {
	resp, err := s.kv.Get(ctx, key(r), s.reads)
	if err != nil {
		return gateway.Item{}, fmt.Errorf("read %s: %w", r, err)
	}
	if len(resp.Kvs) == 0 {
		return gateway.Item{}, fmt.Errorf("read %s: %w", r, gateway.ErrNotFound)
	}
	return item(resp.Kvs[0]), nil
}

// List returns up to limit entities of the kind, by id, that come after the given id, and whether there are more.
func (s *Store) List(ctx context.Context, k gateway.Kind, after string, limit int) (items []gateway.Item, more bool, err error) {
	prefix := entities + string(k) + "/"
	from := prefix
	if after != "" {
		from = prefix + after + "\x00"
	}
	resp, err := s.kv.Get(ctx, from, clientv3.WithRange(clientv3.GetPrefixRangeEnd(prefix)), clientv3.WithLimit(int64(limit)),
		s.reads)
	if err != nil {
		return nil, false, fmt.Errorf("list %s: %w", k, err)
	}
	for _, kv := range resp.Kvs {
		items = append(items, item(kv))
	}
	return items, resp.More, nil
}

// State returns the configuration at one revision, with who holds it; Header.Store is empty while the store is blank.
func (s *Store) State(ctx context.Context) (gateway.Header, *gateway.State, error) {
	return s.snapshot(ctx, entities)
}

// StateOf is State with only the entities of one kind whose ids begin with the prefix.
func (s *Store) StateOf(ctx context.Context, k gateway.Kind, prefix string) (gateway.Header, *gateway.State, error) {
	return s.snapshot(ctx, entities+string(k)+"/"+prefix)
}

func (s *Store) snapshot(ctx context.Context, prefix string) (gateway.Header, *gateway.State, error) {
	header := gateway.Header{Time: time.Now().UTC()}
	kv, err := s.patient(ctx)
	if err != nil {
		return gateway.Header{}, nil, fmt.Errorf("read state: %w", err)
	}
	resp, err := kv.Txn(ctx).Then(clientv3.OpGet(keyStore, s.reads),
		clientv3.OpGet(prefix, clientv3.WithPrefix(), s.reads)).Commit()
	if err != nil {
		return gateway.Header{}, nil, fmt.Errorf("read state: %w", err)
	}
	header.Epoch, header.Revision = s.Role().Epoch, resp.Header.Revision
	if id := resp.Responses[0].GetResponseRange().Kvs; len(id) > 0 {
		header.Store = string(id[0].Value)
	}
	state := gateway.NewState()
	for _, found := range resp.Responses[1].GetResponseRange().Kvs {
		state.Put(item(found).Entity)
	}
	return header, state, nil
}

// Revision returns the store's current revision.
func (s *Store) Revision(ctx context.Context) (int64, error) {
	resp, err := s.kv.Get(ctx, keyHead, s.reads, clientv3.WithKeysOnly())
	if err != nil {
		return 0, fmt.Errorf("read revision: %w", err)
	}
	return resp.Header.Revision, nil
}

func item(kv *mvccpb.KeyValue) gateway.Item {
	kind, id, _ := strings.Cut(strings.TrimPrefix(string(kv.Key), entities), "/")
	ref := gateway.Ref{Kind: gateway.Kind(kind), ID: id}
	return gateway.Item{Entity: gateway.Entity{Ref: ref, Body: kv.Value}, Revision: kv.ModRevision}
}
