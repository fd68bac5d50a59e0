package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// ErrFull is wrapped by errors of writes that the store's quota does not allow.
var ErrFull = errors.New("store is full")

// putBytes is what a put costs beside its body.
const putBytes = 256

// checkRoom refuses puts of so many bytes that the quota does not allow, and has room made for the next. The engine knows a quota of
// its own (engineQuota), which is larger: below it, what is deleted, and changes of the role, go through when nothing else does.
func (s *Store) checkRoom(bytes int64) error {
	if bytes == 0 {
		return nil
	}
	return s.whileOpen(func() error {
		b := s.etcd.Server.Backend()
		if s.unseen.Add(bytes)+b.SizeInUse() > s.quota/4*3 { // what is in use is known as of the last commit
			b.ForceCommit()
			s.unseen.Store(bytes)
		}
		if used := b.SizeInUse(); used+bytes > s.quota {
			s.wantRoom()
			return fmt.Errorf("%w: %d bytes of %d are in use", ErrFull, used, s.quota)
		}
		return nil
	})
}

// wantRoom has room made soon.
func (s *Store) wantRoom() {
	select {
	case s.tight <- struct{}{}:
	default: // it is known
	}
}

// engineError translates what etcd says, and has room made where it has none.
func (s *Store) engineError(err error) error {
	if !saysFull(err) {
		return err
	}
	s.wantRoom()
	return fmt.Errorf("%w: %w", ErrFull, err)
}

func saysFull(err error) bool {
	return errors.Is(err, rpctypes.ErrGRPCNoSpace) || errors.Is(err, rpctypes.ErrNoSpace)
}

// settled asks how a transaction ended, if etcd said that it takes too long or that there is no room: it says both of some that it
// carries out.
func settled(revision int64, err error, ask func() (int64, error)) (int64, error) {
	full := saysFull(err)
	if !full && !errors.Is(err, rpctypes.ErrTimeout) {
		return revision, err
	}
	made, asked := ask()
	if full && made == 0 && asked == nil {
		return 0, err
	}
	return made, asked
}

// Size returns how many bytes entities and history take, as of the last half second, and how many they may.
func (s *Store) Size() (used, quota int64) { return s.etcd.Server.Backend().SizeInUse(), s.quota }

// alarmed reports whether the engine has reached its own quota: then it refuses whatever puts anything, until the alarm is taken back.
func (s *Store) alarmed() bool {
	return slices.ContainsFunc(s.etcd.Server.Alarms(), func(a *etcdserverpb.AlarmMember) bool {
		return a.Alarm == etcdserverpb.AlarmType_NOSPACE
	})
}

// makeRoom gives history up, the older half first, until the store takes no more than half of its quota, and takes the alarm back.
// Entities are not touched: if they alone take more, what still fits is taken, and so are deletes.
func (s *Store) makeRoom(ctx context.Context) error {
	before, err := s.extent()
	x := before
	for ; err == nil && x.used > s.keeps() && x.first < x.head; x, err = s.extent() {
		if err := s.forget(ctx, x.half()); err != nil {
			return err
		}
	}
	if err == nil && x.free() >= s.quota/8 {
		err = s.defragment()
	}
	if err != nil {
		return fmt.Errorf("make room: %w", err)
	}
	if s.alarmed() {
		member := &clientv3.AlarmMember{MemberID: uint64(s.etcd.Server.MemberID()), Alarm: etcdserverpb.AlarmType_NOSPACE}
		if _, err := s.kv.AlarmDisarm(ctx, member); err != nil {
			return fmt.Errorf("take the alarm back: %w", err)
		}
	}
	if x.first > before.first {
		s.log.Warn("store was full: history is given up", "quota", s.quota, "bytes_before", before.used, "bytes", x.used,
			"from_before", before.first, "from", x.first, "head", x.head)
	}
	return nil
}

// forget forgets the history before the revision, and waits until the engine knows what is free.
func (s *Store) forget(ctx context.Context, revision int64) error {
	_, err := s.kv.Compact(ctx, revision, clientv3.WithCompactPhysical())
	if err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		return fmt.Errorf("compact before revision %d: %w", revision, err)
	}
	return s.whileOpen(func() error {
		for range 2 { // what the first commit frees is counted by the next
			s.etcd.Server.Backend().ForceCommit()
		}
		return nil
	})
}

// defragment has the file written anew without what is free in it. Meanwhile nobody reads the store or writes to it: that takes
// some seconds for each GiB in use. A data plane has what it serves in its own memory.
func (s *Store) defragment() error {
	return s.whileOpen(func() error {
		b, begun := s.etcd.Server.Backend(), time.Now()
		before := b.Size()
		if err := b.Defrag(); err != nil {
			return fmt.Errorf("defragment store: %w", err)
		}
		s.log.Info("file of the store is written anew", "bytes_before", before, "bytes", b.Size(), "took", time.Since(begun))
		return nil
	})
}
