package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gwdr/gateway"
	"gwdr/gateway/store"
)

// read streams the store.
func read(ctx context.Context, s *store.Store) (h gateway.Header, all []gateway.Entity, err error) {
	err = s.Stream(ctx, func(got gateway.Header) error { h = got; return nil }, func(e gateway.Entity) error {
		all = append(all, gateway.Entity{Ref: e.Ref, Body: bytes.Clone(e.Body)})
		return nil
	})
	return h, all, err
}

func refs(all []gateway.Entity) (refs []gateway.Ref) {
	for _, e := range all {
		refs = append(refs, e.Ref)
	}
	return refs
}

// A stream gives what State gives, in the order of its references, whatever the sizes and kinds.
func TestStreamIsTheState(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	if h, all, err := read(t.Context(), s); err != nil || len(all) != 0 || h.Store != s.ID() {
		t.Errorf("empty: %+v, %v, %v", h, all, err)
	}
	changes := creates(gateway.Key, 1300, "{}")
	for i := range 20 {
		changes = append(changes, gateway.Change{Op: gateway.Create, Entity: entity(gateway.Spec, fmt.Sprintf("s/%d", i), strings.Repeat("x", i*i*i*100))})
	}
	for _, id := range []string{"b", "a", "a/b", "a-b", "ü"} {
		changes = append(changes, gateway.Change{Op: gateway.Create, Entity: entity(gateway.Route, id, id)})
	}
	if _, _, err := s.Apply(t.Context(), changes, gateway.Bulk{}); err != nil {
		t.Fatal(err)
	}
	want, state := state(t, s)
	h, all, err := read(t.Context(), s)
	if err != nil || h.Store != want.Store || h.Revision != want.Revision || h.Epoch != want.Epoch || h.Time.IsZero() {
		t.Errorf("header %+v, want %+v, %v", h, want, err)
	}
	if diff := cmp.Diff(state.Refs(), refs(all)); diff != "" {
		t.Error(diff)
	}
	if gateway.NewState(all...).Digest() != state.Digest() {
		t.Error("digest differs")
	}
}

// A kind that this version does not know, copied from a newer leader, is there too, at the end.
func TestStreamOfUnknownKinds(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir(), Follower: true})
	var changes []gateway.Change
	for _, k := range []gateway.Kind{"zebra", gateway.Route, "aardvark", "route-x", gateway.Setting} {
		changes = append(changes, gateway.Change{Op: gateway.Create, Entity: entity(k, "a", "{}")})
	}
	if err := s.Replicate(t.Context(), changes, store.Origin{Store: "other", Revision: 7}); err != nil {
		t.Fatal(err)
	}
	_, state := state(t, s)
	if _, all, err := read(t.Context(), s); err != nil || !cmp.Equal(state.Refs(), refs(all)) || len(all) != 5 {
		t.Errorf("%v, %v", all, err)
	}
}

// A stream shows its revision, also while others write; and says so if that is compacted before the end.
func TestStreamShowsOneRevision(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	if _, _, err := s.Apply(t.Context(), creates(gateway.Key, 1000, "1"), gateway.Bulk{}); err != nil {
		t.Fatal(err)
	}
	before, want := state(t, s)
	all := gateway.NewState()
	err := s.Stream(t.Context(), func(h gateway.Header) error {
		if h.Revision != before.Revision {
			t.Errorf("revision %d, want %d", h.Revision, before.Revision)
		}
		return nil
	}, func(e gateway.Entity) error {
		if all.Len() == 0 {
			if _, _, err := s.Apply(t.Context(), creates(gateway.Key, 1500, "2"), gateway.Bulk{}); err != nil {
				return err
			}
		}
		all.Put(e)
		return nil
	})
	if err != nil || all.Digest() != want.Digest() {
		t.Errorf("%d entities, %v", all.Len(), err)
	}
	err = s.Stream(t.Context(), func(gateway.Header) error { return nil }, func(gateway.Entity) error {
		return s.Compact(t.Context(), put(t, s, entity(gateway.Route, "r", "1")))
	})
	if !errors.Is(err, gateway.ErrCompacted) {
		t.Errorf("compacted meanwhile: %v", err)
	}
}

