package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"

	"gwdr/gateway"
	"gwdr/gateway/store"
)

var errEnough = errors.New("enough")

// collect returns the batches with changes after from, up to the revision. It calls late once, when all of the past is there.
func collect(ctx context.Context, s *store.Store, from, to int64, late ...func()) (batches []gateway.Batch, err error) {
	err = s.Watch(ctx, "", from, func(b gateway.Batch) error {
		if len(late) > 0 && b.Revision == to-1 {
			late[0]()
			late = nil
		}
		if len(b.Changes) > 0 {
			batches = append(batches, b)
		}
		if b.Revision >= to {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return batches, err
}

// A state followed through the watch is the state read at the end, wherever the watch resumes.
func TestWatchResumes(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	ctx := t.Context()
	start, follower := state(t, s)
	put(t, s, entity(gateway.Route, "a", "1"))
	if _, _, err := s.Apply(ctx, creates(gateway.Key, 1000, "{}"), gateway.Bulk{}); err != nil {
		t.Fatal(err)
	}
	put(t, s, entity(gateway.Route, "a", "2"))
	if _, _, err := s.Delete(ctx, gateway.Ref{Kind: gateway.Key, ID: "000007"}, gateway.Condition{}); err != nil {
		t.Fatal(err)
	}
	end, want := state(t, s)
	all, err := collect(ctx, s, start.Revision, end.Revision)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 4 || len(all[1].Changes) != 1000 {
		t.Fatalf("%d batches, the bulk one with %d changes", len(all), len(all[1].Changes))
	}
	if diff := cmp.Diff([]gateway.Op{gateway.Create, gateway.Update, gateway.Delete},
		[]gateway.Op{all[0].Changes[0].Op, all[2].Changes[0].Op, all[3].Changes[0].Op}); diff != "" {
		t.Error(diff)
	}
	for i, b := range all {
		for _, c := range b.Changes {
			follower.Apply(c)
		}
		rest, err := collect(ctx, s, b.Revision, end.Revision)
		if i == len(all)-1 {
			break
		}
		if diff := cmp.Diff(all[i+1:], rest); diff != "" || err != nil {
			t.Fatalf("resumed after %d: %v %s", b.Revision, err, diff)
		}
	}
	if follower.Digest() != want.Digest() {
		t.Error("the followed state differs from the state read")
	}
}

func TestWatchHeartbeat(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	h, _ := state(t, s)
	err := s.Watch(t.Context(), "", h.Revision, func(b gateway.Batch) error {
		if len(b.Changes) > 0 || b.Revision != h.Revision {
			t.Errorf("heartbeat %+v at revision %d", b, h.Revision)
		}
		return errEnough
	})
	if !errors.Is(err, errEnough) {
		t.Error(err)
	}
}

func TestWatchOfTheUnknown(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	first := put(t, s, entity(gateway.Route, "a", "1"))
	put(t, s, entity(gateway.Route, "a", "2"))
	last := put(t, s, entity(gateway.Route, "a", "3"))
	if err := s.Compact(t.Context(), last); err != nil {
		t.Fatal(err)
	}
	for _, from := range []int64{first, last + 1} {
		if _, err := collect(t.Context(), s, from, last); !errors.Is(err, gateway.ErrCompacted) {
			t.Errorf("watch from %d: %v", from, err)
		}
	}
	if _, err := s.Since(t.Context(), first); !errors.Is(err, gateway.ErrCompacted) {
		t.Errorf("since %d: %v", first, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Watch(ctx, "", last, func(gateway.Batch) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled watch: %v", err)
	}
}

func TestSince(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	put(t, s, entity(gateway.Route, "before", "1"))
	from := put(t, s, entity(gateway.Route, "gone", "1"))
	put(t, s, entity(gateway.Route, "twice", "1"))
	put(t, s, entity(gateway.Route, "twice", "2"))
	if _, _, err := s.Delete(t.Context(), gateway.Ref{Kind: gateway.Route, ID: "gone"}, gateway.Condition{}); err != nil {
		t.Fatal(err)
	}
	got, err := s.Since(t.Context(), from)
	want := []gateway.Change{
		{Op: gateway.Delete, Entity: gateway.Entity{Ref: gateway.Ref{Kind: gateway.Route, ID: "gone"}}},
		{Op: gateway.Update, Entity: entity(gateway.Route, "twice", "2")},
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(err, diff)
	}
	head, _ := state(t, s)
	if got, err := s.Since(t.Context(), head.Revision); len(got) > 0 || err != nil {
		t.Errorf("since the head: %v, %v", got, err)
	}
}

// However many entities change, whoever watches or reads sees all of it at once.
func TestSwitchIsWatchedWhole(t *testing.T) {
	s, ctx := open(t, store.Options{Dir: t.TempDir()}), t.Context()
	put(t, s, entity(gateway.Route, "a", "1"))
	for n := range 2 {
		before, now := state(t, s)
		changes := gateway.Diff(now, version(n))
		applied, revision, err := s.Apply(ctx, changes, gateway.Bulk{Base: before.Revision, Restore: true})
		if err != nil || applied != len(changes) || revision != before.Revision+1 {
			t.Fatalf("%d of %d at revision %d after %d: %v", applied, len(changes), revision, before.Revision, err)
		}
		watched, err := collect(ctx, s, before.Revision, revision)
		if err != nil || len(watched) != 1 || len(watched[0].Changes) != len(changes) {
			t.Errorf("watched %d batches, %v", len(watched), err)
		}
	}
}

// What etcd did not wait for is looked up afterwards, whatever was written since.
func TestBulkIsSettled(t *testing.T) {
	s, ctx := open(t, store.Options{Dir: t.TempDir()}), t.Context()
	_, made, err := s.Apply(ctx, creates(gateway.Key, 10, "{}"), gateway.Bulk{})
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, entity(gateway.Route, "a", "1"))
	before, _ := state(t, s)
	if got, err := s.Settle(ctx, s.BulkTag(ctx)); err != nil || got != made {
		t.Errorf("revision %d, %v, want %d", got, err, made)
	}
	if got, err := s.Settle(ctx, "another"); err != nil || got != 0 {
		t.Errorf("a transaction that was refused has revision %d, %v", got, err)
	}
	if after, _ := state(t, s); after.Revision != before.Revision {
		t.Error("looking made a revision")
	}
}

// A transaction that nobody answered to and that is not made yet may still be: nobody says that it is not.
func TestUnknownOutcome(t *testing.T) {
	for _, c := range []struct {
		said error
		made int64
		want error
	}{
		{store.ErrNoQuorum, 0, store.ErrNoQuorum},
		{store.ErrNoQuorum, 7, nil},
		{rpctypes.ErrNoSpace, 0, rpctypes.ErrNoSpace},
		{rpctypes.ErrTimeout, 0, nil}, // of the only member, which carries out what it is asked in order
	} {
		made, err := store.Settled(0, c.said, func() (int64, error) { return c.made, nil })
		if made != c.made || !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%v, and %d is made: %d, %v", c.said, c.made, made, err)
		}
	}
}

// etcd bounds a request by all of its bytes, long ids among them.
func TestLongIDs(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	put(t, s, entity(gateway.Route, "a", "1"))
	var changes []gateway.Change
	for i := range 110_000 {
		changes = append(changes, gateway.Change{Op: gateway.Create, Entity: entity(gateway.Key, fmt.Sprintf("%0500d", i), strings.Repeat("b", 100))})
	}
	if applied, _, err := s.Apply(t.Context(), changes, gateway.Bulk{}); err != nil || applied != len(changes) {
		t.Errorf("%d of %d: %v", applied, len(changes), err)
	}
}

// Revisions of one store are none of another's.
func TestWatchOfAnotherStore(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	put(t, s, entity(gateway.Setting, "a", "1"))
	h, _ := state(t, s)
	never := func(gateway.Batch) error { return errors.New("it was told something") }
	if err := s.Watch(t.Context(), "0123456789abcdef0123456789abcdef", h.Revision, never); !errors.Is(err, gateway.ErrCompacted) {
		t.Errorf("another store: %v", err)
	}
	if err := s.Watch(t.Context(), h.Store, h.Revision, never); err == nil || !strings.Contains(err.Error(), "told something") {
		t.Errorf("this store: %v", err)
	}
}
