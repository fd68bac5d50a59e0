package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrNoQuorum is wrapped by errors of a store that is a cluster, or runs elsewhere, when too few of its members answer. It is not
// known then whether a change was made, or will be.
var ErrNoQuorum = errors.New("no quorum of the store's members answers")

// How long an answer is waited for, an election included; and one to a transaction of many changes.
const (
	answerWithin = 3 * time.Second
	bulkWithin   = 10 * time.Second
)

// Answers returns nil once the store shows here whatever was acknowledged before, and an error that wraps ErrNoQuorum if it does
// not. A store that is one embedded member always does.
func (s *Store) Answers(ctx context.Context) error {
	if !s.shared {
		return nil
	}
	_, err := s.kv.Get(ctx, keyMode, clientv3.WithKeysOnly())
	return err
}

// patient returns what large requests are made by, once somebody answers: to find that out takes less time than to wait for them.
func (s *Store) patient(ctx context.Context) (clientv3.KV, error) { return s.slow, s.Answers(ctx) }

// silence returns an error that wraps ErrNoQuorum if nothing is heard of changes because no quorum answers.
func (s *Store) silence() error {
	if s.shared && !s.quorate.Load() {
		return ErrNoQuorum
	}
	return nil
}

// bounded is a KV that does not wait for ever.
type bounded struct {
	clientv3.KV
	within time.Duration
}

func (b bounded) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	bound, cancel := context.WithTimeout(ctx, b.within)
	defer cancel()
	for {
		resp, err := b.KV.Get(bound, key, opts...)
		if errors.Is(err, rpctypes.ErrLeaderChanged) && bound.Err() == nil {
			continue
		}
		return resp, silent(ctx, bound, err)
	}
}

func (b bounded) Txn(ctx context.Context) clientv3.Txn {
	bound, cancel := context.WithTimeout(ctx, b.within)
	return &boundedTxn{Txn: b.KV.Txn(bound), asked: ctx, bound: bound, cancel: cancel}
}

func (b bounded) Compact(ctx context.Context, rev int64, opts ...clientv3.CompactOption) (*clientv3.CompactResponse, error) {
	bound, cancel := context.WithTimeout(ctx, b.within)
	defer cancel()
	resp, err := b.KV.Compact(bound, rev, opts...)
	return resp, silent(ctx, bound, err)
}

type boundedTxn struct {
	clientv3.Txn
	asked, bound context.Context // of whoever asked, and within the bound: they live as long as the transaction
	cancel       context.CancelFunc
}

func (t *boundedTxn) If(cs ...clientv3.Cmp) clientv3.Txn {
	t.Txn = t.Txn.If(cs...)
	return t
}

func (t *boundedTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	t.Txn = t.Txn.Then(ops...)
	return t
}

func (t *boundedTxn) Commit() (*clientv3.TxnResponse, error) {
	defer t.cancel()
	resp, err := t.Txn.Commit()
	return resp, silent(t.asked, t.bound, err)
}

// silent has an error wrap ErrNoQuorum if it says that nobody answered within the bound, though whoever asked still waits.
func silent(asked, bound context.Context, err error) error {
	if err == nil || asked.Err() != nil {
		return err
	}
	if bound.Err() != nil {
		return fmt.Errorf("%w: %w", ErrNoQuorum, err)
	}
	return unanswered(err)
}

// unanswered has an error wrap ErrNoQuorum if etcd, or the connection to it, says so.
func unanswered(err error) error {
	known, isEtcds := errors.AsType[rpctypes.EtcdError](err)
	if errors.Is(err, context.DeadlineExceeded) || isEtcds && known.Code() == codes.Unavailable || status.Code(err) == codes.Unavailable {
		return fmt.Errorf("%w: %w", ErrNoQuorum, err)
	}
	return err
}

// await returns the next response of a watch, unless it takes too long.
func await(ctx context.Context, responses clientv3.WatchChan) (clientv3.WatchResponse, error) {
	select {
	case resp, open := <-responses:
		if !open {
			return resp, errClosed
		}
		return resp, nil
	case <-time.After(answerWithin):
		return clientv3.WatchResponse{}, fmt.Errorf("%w: history is not read", ErrNoQuorum)
	case <-ctx.Done():
		return clientv3.WatchResponse{}, ctx.Err()
	}
}
