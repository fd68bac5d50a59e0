package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"gwdr/gateway"
)

// ErrReplaced is returned by Watch when the store's identity changed: what was read before is another store's.
var ErrReplaced = errors.New("store was replaced")

// heartbeat is how often Watch calls each without changes, so that a reader tells silence from a dead connection.
const heartbeat = time.Second

// Watch calls each with every revision after from that changed entities, in order and never in parts, and without
// changes at once and then each second. It ends with ctx, with the first error of each, or with an error that wraps gateway.ErrCompacted when
// the changes after from are no longer known (or never were: the store is older than from). Then read State again.
func (s *Store) Watch(ctx context.Context, from int64, each func(gateway.Batch) error) error {
	s.mu.Lock()
	changed := s.changed
	s.mu.Unlock()
	if err := s.remembers(ctx, from); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := watch{last: from, each: each}
	return w.run(ctx, s.kv.Watch(ctx, entities, clientv3.WithPrefix(), clientv3.WithRev(from+1)), changed)
}

// remembers reports why the changes after the revision are not known.
func (s *Store) remembers(ctx context.Context, from int64) error {
	now, err := s.Revision(ctx)
	if err == nil && from < now {
		_, err = s.kv.Get(ctx, keyHead, clientv3.WithSerializable(), clientv3.WithRev(from+1))
	}
	switch {
	case errors.Is(err, rpctypes.ErrCompacted):
		return fmt.Errorf("watch from revision %d: %w", from, gateway.ErrCompacted)
	case err != nil:
		return fmt.Errorf("watch from revision %d: %w", from, err)
	case from > now:
		return fmt.Errorf("watch from revision %d: %w: the store is at %d", from, gateway.ErrCompacted, now)
	}
	return nil
}

type watch struct {
	last int64 // newest revision that was passed on
	each func(gateway.Batch) error
}

func (w *watch) run(ctx context.Context, responses clientv3.WatchChan, changed <-chan struct{}) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	err := w.each(gateway.Batch{Revision: w.last})
	for {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("watch after revision %d: %w", w.last, err)
		}
		select {
		case resp, open := <-responses:
			if err = w.pass(resp); !open {
				err = errors.New("store is closed")
			}
		case <-beat.C:
			err = w.each(gateway.Batch{Revision: w.last})
		case <-changed:
			err = ErrReplaced
		case <-ctx.Done():
		}
	}
}

// pass hands over the events of a response, which holds whole revisions, one batch for each revision.
func (w *watch) pass(resp clientv3.WatchResponse) error {
	if resp.CompactRevision != 0 {
		return fmt.Errorf("%w: compacted at %d", gateway.ErrCompacted, resp.CompactRevision)
	}
	if err := resp.Err(); err != nil {
		return err
	}
	for events := resp.Events; len(events) > 0; {
		rev, n := events[0].Kv.ModRevision, 1
		for n < len(events) && events[n].Kv.ModRevision == rev {
			n++
		}
		if err := w.each(batch(rev, events[:n])); err != nil {
			return err
		}
		w.last, events = rev, events[n:]
	}
	return nil
}

func batch(rev int64, events []*clientv3.Event) gateway.Batch {
	b := gateway.Batch{Revision: rev, Changes: make([]gateway.Change, 0, len(events))}
	for _, e := range events {
		c := gateway.Change{Op: gateway.Update, Entity: item(e.Kv).Entity}
		switch {
		case e.Type == clientv3.EventTypeDelete:
			c = gateway.Change{Op: gateway.Delete, Entity: gateway.Entity{Ref: c.Entity.Ref}}
		case e.IsCreate():
			c.Op = gateway.Create
		}
		b.Changes = append(b.Changes, c)
	}
	return b
}

// endWatches makes every Watch return ErrReplaced. s.mu is held, or nobody else has the store yet.
func (s *Store) endWatches() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// errReached ends a Watch that Since has read far enough.
var errReached = errors.New("reached")

// Since returns, for each entity that was changed after the revision, its last change. The error wraps
// gateway.ErrCompacted if the history does not go back as far.
func (s *Store) Since(ctx context.Context, revision int64) ([]gateway.Change, error) {
	head, err := s.kv.Get(ctx, keyHead, clientv3.WithSerializable())
	if err != nil {
		return nil, fmt.Errorf("read head: %w", err)
	}
	if len(head.Kvs) == 0 || head.Kvs[0].ModRevision <= revision {
		return nil, nil
	}
	last := map[gateway.Ref]gateway.Change{}
	err = s.Watch(ctx, revision, func(b gateway.Batch) error {
		for _, c := range b.Changes {
			last[c.Entity.Ref] = c
		}
		if b.Revision >= head.Kvs[0].ModRevision {
			return errReached
		}
		return nil
	})
	if !errors.Is(err, errReached) {
		return nil, err
	}
	return slices.SortedFunc(maps.Values(last), func(a, b gateway.Change) int {
		return a.Entity.Ref.Compare(b.Entity.Ref)
	}), nil
}

// Compact forgets the history before the revision.
func (s *Store) Compact(ctx context.Context, revision int64) error {
	if _, err := s.kv.Compact(ctx, revision); err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		return fmt.Errorf("compact before revision %d: %w", revision, err)
	}
	return nil
}
