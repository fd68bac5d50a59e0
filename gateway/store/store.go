// Package store keeps the bundled gateway's configuration in etcd: entities byte for byte, one revision per transaction, a
// consistent snapshot, and a watch that never splits a revision. The etcd is a single member embedded in the process, an embedded
// member of a cluster, or one that runs elsewhere.
//
// Beside the entities it keeps who this store is (a random id that a wipe cannot imitate), whether it takes writes, and
// the epoch that tells an old leader from a new one. Every write is conditional on that mode, in the same transaction.
package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"

	"gwdr/gateway"
)

// Keys. An entity lies under entities + kind + "/" + id; a kind holds no slash, an id may.
const (
	keys       = "/gwdr/"
	entities   = "/gwdr/e/"
	keyStore   = "/gwdr/meta/store"   // the store's id
	keyMode    = "/gwdr/meta/mode"    // Role as JSON
	keyApplied = "/gwdr/meta/applied" // Origin as JSON
	keyHead    = "/gwdr/meta/head"    // empty; its revision is that of the last change of any entity
	keyBulk    = "/gwdr/meta/bulk"    // random; its revision is that of the last transaction of Apply or Replicate
	keyNone    = "/gwdr/meta/none"    // is never there
)

// ErrInUse is wrapped by the errors of Open and Lock when another process has the state directory.
var ErrInUse = errors.New("state directory is in use by another process")

// Options say how a store is opened.
type Options struct {
	Dir      string       // state directory: etcd lies in Dir/store, the store's identity in Dir/store-id
	Locked   bool         // the caller has Lock of Dir, and keeps it until after Close
	Follower bool         // a store that is new starts as a follower without a leader, not as a leader
	Quota    int64        // bytes that entities and history may take; 0: 4 GiB. An etcd that runs elsewhere has its own
	Etcd     *Etcd        // the etcd that runs elsewhere; nil: it is embedded
	Cluster  *Cluster     // the cluster that the embedded etcd is a member of; nil: it is the only one
	Log      *slog.Logger // nil discards
}

// Store is an open store. It is safe for concurrent use.
type Store struct {
	dir   string
	log   *slog.Logger
	quota int64
	lock  io.Closer
	etcd  *embed.Etcd // nil: it runs elsewhere
	kv    *clientv3.Client
	slow  clientv3.KV // kv with the patience that large transactions take
	past  past

	cluster *Cluster          // nil: the embedded etcd is the only member, or it runs elsewhere
	shared  bool              // other processes write to the store, too
	reads   clientv3.OpOption // how a read sees every acknowledged write at the least cost
	quorate atomic.Bool       // a quorum answered when it was last asked

	state atomic.Pointer[known]

	mu    sync.Mutex // serialises changes of the role
	fresh bool

	watching sync.Mutex
	changed  chan struct{} // closed when the store's identity changes: watches end. Guarded by watching

	bulk sync.Mutex // held while Apply or Replicate writes

	reading sync.RWMutex // held for reading while the engine's memory is read
	closed  bool         // guarded by reading

	unseen  atomic.Int64       // bytes that were put since the engine was made to count
	tight   chan struct{}      // has something in it when a write found no room
	tending sync.WaitGroup     // what goes on in the background
	stop    context.CancelFunc // ends tending

	closing  sync.Once
	closeErr error
}

// known is what this process knows about the store. Where others write to it, too, it is looked up again and again.
type known struct {
	id     string
	role   Role
	rev    int64 // revision of keyMode: every write is conditional on it
	origin Origin
}

// Open starts the store in o.Dir, which is created if need be. A store whose identity file remains while etcd was
// emptied opens in gateway.ModeBlank. The error wraps ErrInUse if another process has the directory.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("create state directory: %w", err)
	}
	held := io.Closer(io.NopCloser(nil))
	if !o.Locked {
		lock, err := Lock(o.Dir)
		if err != nil {
			return nil, err
		}
		held = lock
	}
	s := &Store{dir: o.Dir, log: o.Log, quota: cmp.Or(o.Quota, defaultQuota), lock: held,
		changed: make(chan struct{}), tight: make(chan struct{}, 1)}
	if err := s.start(ctx, o); err != nil {
		held.Close()
		return nil, err
	}
	var background context.Context
	background, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	if err := s.settle(ctx, o.Follower); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.tend(background)
	return s, nil
}

// start starts the engine, or connects to it.
func (s *Store) start(ctx context.Context, o Options) (err error) {
	if o.Etcd != nil {
		return s.connect(o.Etcd)
	}
	config := etcdConfig(filepath.Join(o.Dir, "store"), s.quota, o.Log)
	if o.Cluster != nil {
		if err := s.joins(o.Cluster, config); err != nil {
			return err
		}
	}
	if s.etcd, err = startEtcd(config); err != nil {
		return err
	}
	if err = s.checkMembership(); err == nil {
		err = s.awaitEtcd(ctx, o.Cluster != nil)
	}
	if err != nil {
		s.etcd.Close()
		return err
	}
	s.kv, s.past = v3client.New(s.etcd.Server), inProcess{s}
	s.slow, s.reads = s.kv, clientv3.WithSerializable()
	if o.Cluster != nil {
		s.share()
	}
	return nil
}

// tend begins what goes on in the background until Close.
func (s *Store) tend(ctx context.Context) {
	if s.etcd != nil {
		s.tending.Go(func() { s.retain(ctx) })
	}
	if s.shared {
		s.tending.Go(func() { s.attend(ctx) })
	}
}

// Close stops the store. Everything acknowledged is on disk already. A second Close does nothing.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.stop()
		s.tending.Wait()
		err := s.kv.Close()
		if errors.Is(err, context.Canceled) { // what it returns for having stopped
			err = nil
		}
		s.reading.Lock()
		s.closed = true
		s.reading.Unlock()
		if s.etcd != nil {
			s.etcd.Close()
		}
		s.closeErr = errors.Join(err, s.lock.Close())
	})
	return s.closeErr
}

// Stopped returns a channel that is closed when an embedded etcd ended by itself, for instance because the disk failed.
func (s *Store) Stopped() <-chan struct{} {
	if s.etcd == nil {
		return nil
	}
	return s.etcd.Server.StopNotify()
}

// Fresh reports whether Open made the store.
func (s *Store) Fresh() bool { return s.fresh }

// ID returns the store's random identity, or "" while the store is blank.
func (s *Store) ID() string { return s.state.Load().id }

// key returns the etcd key of an entity.
func key(r gateway.Ref) string { return entities + string(r.Kind) + "/" + r.ID }

// Remains reports whether there is a store, or what is left of one, in the state directory.
func Remains(dir string) (bool, error) {
	for _, name := range []string{"store", "store-id"} {
		_, err := os.Lstat(filepath.Join(dir, name))
		if !errors.Is(err, fs.ErrNotExist) {
			return err == nil, err
		}
	}
	return false, nil
}

// Discard removes the store from the state directory, for good. Nobody may have it open.
func Discard(dir string) error {
	// The identity goes first: a store without one is new, an identity without its store would wait for a restore.
	for _, name := range []string{"store-id", "store"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return fmt.Errorf("discard store: %w", err)
		}
	}
	return syncDir(dir)
}