func TestStreamEnds(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	put(t, s, entity(gateway.Route, "r", "1"))
	stop := errors.New("stop")
	err := s.Stream(t.Context(), func(gateway.Header) error { return stop }, nil)
	if !errors.Is(err, stop) {
		t.Errorf("begin: %v", err)
	}
	err = s.Stream(t.Context(), func(gateway.Header) error { return nil }, func(gateway.Entity) error { return stop })
	if !errors.Is(err, stop) {
		t.Errorf("each: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := read(ctx, s); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := read(t.Context(), s); err == nil {
		t.Error("a closed store was read")
	}
	if _, err := s.Changes(t.Context(), "", 1, nil); err == nil {
		t.Error("changes of a closed store")
	}
}

// step does something random to the store: what moves its revision with and without a change of an entity.
func step(t *rapid.T, ctx context.Context, s *store.Store) {
	ref := gateway.Ref{Kind: rapid.SampledFrom(gateway.Kinds()).Draw(t, "kind"), ID: rapid.SampledFrom([]string{"a", "b", "a/b"}).Draw(t, "id")}
	e := gateway.Entity{Ref: ref, Body: []byte(rapid.StringN(0, 5, 9).Draw(t, "body"))}
	var err error
	switch rapid.IntRange(0, 5).Draw(t, "step") {
	case 0, 1:
		_, _, err = s.Put(ctx, e, gateway.Condition{})
	case 2: // moves the head also if there is nothing to delete
		if _, _, err = s.Delete(ctx, ref, gateway.Condition{}); errors.Is(err, gateway.ErrNotFound) {
			err = nil
		}
	case 3:
		left := gateway.Entity{Ref: gateway.Ref{Kind: gateway.Revocation, ID: ref.ID}, Body: []byte("{}")}
		if _, _, err = s.DeleteLeaving(ctx, gateway.Ref{Kind: gateway.Key, ID: ref.ID}, left, gateway.Condition{}); errors.Is(err, gateway.ErrNotFound) {
			err = nil
		}
	case 4:
		_, _, err = s.Apply(ctx, []gateway.Change{{Op: gateway.Delete, Entity: gateway.Entity{Ref: ref}}, {Op: gateway.Create, Entity: e},
			{Op: gateway.Update, Entity: gateway.Entity{Ref: gateway.Ref{Kind: gateway.Setting, ID: "x"}, Body: e.Body}}}, gateway.Bulk{})
	case 5: // a change of the role moves the revision, and no entity
		if err = s.Fence(ctx, "http://other", s.Role().Epoch+1); err == nil {
			_, err = s.Promote(ctx)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// The changes after any revision, made to the state at that revision, give the state at the head; and from there on nothing is
// lost or repeated.
func TestChangesLeadToTheHead(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	ctx := t.Context()
	rapid.Check(t, func(t *rapid.T) {
		type seen struct {
			h gateway.Header
			s *gateway.State
		}
		var all []seen
		look := func() {
			h, state, err := s.State(ctx)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, seen{h, state})
		}
		look()
		for range rapid.IntRange(0, 12).Draw(t, "steps") {
			step(t, ctx, s)
			look()
		}
		head := all[len(all)-1]
		for _, from := range all {
			got, last := from.s.Clone(), from.h.Revision
			h, err := s.Changes(ctx, head.h.Store, from.h.Revision, func(b gateway.Batch) error {
				if b.Revision <= last || len(b.Changes) == 0 {
					t.Errorf("batch %+v after %d", b, last)
				}
				last = b.Revision
				for _, c := range b.Changes {
					if _, there := got.Get(c.Entity.Ref); there != (c.Op != gateway.Create) {
						t.Errorf("%s of %s, which is there: %v", c.Op, c.Entity.Ref, there)
					}
					got.Apply(c)
				}
				return nil
			})
			if err != nil || h.Revision != head.h.Revision || got.Digest() != head.s.Digest() {
				t.Fatalf("from %d: until %d of %d, %v, %v want %v", from.h.Revision, h.Revision, head.h.Revision, err, got.Refs(), head.s.Refs())
			}
		}
	})
}

// Two deletes of nothing move the head, but change no entity: nobody waits for a change that never comes.
func TestSinceDeletesOfNothing(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	from := put(t, s, entity(gateway.Route, "a", "1"))
	if _, _, err := s.Delete(t.Context(), gateway.Ref{Kind: gateway.Route, ID: "b"}, gateway.Condition{}); !errors.Is(err, gateway.ErrNotFound) {
		t.Fatal(err)
	}
	if got, err := s.Since(t.Context(), from); err != nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
}

// Readers that go on from where they were see each change once, while many write.
func TestChangesWhileOthersWrite(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	h, followed := state(t, s)
	done := make(chan error, 1)
	go func() {
		for i := range 600 {
			e := entity(gateway.Route, fmt.Sprint(i%50), fmt.Sprint(i))
			if _, _, err := s.Put(context.Background(), e, gateway.Condition{}); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	batches, rounds := 0, 0
	for writing := true; writing; rounds++ {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			writing = false
		default:
		}
		next, err := s.Changes(t.Context(), h.Store, h.Revision, func(b gateway.Batch) error {
			batches++
			for _, c := range b.Changes {
				followed.Apply(c)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		h = next
	}
	if now, want := state(t, s); now.Revision != h.Revision || want.Digest() != followed.Digest() || batches != 600 {
		t.Errorf("after %d rounds at %d of %d, with %d batches", rounds, h.Revision, now.Revision, batches)
	}
}

// A watch that was away for long gets all of it, in order, and then what happens.
func TestWatchCatchesUp(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	h, followed := state(t, s)
	for i := range 30 { // more than a piece, some of them large
		if _, _, err := s.Apply(t.Context(), creates(gateway.Key, 50+i, strings.Repeat("x", 1000*i)), gateway.Bulk{}); err != nil {
			t.Fatal(err)
		}
		for j := range 5 {
			put(t, s, entity(gateway.Route, fmt.Sprint(j), fmt.Sprint(i)))
		}
	}
	last, _ := state(t, s)
	batches, err := collect(t.Context(), s, h.Revision, last.Revision+1, func() { put(t, s, entity(gateway.Route, "last", "")) })
	if err != nil {
		t.Fatal(err)
	}
	for i, b := range batches {
		if i > 0 && b.Revision <= batches[i-1].Revision {
			t.Errorf("revision %d after %d", b.Revision, batches[i-1].Revision)
		}
		for _, c := range b.Changes {
			followed.Apply(c)
		}
	}
	if _, want := state(t, s); want.Digest() != followed.Digest() || len(batches) != 181 {
		t.Errorf("%d batches lead elsewhere", len(batches))
	}
}

// A store that grows too large forgets its past by halves, and none of its present.
func TestShrink(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	for i := range 40 {
		put(t, s, entity(gateway.Spec, "s", strings.Repeat(fmt.Sprint(i%10), 1<<20)))
	}
	first, head, size := s.Extent()
	if err := s.Shrink(t.Context(), size); err != nil {
		t.Fatal(err)
	}
	if again, _, _ := s.Extent(); again != first {
		t.Errorf("history begins at %d, although there is room", again)
	}
	_, want := state(t, s)
	if err := s.Shrink(t.Context(), 8<<20); err != nil {
		t.Fatal(err)
	}
	half, _, _ := s.Extent()
	if half <= first+(head-first)/3 || half >= head-(head-first)/3 {
		t.Errorf("history of %d to %d begins at %d", first, head, half)
	}
	for last := half; size > 8<<20; last = half {
		if err := s.Shrink(t.Context(), 8<<20); err != nil {
			t.Fatal(err)
		}
		if half, _, size = s.Extent(); half == last && size > 8<<20 {
			t.Fatalf("%d bytes are left with the history from %d to %d", size, half, head)
		}
	}
	now, got := state(t, s)
	if got.Digest() != want.Digest() || now.Revision != head {
		t.Error("the present changed")
	}
	if _, err := s.Changes(t.Context(), "", first, nil); !errors.Is(err, gateway.ErrCompacted) {
		t.Errorf("changes that were forgotten: %v", err)
	}
}
