package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"gwdr/gateway"
	"gwdr/gateway/store"
)

const smallQuota = 16 << 20

// fill puts bodies of 1 MiB until the store is full, and returns what was acknowledged.
func fill(t *testing.T, s *store.Store, id func(n int) string) *gateway.State {
	t.Helper()
	acked := gateway.NewState()
	for n := range 100 {
		e := entity(gateway.Spec, id(n), fmt.Sprintf("%d %s", n, strings.Repeat("x", 1<<20)))
		_, _, err := s.Put(t.Context(), e, gateway.Condition{})
		if errors.Is(err, store.ErrFull) {
			return acked
		}
		if err != nil {
			t.Fatal(err)
		}
		acked.Put(e)
	}
	t.Fatal("store does not know its quota")
	return nil
}

// holds checks that all that was acknowledged is there.
func holds(t *testing.T, s *store.Store, acked *gateway.State) {
	t.Helper()
	if _, got := state(t, s); got.Digest() != acked.Digest() {
		t.Errorf("there is %v, acknowledged was %v", got.Refs(), acked.Refs())
	}
}

// What does not fit is refused, and nobody who reads notices. Deletes and changes of the role go through. Once there is room, writes do,
// and nothing is lost.
func TestFullStoreRefusesWhatDoesNotFit(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	s := open(t, store.Options{Dir: dir, Quota: smallQuota})
	s.StopRetaining()
	acked := fill(t, s, func(n int) string { return fmt.Sprint(n % 3) })
	h, _ := state(t, s)
	large := entity(gateway.Spec, "large", strings.Repeat("y", 4<<20))
	if _, _, err := s.Put(ctx, large, gateway.Condition{}); !errors.Is(err, store.ErrFull) {
		t.Errorf("put: %v", err)
	}
	changes := []gateway.Change{{Op: gateway.Create, Entity: large}}
	if n, _, err := s.Apply(ctx, changes, gateway.Bulk{}); n != 0 || !errors.Is(err, store.ErrFull) {
		t.Errorf("apply: %d, %v", n, err)
	}
	if now, _ := state(t, s); now.Revision != h.Revision {
		t.Errorf("revision %d became %d", h.Revision, now.Revision)
	}
	gone := gateway.Ref{Kind: gateway.Spec, ID: "1"}
	if _, _, err := s.Delete(ctx, gone, gateway.Condition{}); err != nil {
		t.Errorf("delete: %v", err)
	}
	acked.Delete(gone)
	holds(t, s, acked)
	if err := s.MakeRoom(ctx); err != nil {
		t.Fatal(err)
	}
	put(t, s, large)
	acked.Put(large)
	holds(t, s, acked)
	if err := s.Fence(ctx, "http://other", 9); err != nil {
		t.Errorf("fence: %v", err)
	}
	holds(t, reopen(t, s, store.Options{Dir: dir, Quota: smallQuota}), acked)
}

// If the engine reaches its own quota nevertheless, it raises an alarm, and all writes fail until that is taken back, as it is once there
// is room.
func TestAlarmOfTheEngine(t *testing.T) {
	s, ctx := open(t, store.Options{Dir: t.TempDir(), Quota: smallQuota}), t.Context()
	s.StopRetaining()
	kept := entity(gateway.Route, "r", "{}")
	put(t, s, kept)
	if err := s.Overfill(ctx); err == nil || !s.Alarmed() {
		t.Fatalf("alarmed %t: %v", s.Alarmed(), err)
	}
	for name, write := range map[string]func() error{
		"put":    func() error { _, _, err := s.Put(ctx, kept, gateway.Condition{}); return err },
		"delete": func() error { _, _, err := s.Delete(ctx, kept.Ref, gateway.Condition{}); return err },
		"apply":  func() error { _, _, err := s.Apply(ctx, creates(gateway.Key, 3, "{}"), gateway.Bulk{}); return err },
		"role":   func() error { return s.Fence(ctx, "http://other", 9) },
	} {
		if err := write(); !errors.Is(err, store.ErrFull) {
			t.Errorf("%s: %v", name, err)
		}
	}
	holds(t, s, gateway.NewState(kept))
	if err := s.MakeRoom(ctx); err != nil || s.Alarmed() {
		t.Fatalf("alarmed %t, %v", s.Alarmed(), err)
	}
	if used, quota := s.Size(); used > quota/2 || quota != smallQuota {
		t.Errorf("%d bytes of %d are in use", used, quota)
	}
	put(t, s, kept)
	if err := s.Fence(ctx, "http://other", 9); err != nil {
		t.Errorf("fence: %v", err)
	}
	holds(t, s, gateway.NewState(kept))
}

