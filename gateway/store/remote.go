package store

import (
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.uber.org/zap"
)

// Etcd is an etcd that runs elsewhere, of version 3.4 or later; of 3.5.7 or later for entities above logBytes. It is not compacted from
// here: how long the past is known is its operators' to say.
type Etcd struct {
	Endpoints      []string    // URLs of its members
	Prefix         string      // comes before all keys, so that several gateways can share it
	TLS            *tls.Config // nil: that of the system, for URLs with https
	User, Password string      // no user: none is told
}

// connect makes the store one that lies in an etcd elsewhere. Nobody need answer yet.
func (s *Store) connect(e *Etcd) error {
	kv, err := clientv3.New(clientv3.Config{
		Endpoints: e.Endpoints, TLS: e.TLS, Username: e.User, Password: e.Password,
		DialTimeout: bulkWithin, DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: answerWithin,
		MaxCallSendMsgSize: 2 * maxRequestBytes, Logger: zap.New(zapBridge{s.log}),
	})
	if err != nil {
		return fmt.Errorf("connect to etcd: %w", unanswered(err))
	}
	kv.KV, kv.Watcher = namespace.NewKV(kv.KV, e.Prefix), namespace.NewWatcher(kv.Watcher, e.Prefix)
	s.kv, s.past = kv, byClient{s}
	s.share()
	return nil
}

// An etcd before 3.5.7 does not start again with more than 10 MiB in one piece of its log, though it takes that
// (https://github.com/etcd-io/etcd/issues/14025, /15069).
const logBytes = 10_000_000

// checkLog refuses puts of so many bytes that a member of an etcd elsewhere could not read again. Of one that does not answer nothing is
// known.
func (s *Store) checkLog(ctx context.Context, bytes int64) error {
	if bytes <= logBytes || s.etcd != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	for _, url := range s.kv.Endpoints() {
		if status, err := s.kv.Status(ctx, url); err == nil && !readsLarge(status.Version) {
			return fmt.Errorf("%w: the etcd at %s is of version %s, and would not start again with %d bytes in its log: 3.5.7 does",
				ErrTooLarge, url, status.Version, bytes)
		}
	}
	return nil
}

// readsLarge reports whether etcd of the version starts with more than logBytes in one piece of its log.
func readsLarge(version string) bool {
	at := make([]int, 3)
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &at[0], &at[1], &at[2]); err != nil {
		return true // nobody knows
	}
	return slices.Compare(at, []int{3, 5, 7}) >= 0
}
