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

// past is how a store reads what happened, which as a client of etcd takes 20 times as long as from its memory. Pages at one revision
// are read by a client wherever etcd runs.
type past interface {
	// history calls each with every revision after from, up to to, that changed entities. The error wraps gateway.ErrCompacted if
	// not all of them are known.
	history(ctx context.Context, from, to int64, each func(gateway.Batch) error) error
}

var _, _ past = inProcess{}, byClient{}

// span is what a page is read of.
type span struct {
	from, end string // keys from from, and before end; no end: from alone
	revision  int64  // as they were then; 0: are now
	limit     int64  // pairs; 0: all
	keys      bool   // without the values
}

// Bounds on what is read at a time. For each page etcd counts all that is left, so pages are not too small.
const (
	pageBytes = 2 << 20
	pageMost  = 4096 // entities, as their sizes are not known before
)

// page returns the first pairs of a span, and the newest revision. The error wraps gateway.ErrCompacted if the span's revision is
// not known any more, or not yet.
func (s *Store) page(ctx context.Context, of span) (kvs []*mvccpb.KeyValue, head int64, err error) {
	options := []clientv3.OpOption{s.reads, clientv3.WithRev(of.revision), clientv3.WithLimit(of.limit)}
	if of.end != "" {
		options = append(options, clientv3.WithRange(of.end))
	}
	if of.keys {
		options = append(options, clientv3.WithKeysOnly())
	}
	var resp *clientv3.GetResponse
	err = s.whileOpen(func() error {
		resp, err = s.kv.Get(ctx, of.from, options...)
		return err
	})
	if err != nil {
		return nil, 0, forgotten(of.revision, err)
	}
	return resp.Kvs, resp.Header.Revision, nil
}

// forgotten has an error wrap gateway.ErrCompacted if it says that the revision is not known any more, or not yet.
func forgotten(revision int64, err error) error {
	if errors.Is(err, rpctypes.ErrCompacted) || errors.Is(err, rpctypes.ErrFutureRev) {
		return fmt.Errorf("%w: revision %d: %w", gateway.ErrCompacted, revision, err)
	}
	return err
}

// inProcess reads the past from the memory of the embedded etcd.
type inProcess struct{ *Store }

// byClient reads the past as any client of etcd does.
type byClient struct{ *Store }

// history implements past. A watch has no end of its own: the last change of any entity up to to is known from keyHead, which each
// of them writes.
func (b byClient) history(ctx context.Context, from, to int64, each func(gateway.Batch) error) error {
	if _, _, err := b.page(ctx, span{from: keyNone, revision: from}); err != nil {
		return err
	}
	marks, _, err := b.page(ctx, span{from: keyHead, revision: to})
	if err != nil || len(marks) == 0 || marks[0].ModRevision <= from {
		return err
	}
	w := watch{last: from, each: each}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	responses := b.kv.Watch(clientv3.WithRequireLeader(ctx), keys, clientv3.WithPrefix(), clientv3.WithRev(from+1))
	for w.last < marks[0].ModRevision {
		resp, err := await(ctx, responses)
		if err == nil {
			err = w.pass(resp, marks[0].ModRevision)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
