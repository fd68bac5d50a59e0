package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"gwdr/gateway"
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
	h, err := s.open(ctx)
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	kinds := []gateway.Kind{only}
	if only == "" {
		if kinds, err = s.kindsAt(ctx, h.Revision); err != nil {
			return fmt.Errorf("read state: %w", err)
		}
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

// open returns what a read shows that begins now.
func (s *Store) open(ctx context.Context) (h gateway.Header, err error) {
	h.Time = time.Now().UTC()
	id, head, err := s.page(ctx, span{from: keyStore})
	h.Epoch, h.Revision = s.Role().Epoch, head
	if len(id) > 0 {
		h.Store = string(id[0].Value)
	}
	return h, err
}

// kindsAt returns the kinds that there are, in reference order. It looks for the kinds themselves, as a store may hold some that this
// version does not know: copied from a newer leader.
func (s *Store) kindsAt(ctx context.Context, revision int64) (kinds []gateway.Kind, err error) {
	end := clientv3.GetPrefixRangeEnd(entities)
	for from := entities; ; {
		first, _, err := s.page(ctx, span{from: from, end: end, revision: revision, limit: 1, keys: true})
		if err != nil {
			return nil, err
		}
		if len(first) == 0 {
			slices.SortFunc(kinds, gateway.Kind.Compare)
			return kinds, nil
		}
		k := item(first[0]).Kind
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
	page, _, err = p.page(ctx, span{from: p.next, end: clientv3.GetPrefixRangeEnd(prefixOf(p.kind)), revision: p.revision, limit: p.limit})
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

// whileOpen keeps Close waiting until the read is done: the engine's memory is that of its file, and gone with it.
func (s *Store) whileOpen(read func() error) error {
	s.reading.RLock()
	defer s.reading.RUnlock()
	if s.closed || s.etcd != nil && isClosed(s.etcd.Server.StoppingNotify()) {
		return errClosed
	}
	return read()
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
