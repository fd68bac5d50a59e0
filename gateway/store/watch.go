package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"gwdr/gateway"
)

// ErrReplaced is returned by Watch when the store's identity changed: what was read before is another store's.
var ErrReplaced = errors.New("store was replaced")

// heartbeat is how often Watch calls each without changes, so that a reader tells silence from a dead connection.
const heartbeat = time.Second

// near is how many revisions are left to etcd to bring a watch up to date with.
const near = 64

// Watch calls each with every revision after from that changed entities, in order and never in parts, and without
// changes at once and then each second. It ends with ctx, with the first error of each, or with an error that wraps gateway.ErrCompacted when
// the changes after from are no longer known (or never were: the store is older than from), or if this is not the store of the
// id; an empty one is any's. Then read State again.
func (s *Store) Watch(ctx context.Context, store string, from int64, each func(gateway.Batch) error) error {
	changed := s.identityChange() // before the id is looked at: whatever comes between ends the watch
	if err := s.remembers(ctx, store, from); err != nil {
		return fmt.Errorf("watch from revision %d: %w", from, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := watch{Store: s, last: from, each: each}
	if err := w.catchUp(ctx, changed); err != nil {
		return fmt.Errorf("watch after revision %d: %w", w.last, err)
	}
	responses := s.kv.Watch(clientv3.WithRequireLeader(ctx), entities, clientv3.WithPrefix(), clientv3.WithRev(w.last+1))
	return w.run(ctx, responses, changed)
}

// remembers reports why the changes after the revision are not known.
func (s *Store) remembers(ctx context.Context, store string, from int64) error {
	_, head, err := s.page(ctx, span{from: keyNone, revision: from})
	if err == nil {
		err = checkFrom(store, from, gateway.Header{Store: s.ID(), Revision: head})
	}
	return err
}

type watch struct {
	*Store
	last int64 // newest revision that was passed on
	each func(gateway.Batch) error
}

// catchUp passes on what is past.
func (w *watch) catchUp(ctx context.Context, changed <-chan struct{}) error {
	if err := w.each(gateway.Batch{Revision: w.last}); err != nil {
		return err
	}
	for first := true; ; first = false {
		head, err := w.head(ctx)
		if err != nil || !first && head-w.last <= near {
			return err
		}
		err = w.past.history(ctx, w.last, head, func(b gateway.Batch) error {
			select {
			case <-changed:
				return ErrReplaced
			default:
			}
			err := w.each(b)
			if err == nil {
				w.last = b.Revision
			}
			return err
		})
		if err != nil {
			return err
		}
		w.last = head
	}
}

func (w *watch) run(ctx context.Context, responses clientv3.WatchChan, changed <-chan struct{}) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	var err error
	for {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("watch after revision %d: %w", w.last, err)
		}
		select {
		case resp, open := <-responses:
			if err = w.pass(resp, math.MaxInt64); !open {
				err = errClosed
			}
		case <-beat.C:
			if err = w.silence(); err == nil {
				err = w.each(gateway.Batch{Revision: w.last})
			}
		case <-changed:
			err = ErrReplaced
		case <-ctx.Done():
		}
	}
}

// pass hands over the events of a response, which holds whole revisions, one batch for each revision up to to.
func (w *watch) pass(resp clientv3.WatchResponse, to int64) error {
	if resp.CompactRevision != 0 {
		return fmt.Errorf("%w: compacted at %d", gateway.ErrCompacted, resp.CompactRevision)
	}
	if err := resp.Err(); err != nil {
		return unanswered(err)
	}
	for events := resp.Events; len(events) > 0; {
		rev, n := events[0].Kv.ModRevision, 1
		for n < len(events) && events[n].Kv.ModRevision == rev {
			n++
		}
		if rev > to {
			return nil
		}
		if b := batch(rev, events[:n]); len(b.Changes) > 0 {
			if err := w.each(b); err != nil {
				return err
			}
		}
		w.last, events = rev, events[n:]
	}
	return nil
}

func batch(rev int64, events []*clientv3.Event) gateway.Batch {
	b := gateway.Batch{Revision: rev, Changes: make([]gateway.Change, 0, len(events))}
	for _, e := range events {
		if strings.HasPrefix(string(e.Kv.Key), entities) {
			b.Changes = append(b.Changes, change(e.Kv, e.Type == clientv3.EventTypeDelete))
		}
	}
	return b
}

// change returns what a revision did to an entity.
func change(kv *mvccpb.KeyValue, deleted bool) gateway.Change {
	c := gateway.Change{Op: gateway.Update, Entity: item(kv).Entity}
	switch {
	case deleted:
		c = gateway.Change{Op: gateway.Delete, Entity: gateway.Entity{Ref: c.Entity.Ref}}
	case kv.CreateRevision == kv.ModRevision:
		c.Op = gateway.Create
	}
	return c
}

// identityChange returns a channel that is closed when the store is another one.
func (s *Store) identityChange() <-chan struct{} {
	s.watching.Lock()
	defer s.watching.Unlock()
	return s.changed
}

// endWatches makes every Watch return ErrReplaced.
func (s *Store) endWatches() {
	s.watching.Lock()
	defer s.watching.Unlock()
	close(s.changed)
	s.changed = make(chan struct{})
}

// AwaitContent waits until the store is not blank.
func (s *Store) AwaitContent(ctx context.Context) error {
	for {
		changed := s.identityChange()
		if s.ID() != "" {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("store waits for a restore: %w", ctx.Err())
		}
	}
}

// Compact forgets the history before the revision.
func (s *Store) Compact(ctx context.Context, revision int64) error {
	if _, err := s.kv.Compact(ctx, revision); err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		return fmt.Errorf("compact before revision %d: %w", revision, err)
	}
	return nil
}