// The alarm outlives the process. What opens the store next makes room, unasked.
func TestFullStoreIsOpened(t *testing.T) {
	dir := t.TempDir()
	s := open(t, store.Options{Dir: dir, Quota: smallQuota})
	s.StopRetaining()
	acked := fill(t, s, func(n int) string { return fmt.Sprint(n % 3) })
	if err := s.Overfill(t.Context()); err == nil || !s.Alarmed() {
		t.Fatalf("alarmed %t: %v", s.Alarmed(), err)
	}
	s = reopen(t, s, store.Options{Dir: dir, Quota: smallQuota})
	more := entity(gateway.Route, "r", "{}")
	acked.Put(more)
	insist(t, s, more)
	holds(t, s, acked)
}

// Where entities alone reach the quota, no history can make room: what fits is taken, what does not is refused, and deletes help.
func TestEntitiesAloneFillTheStore(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir(), Quota: smallQuota})
	acked := fill(t, s, func(n int) string { return fmt.Sprint(n) })
	small := entity(gateway.Route, "r", "{}")
	insist(t, s, small)
	acked.Put(small)
	large := entity(gateway.Spec, "large", strings.Repeat("z", 4<<20))
	if _, _, err := s.Put(t.Context(), large, gateway.Condition{}); !errors.Is(err, store.ErrFull) {
		t.Errorf("what does not fit: %v", err)
	}
	insist(t, s, small)
	for n := range 8 {
		gone := gateway.Ref{Kind: gateway.Spec, ID: fmt.Sprint(n)}
		if _, _, err := s.Delete(t.Context(), gone, gateway.Condition{}); err != nil {
			t.Fatal(err)
		}
		acked.Delete(gone)
	}
	insist(t, s, large)
	acked.Put(large)
	holds(t, s, acked)
}

// Writers and readers that go on while the store is full, again and again, lose nothing that was acknowledged; a read that takes too long
// is at worst told to begin anew.
func TestFullUnderLoad(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir(), Quota: smallQuota})
	acked, refused := gateway.NewState(), 0
	var mu sync.Mutex
	var writers, readers sync.WaitGroup
	for w := range 3 {
		writers.Go(func() {
			for n := range 40 {
				e := entity(gateway.Spec, fmt.Sprint(w), fmt.Sprintf("%d %s", n, strings.Repeat("x", 512<<10)))
				tries := insist(t, s, e)
				mu.Lock()
				acked.Put(e)
				refused += tries - 1
				mu.Unlock()
			}
		})
	}
	ctx, stop := context.WithCancel(t.Context())
	readers.Go(func() {
		for ctx.Err() == nil {
			err := s.Stream(ctx, func(gateway.Header) error { return nil }, func(gateway.Entity) error { return nil })
			if err != nil && ctx.Err() == nil && !errors.Is(err, gateway.ErrCompacted) {
				t.Error(err)
			}
		}
	})
	writers.Wait()
	stop()
	readers.Wait()
	if refused == 0 {
		t.Error("it was never full")
	}
	holds(t, s, acked)
}

// insist puts the entity, as soon as there is room, and returns how many tries that took.
func insist(t *testing.T, s *store.Store, e gateway.Entity) int {
	t.Helper()
	for n, deadline := 1, time.Now().Add(30*time.Second); ; n++ {
		_, _, err := s.Put(context.Background(), e, gateway.Condition{})
		if err == nil {
			return n
		}
		if !errors.Is(err, store.ErrFull) || time.Now().After(deadline) {
			t.Error(err)
			return n
		}
	}
}
