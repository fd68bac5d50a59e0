package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/server/v3/storage/mvcc"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"google.golang.org/protobuf/proto"

	"gwdr/gateway"
)

// pageRevisions is how many revisions of the history are looked at in one transaction, in which nobody can write, at most.
const pageRevisions = 64

// Changes is that of gateway.Tracker: every revision after from that changed entities, up to the one in the Header it returns,
// of the store with the given id. store may be empty: whichever is here.
func (s *Store) Changes(ctx context.Context, store string, from int64, each func(gateway.Batch) error) (gateway.Header, error) {
	h, err := s.open(ctx)
	if err == nil {
		err = checkFrom(store, from, h)
	}
	if err == nil {
		err = s.past.history(ctx, from, h.Revision, each)
	}
	if err != nil {
		return gateway.Header{}, fmt.Errorf("read changes after revision %d: %w", from, err)
	}
	return h, nil
}

// checkFrom reports why a store, as the header shows it, cannot tell what came after a revision.
func checkFrom(store string, from int64, h gateway.Header) error {
	if store != "" && store != h.Store {
		return fmt.Errorf("%w: another store is here, not %.40s", gateway.ErrCompacted, store)
	}
	if from > h.Revision {
		return fmt.Errorf("%w: the store is at %d", gateway.ErrCompacted, h.Revision)
	}
	return nil
}

// Since returns, for each entity that was changed after the revision, its last change. The error wraps
// gateway.ErrCompacted if the history does not go back as far.
func (s *Store) Since(ctx context.Context, revision int64) ([]gateway.Change, error) {
	head, err := s.head(ctx)
	if err != nil {
		return nil, fmt.Errorf("read head: %w", err)
	}
	last := map[gateway.Ref]gateway.Change{}
	err = s.past.history(ctx, revision, head, func(b gateway.Batch) error {
		for _, c := range b.Changes {
			last[c.Entity.Ref] = c
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read changes after revision %d: %w", revision, err)
	}
	return slices.SortedFunc(maps.Values(last), func(a, b gateway.Change) int {
		return a.Entity.Ref.Compare(b.Entity.Ref)
	}), nil
}

// head returns the newest revision.
func (s *Store) head(ctx context.Context) (revision int64, err error) {
	_, revision, err = s.page(ctx, span{from: keyNone})
	return revision, err
}

// history implements past.
//
// etcd's own way to what is past, a watch, reads all of it at once, again for each 1,000 revisions that it hands over, and lets
// nobody write meanwhile. Here it is read once, in pieces, from where the engine keeps it: by revision.
func (s inProcess) history(ctx context.Context, from, to int64, each func(gateway.Batch) error) error {
	for span := int64(1); from < to; { // as many revisions as make a page
		if err := ctx.Err(); err != nil {
			return err
		}
		batches, last, err := s.piece(from, min(to, from+span))
		if err != nil {
			return err
		}
		for _, b := range batches {
			if err := each(b); err != nil {
				return err
			}
		}
		if last == min(to, from+span) {
			span = min(2*span, pageRevisions)
		} else {
			span = last - from
		}
		from = last
	}
	return nil
}

// piece reads some revisions after from, at least one and never a part of one, and returns which was the last.
//
// Its transaction is one of those that share the engine's buffer of what is not committed yet. The others have a copy, which
// may say again what has been committed meanwhile: that does no harm to who reads single keys, but here it would.
//
// What was compacted is looked up after it, and not in a transaction around it: a member that gets a snapshot from another holds the
// backend, and waits for such transactions.
func (s inProcess) piece(from, to int64) (batches []gateway.Batch, last int64, err error) {
	err = s.whileOpen(func() error {
		if batches, last, err = s.readPiece(from, to); err != nil {
			return err
		}
		if first := s.etcd.Server.KV().FirstRev(); first > from {
			return fmt.Errorf("%w: compacted at %d", gateway.ErrCompacted, first)
		}
		return nil
	})
	return batches, last, err
}

// readPiece is piece, though some of it may have been compacted.
func (s inProcess) readPiece(from, to int64) (batches []gateway.Batch, last int64, err error) {
	tx := s.etcd.Server.Backend().ReadTx()
	tx.RLock()
	defer tx.RUnlock()
	// What it returns is memory of the engine's file, and not ours.
	keys, values := tx.UnsafeRange(schema.Key, revisionKey(from+1), revisionKey(to+1), 0)
	return batchesOf(keys, values, to)
}

// batchesOf returns the first of the revisions, a page full of them, and which was the last: to if these are all.
func batchesOf(keys, values [][]byte, to int64) (batches []gateway.Batch, last int64, err error) {
	size := 0
	for i := 0; i < len(keys); {
		revision, n := mvcc.BytesToRev(keys[i]).Main, i+1
		for n < len(keys) && mvcc.BytesToRev(keys[n]).Main == revision {
			n++
		}
		b, err := batchOf(revision, keys[i:n], values[i:n])
		if err != nil {
			return nil, 0, err
		}
		if len(b.Changes) > 0 {
			batches = append(batches, b)
		}
		for _, v := range values[i:n] {
			size += len(v)
		}
		if i = n; size > pageBytes {
			return batches, revision, nil
		}
	}
	return batches, to, nil
}

func revisionKey(revision int64) []byte {
	return mvcc.RevToBytes(mvcc.Revision{Main: revision}, mvcc.NewRevBytes())
}

// batchOf returns the changes of entities among what one revision wrote.
func batchOf(revision int64, keys, values [][]byte) (gateway.Batch, error) {
	b := gateway.Batch{Revision: revision, Changes: make([]gateway.Change, 0, len(values))}
	for i, value := range values {
		var kv mvccpb.KeyValue
		if err := proto.Unmarshal(value, &kv); err != nil {
			return b, fmt.Errorf("read revision %d: %w", revision, err)
		}
		if strings.HasPrefix(string(kv.Key), entities) {
			b.Changes = append(b.Changes, change(&kv, mvcc.IsTombstone(keys[i])))
		}
	}
	return b, nil
}
