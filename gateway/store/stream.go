package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/pkg/v3/traceutil"
	"go.etcd.io/etcd/server/v3/storage/mvcc"

	"gwdr/gateway"
)

// Bounds on what is read at a time. A client of etcd would have it count all that is left for each page, which takes ever
// longer the more there is; so pages are read from the engine itself.
const (
	pageBytes = 512 << 10
	pageMost  = 256 // entities, as their sizes are not known before
)

var _ gateway.Streamer = (*Store)(nil)

var errClosed = errors.New("store is closed")

// Stream implements gateway.Streamer: it reads the configuration at one revision, page by page. begin is called once the first
// page is there. The error wraps gateway.ErrCompacted if that revision was compacted before the end: read again.
func (s *Store) Stream(ctx context.Context, begin func(gateway.Header) error, each func(gateway.Entity) error) error {
	return s.stream(ctx, "", begin, each)
}

// StreamOf is Stream with only the entities of one kind.
func (s *Store) StreamOf(ctx context.Context, k gateway.Kind, begin func(gateway.Header) error, each func(gateway.Entity) error) error {
	return s.stream(ctx, k, begin, each)
}

func (s *Store) stream(ctx context.Context, only gateway.Kind, begin func(gateway.Header) error, each func(gateway.Entity) error) error {
	h, kinds, err := s.open(ctx)
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	if only != "" {
		kinds = []gateway.Kind{only}
	}
	begun := false
	for _, k := range kinds {
		p := pager{Store: s, revision: h.Revision, kind: k, next: prefixOf(k), limit: 1}
		for p.next != "" {
			page, err := p.read(ctx)
			if err != nil {
				return fmt.Errorf("read state: %w", err)
			}
			if !begun {
				if err := begin(h); err != nil {
					return err
				}
				begun = true
			}
			if err := p.pass(page, each); err != nil {
				return err
			}
		}
	}
	if !begun {
		return begin(h)
	}
	return nil
}

// open returns what a read shows that begins now, and the kinds that there are, in reference order.
func (s *Store) open(ctx context.Context) (h gateway.Header, kinds []gateway.Kind, err error) {
	h.Time = time.Now().UTC()
	err = s.inRead(func(tx mvcc.TxnRead) error {
		h.Epoch, h.Revision = s.Role().Epoch, tx.Rev()
		id, err := tx.Range(ctx, []byte(keyStore), nil, mvcc.RangeOptions{Rev: h.Revision})
		if err != nil {
			return err
		}
		if len(id.KVs) > 0 {
			h.Store = string(id.KVs[0].Value)
		}
		kinds, err = kindsIn(ctx, tx)
		return err
	})
	return h, kinds, err
}

// kindsIn looks for the kinds themselves, as a store may hold some that this version does not know: copied from a newer leader.
func kindsIn(ctx context.Context, tx mvcc.TxnRead) (kinds []gateway.Kind, err error) {
	end := []byte(clientv3.GetPrefixRangeEnd(entities))
	for from := entities; ; {
		first, err := tx.Range(ctx, []byte(from), end, mvcc.RangeOptions{Limit: 1, FastKeysOnly: true})
		if err != nil {
			return nil, err
		}
		if len(first.KVs) == 0 {
			slices.SortFunc(kinds, gateway.Kind.Compare)
			return kinds, nil
		}
		k := item(first.KVs[0]).Kind
		kinds = append(kinds, k)
		from = clientv3.GetPrefixRangeEnd(prefixOf(k))
	}
}

func prefixOf(k gateway.Kind) string { return entities + string(k) + "/" }

// pager reads the entities of one kind as they were at one revision. No transaction is open between two pages: whoever takes
// the entities may be slow.
type pager struct {
	*Store
	revision int64
	kind     gateway.Kind
	next     string // key at which the next page begins; empty: there is none
	limit    int64  // entities in the next page
}

func (p *pager) read(ctx context.Context) (page []*mvccpb.KeyValue, err error) {
	err = p.inRead(func(tx mvcc.TxnRead) error {
		found, err := tx.Range(ctx, []byte(p.next), []byte(clientv3.GetPrefixRangeEnd(prefixOf(p.kind))),
			mvcc.RangeOptions{Limit: p.limit, Rev: p.revision})
		if errors.Is(err, mvcc.ErrCompacted) {
			return fmt.Errorf("%w: revision %d was compacted meanwhile", gateway.ErrCompacted, p.revision)
		}
		if err == nil {
			page = found.KVs
		}
		return err
	})
	return page, err
}

// pass hands the page over, and decides from it on the next.
func (p *pager) pass(page []*mvccpb.KeyValue, each func(gateway.Entity) error) error {
	size, prefix := 1, len(prefixOf(p.kind))
	for _, kv := range page {
		size += len(kv.Value)
		if err := each(gateway.Entity{Ref: gateway.Ref{Kind: p.kind, ID: string(kv.Key[prefix:])}, Body: kv.Value}); err != nil {
			return err
		}
	}
	if int64(len(page)) < p.limit {
		p.next = ""
		return nil
	}
	p.next = string(page[len(page)-1].Key) + "\x00"
	p.limit = max(1, min(pageMost, 2*p.limit, pageBytes*p.limit/int64(size)))
	return nil
}

// inRead runs read in a transaction of the engine, unless the store is closed.
func (s *Store) inRead(read func(mvcc.TxnRead) error) error {
	return s.whileOpen(func() error {
		tx := s.etcd.Server.KV().Read(mvcc.ConcurrentReadTxMode, traceutil.TODO())
		defer tx.End()
		return read(tx)
	})
}

// whileOpen keeps Close waiting until the read is done: the engine's memory is that of its file, and gone with it.
func (s *Store) whileOpen(read func() error) error {
	s.reading.RLock()
	defer s.reading.RUnlock()
	select {
	case <-s.etcd.Server.StoppingNotify():
		return errClosed
	default:
	}
	if s.closed {
		return errClosed
	}
	return read()
}
