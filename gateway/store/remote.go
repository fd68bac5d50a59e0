package store

import (
	"crypto/tls"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.uber.org/zap"
)

// Etcd is an etcd that runs elsewhere, of version 3.4 or later. It is not compacted from here: how long the past is known is its
// operators' to say.
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
