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
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ErrFull is wrapped by errors of writes that the store's quota does not allow, ErrEtcdFull, which wraps it, by those that the quota of
// an etcd elsewhere does not, in which room is its operators' to make; and ErrTooLarge by those that are larger than such an etcd takes.
var (
	ErrFull     = errors.New("store is full")
	ErrEtcdFull = fmt.Errorf("%w: so says the etcd that it lies in", ErrFull)
	ErrTooLarge = errors.New("larger than etcd takes at once")
)

// putBytes is what a put costs beside its body.
const putBytes = 256

// checkRoom refuses puts of so many bytes that the quota does not allow, and has room made for the next. The engine knows a quota of
// its own (engineQuota), which is larger: below it, what is deleted, and changes of the role, go through when nothing else does. An etcd
// elsewhere has its own alone.
func (s *Store) checkRoom(bytes int64) error {
	if bytes == 0 || s.etcd == nil {
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
	switch {
	case saysFull(err) && s.etcd == nil:
		return fmt.Errorf("%w: %w", ErrEtcdFull, err)
	case saysFull(err):
		s.wantRoom()
		return fmt.Errorf("%w: %w", ErrFull, err)
	case saysTooLarge(err):
		return fmt.Errorf("%w: %w", ErrTooLarge, err)
	}
	return err
}

func saysFull(err error) bool {
	return errors.Is(err, rpctypes.ErrGRPCNoSpace) || errors.Is(err, rpctypes.ErrNoSpace)
}

func saysTooLarge(err error) bool {
	return errors.Is(err, rpctypes.ErrTooManyOps) || errors.Is(err, rpctypes.ErrRequestTooLarge) || status.Code(err) == codes.ResourceExhausted
}

// settled asks how a transaction ended, if etcd said that it takes too long or that there is no room: it says both of some that it
// carries out; or if it said nothing. Then one that is not made yet may still be, as members hand it on to the one that leads: the error
// stands.
func settled(revision int64, err error, ask func() (int64, error)) (int64, error) {
	open := saysFull(err) || errors.Is(err, ErrNoQuorum)
	if !open && !errors.Is(err, rpctypes.ErrTimeout) {
		return revision, err
	}
	made, asked := ask()
	if open && made == 0 && asked == nil {
		return 0, err
	}
	return made, asked
}

// Size returns how many bytes entities and history take, as of the last half second, and how many they may. Of an etcd elsewhere
// neither is known.
func (s *Store) Size() (used, quota int64) {
	if s.etcd == nil {
		return 0, 0
	}
	return s.etcd.Server.Backend().SizeInUse(), s.quota
}

// alarms returns what says that the engine, that of any member, has reached its own quota: then it refuses whatever puts anything, until
// the alarm is taken back.
func (s *Store) alarms() []*etcdserverpb.AlarmMember {
	return slices.DeleteFunc(s.etcd.Server.Alarms(), func(a *etcdserverpb.AlarmMember) bool {
		return a.Alarm != etcdserverpb.AlarmType_NOSPACE
	})
}

// makeRoom gives history up, the older half first, until the store takes no more than half of its quota, and takes alarms back, also
// that of a member that is gone: if it still holds, it is raised again. Entities are not touched: if they alone take more, what still
// fits is taken, and so are deletes.
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
	for _, alarm := range s.alarms() {
		if _, err := s.kv.AlarmDisarm(ctx, (*clientv3.AlarmMember)(alarm)); err != nil {
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
