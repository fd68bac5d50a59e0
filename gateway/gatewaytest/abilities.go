package gatewaytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gwdr/gateway"
)

// Forgetter is a gateway.Tracker that can be told to forget what happened until now, as a store does in time.
type Forgetter interface{ Forget() error }

// TestAbilities is the part of the suite that concerns a target which is a gateway.Streamer, a gateway.Tracker or a Forgetter.
func TestAbilities(t *testing.T, start func(t *testing.T) gateway.Target) {
	target := start(t)
	if s, ok := target.(gateway.Streamer); ok {
		t.Run("stream", func(t *testing.T) { testStream(t, target, s) })
	}
	if _, ok := target.(gateway.Tracker); !ok {
		return
	}
	for name, test := range map[string]func(*testing.T, gateway.Target, gateway.Tracker){
		"changes": testChangesLeadToTheHead, "while writing": testChangesWhileWriting, "follow": testFollow, "unknown": testUnknown,
	} {
		t.Run(name, func(t *testing.T) {
			target := start(t)
			test(t, target, target.(gateway.Tracker))
		})
	}
}

// testStream: a stream shows what an export shows, in order, and ends with its reader's first error.
func testStream(t *testing.T, target gateway.Target, s gateway.Streamer) {
	want := gateway.NewState(Sample()...)
	if err := target.Apply(t.Context(), gateway.Diff(gateway.NewState(), want)); err != nil {
		t.Fatal(err)
	}
	e := export(t, target)
	var h gateway.Header
	got, refs := gateway.NewState(), []gateway.Ref(nil)
	begin := func(read gateway.Header) error { h = read; return nil }
	err := s.Stream(t.Context(), begin, func(e gateway.Entity) error {
		if h.Store == "" {
			t.Error("an entity came before the header")
		}
		refs = append(refs, e.Ref)
		got.Put(gateway.Entity{Ref: e.Ref, Body: bytes.Clone(e.Body)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	sameState(t, got, want)
	if diff := cmp.Diff(want.Refs(), refs); diff != "" {
		t.Errorf("order: %s", diff)
	}
	if h.Store != e.Store || h.Revision != e.Revision || h.Time.Location() != time.UTC || time.Since(h.Time) > time.Minute {
		t.Errorf("header %+v, export %s@%d of %s", h, e.Store, e.Revision, e.Time)
	}
	stop := errors.New("stop")
	if err := s.Stream(t.Context(), func(gateway.Header) error { return stop }, nil); !errors.Is(err, stop) {
		t.Errorf("begin ended it: %v", err)
	}
	if err := s.Stream(t.Context(), begin, func(gateway.Entity) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("each ended it: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Stream(ctx, begin, func(gateway.Entity) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("stream under a cancelled context: %v", err)
	}
}

// setting is an entity that refers to nothing.
func setting(id, body string) gateway.Entity {
	return gateway.Entity{Ref: gateway.Ref{Kind: gateway.Setting, ID: id}, Body: []byte(body)}
}

// drawChanges returns random changes that are possible in the state, at most one of each entity.
func drawChanges(t *rapid.T, s *gateway.State) (changes []gateway.Change) {
	for _, id := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "ü/d"}), 1, 3, rapid.ID).Draw(t, "ids") {
		e := setting(id, fmt.Sprintf(`{"n":%d}`, rapid.IntRange(0, 9).Draw(t, "n")))
		_, there := s.Get(e.Ref)
		switch {
		case !there:
			changes = append(changes, gateway.Change{Op: gateway.Create, Entity: e})
		case rapid.Bool().Draw(t, "delete"):
			changes = append(changes, gateway.Change{Op: gateway.Delete, Entity: gateway.Entity{Ref: e.Ref}})
		default:
			changes = append(changes, gateway.Change{Op: gateway.Update, Entity: e})
		}
	}
	return changes
}

// testChangesLeadToTheHead: for random histories, the changes after any revision, made to the state at that revision, give the
// state at the head, and the Header's revision is where to go on.
func testChangesLeadToTheHead(t *testing.T, target gateway.Target, tracker gateway.Tracker) {
	ctx := t.Context()
	rapid.Check(t, func(rt *rapid.T) {
		all := []*gateway.Export{export(t, target)}
		for range rapid.IntRange(0, 5).Draw(rt, "steps") {
			if err := target.Apply(ctx, drawChanges(rt, all[len(all)-1].State)); err != nil {
				rt.Fatal(err)
			}
			all = append(all, export(t, target))
		}
		head := all[len(all)-1]
		for _, from := range all {
			got, last := from.State.Clone(), from.Revision
			h, err := tracker.Changes(ctx, from.Store, from.Revision, func(b gateway.Batch) error {
				if len(b.Changes) == 0 || b.Revision <= last {
					rt.Errorf("batch %+v after %d", b, last)
				}
				last = b.Revision
				for _, c := range b.Changes {
					if _, there := got.Get(c.Entity.Ref); there == (c.Op == gateway.Create) {
						rt.Errorf("%s of %s, which is there: %v", c.Op, c.Entity.Ref, there)
					}
					got.Apply(c)
				}
				return nil
			})
			if err != nil || h.Revision != head.Revision || h.Revision < last || h.Store != head.Store || time.Since(h.Time) > time.Minute {
				rt.Fatalf("changes after %d: %+v, %v; the head is %d", from.Revision, h, err, head.Revision)
			}
			if got.Digest() != head.State.Digest() {
				rt.Fatalf("changes after %d lead to %v, not %v", from.Revision, got.Refs(), head.State.Refs())
			}
		}
	})
}

// testChangesWhileWriting: who goes on from where the last Changes ended sees each change once, whatever is written meanwhile.
func testChangesWhileWriting(t *testing.T, target gateway.Target, tracker gateway.Tracker) {
	const writes = 200
	e := export(t, target)
	got, from, seen := e.State.Clone(), e.Revision, 0
	written := make(chan error, 1)
	go func() {
		for n := range writes {
			op := gateway.Create
			if n >= 10 {
				op = gateway.Update
			}
			change := gateway.Change{Op: op, Entity: setting(fmt.Sprint(n%10), fmt.Sprintf(`{"n":%d}`, n))}
			if err := target.Apply(context.WithoutCancel(t.Context()), []gateway.Change{change}); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	for writing := true; writing; {
		select {
		case err := <-written:
			if err != nil {
				t.Fatal(err)
			}
			writing = false
		default:
		}
		h, err := tracker.Changes(t.Context(), e.Store, from, func(b gateway.Batch) error {
			for _, c := range b.Changes {
				seen++
				got.Apply(c)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		from = h.Revision
	}
	sameState(t, got, export(t, target).State)
	if seen != writes {
		t.Errorf("%d changes were seen of %d", seen, writes)
	}
}

// testFollow: who follows gets what was and what comes, and hears something when nothing comes.
func testFollow(t *testing.T, target gateway.Target, tracker gateway.Tracker) {
	e := export(t, target)
	write := func(id string) error {
		return target.Apply(t.Context(), []gateway.Change{{Op: gateway.Create, Entity: setting(id, `{}`)}})
	}
	if err := write("before"); err != nil {
		t.Fatal(err)
	}
	enough, beats := errors.New("enough"), 0
	var seen []string
	err := tracker.Follow(t.Context(), e.Store, e.Revision, func(b gateway.Batch) error {
		for _, c := range b.Changes {
			seen = append(seen, c.Entity.ID)
		}
		switch {
		case len(b.Changes) > 0 && len(seen) == 1:
			return write("after")
		case len(b.Changes) == 0 && len(seen) == 2:
			if beats++; beats == 2 {
				return enough
			}
		}
		return nil
	})
	if !errors.Is(err, enough) || !cmp.Equal(seen, []string{"before", "after"}) {
		t.Errorf("followed %v, %v", seen, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tracker.Follow(ctx, e.Store, e.Revision, func(gateway.Batch) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("follow under a cancelled context: %v", err)
	}
	if _, err := tracker.Changes(ctx, e.Store, e.Revision, func(gateway.Batch) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("changes under a cancelled context: %v", err)
	}
}

// testUnknown: what is not known is said to be unknown, and an error of each ends the read.
func testUnknown(t *testing.T, target gateway.Target, tracker gateway.Tracker) {
	first := export(t, target)
	if err := target.Apply(t.Context(), []gateway.Change{{Op: gateway.Create, Entity: setting("a", "{}")}}); err != nil {
		t.Fatal(err)
	}
	head := export(t, target)
	refuses := func(name, store string, from int64) {
		t.Helper()
		none := func(b gateway.Batch) error { return fmt.Errorf("got %+v", b) }
		if _, err := tracker.Changes(t.Context(), store, from, none); !errors.Is(err, gateway.ErrCompacted) {
			t.Errorf("changes of %s: %v", name, err)
		}
		if err := tracker.Follow(t.Context(), store, from, none); !errors.Is(err, gateway.ErrCompacted) {
			t.Errorf("follow of %s: %v", name, err)
		}
	}
	refuses("another store", "another", first.Revision)
	refuses("the future", head.Store, head.Revision+1)
	stop := errors.New("stop")
	if _, err := tracker.Changes(t.Context(), head.Store, first.Revision, func(gateway.Batch) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("each ended it: %v", err)
	}
	f, ok := target.(Forgetter)
	if !ok {
		return
	}
	if err := f.Forget(); err != nil {
		t.Fatal(err)
	}
	refuses("the past", head.Store, first.Revision)
	if h, err := tracker.Changes(t.Context(), head.Store, head.Revision, nil); err != nil || h.Revision != head.Revision {
		t.Errorf("changes since the head: %+v, %v", h, err)
	}
}
