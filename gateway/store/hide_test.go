package store_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"gwdr/gateway"
	"gwdr/gateway/store"
)

// A restore into a store that holds nothing shows nothing before it is done: the store is blank meanwhile, and then another one.
func TestFillIsHidden(t *testing.T) {
	s, ctx := open(t, store.Options{Dir: t.TempDir()}), t.Context()
	before, empty := state(t, s)
	ended, ready := make(chan error, 1), make(chan struct{})
	go func() {
		begun := false
		ended <- s.Watch(ctx, "", before.Revision, func(b gateway.Batch) error {
			if len(b.Changes) > 0 {
				return errors.New("a part was seen")
			}
			if !begun {
				begun = true
				close(ready)
			}
			return nil
		})
	}()
	<-ready
	changes := gateway.Diff(empty, version(0))
	applied, _, err := s.Apply(ctx, changes, gateway.Bulk{Base: before.Revision, Restore: true})
	if err != nil || applied != len(changes) {
		t.Fatalf("%d of %d: %v", applied, len(changes), err)
	}
	if err := <-ended; !errors.Is(err, store.ErrReplaced) {
		t.Errorf("watch ended with %v", err)
	}
	after, got := state(t, s)
	if after.Store == before.Store || after.Epoch != before.Epoch || got.Digest() != version(0).Digest() || s.Role().Hides != "" {
		t.Errorf("%+v after %+v, role %+v, %d entities", after, before, s.Role(), got.Len())
	}
	put(t, s, entity(gateway.Route, "a", "1"))
}

// brief is a context that ends after its error was asked for a few times.
type brief struct {
	context.Context
	left atomic.Int32
}

func (b *brief) Err() error {
	if b.left.Add(-1) < 0 {
		return context.Canceled
	}
	return nil
}

// A restore that is broken off leaves the store that held nothing as it was; one of a store that is blank can be done again.
func TestFillIsBrokenOff(t *testing.T) {
	dir := t.TempDir()
	s := open(t, store.Options{Dir: dir})
	before, empty := state(t, s)
	ctx := &brief{Context: t.Context()}
	ctx.left.Store(1)
	applied, _, err := s.Apply(ctx, gateway.Diff(empty, version(0)), gateway.Bulk{Restore: true})
	if !errors.Is(err, context.Canceled) || applied != 0 {
		t.Fatalf("%d applied, %v", applied, err)
	}
	after, got := state(t, s)
	if after.Store != before.Store || after.Epoch != before.Epoch || got.Len() != 0 || s.Role().Mode != gateway.ModeLeader {
		t.Errorf("%+v after %+v, role %+v, %d entities", after, before, s.Role(), got.Len())
	}
	put(t, s, entity(gateway.Route, "a", "1"))
	s = reopen(t, s, store.Options{Dir: dir})
	if _, got := state(t, s); got.Len() != 1 || s.ID() != before.Store {
		t.Errorf("reopened: %d entities, id %s", got.Len(), s.ID())
	}
}

// What was written since the plan was made is not overwritten, nor taken away by the undo.
func TestFillMeetsAnotherWriter(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	before, empty := state(t, s)
	put(t, s, entity(gateway.Route, "a", "1"))
	applied, _, err := s.Apply(t.Context(), gateway.Diff(empty, version(0)), gateway.Bulk{Base: before.Revision, Restore: true})
	if !errors.Is(err, gateway.ErrConflict) || applied != 0 {
		t.Fatalf("%d applied, %v", applied, err)
	}
	if after, got := state(t, s); got.Len() != 1 || after.Store != before.Store {
		t.Errorf("%d entities, %+v", got.Len(), after)
	}
}

// A store that was killed while a restore filled it holds nothing when it is opened, and takes writes.
func TestCutOffFillIsUndone(t *testing.T) {
	dir := t.TempDir()
	s := open(t, store.Options{Dir: dir})
	before, _ := state(t, s)
	if err := s.HideWithPart(t.Context(), entity(gateway.Route, "part", "1")); err != nil {
		t.Fatal(err)
	}
	if s.Role().Mode != gateway.ModeBlank || s.ID() != "" {
		t.Errorf("hidden: %+v", s.Role())
	}
	s = reopen(t, s, store.Options{Dir: dir})
	after, got := state(t, s)
	if got.Len() != 0 || after.Store != before.Store || after.Epoch != before.Epoch || s.Role().Mode != gateway.ModeLeader {
		t.Errorf("%d entities, %+v after %+v", got.Len(), after, before)
	}
	put(t, s, entity(gateway.Route, "a", "1"))
}

// A restore whose last transaction was made is not undone because the identity file cannot be written.
func TestFillWithoutIdentityFile(t *testing.T) {
	dir := t.TempDir()
	s := open(t, store.Options{Dir: dir})
	_, empty := state(t, s)
	file := filepath.Join(dir, "store-id")
	if err := errors.Join(os.Remove(file), os.MkdirAll(filepath.Join(file, "in-the-way"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Apply(t.Context(), gateway.Diff(empty, version(0)), gateway.Bulk{Restore: true}); err == nil {
		t.Error("nobody says that the identity could not be written")
	}
	if h, got := state(t, s); got.Digest() != version(0).Digest() || h.Store == "" || s.Role().Mode != gateway.ModeLeader {
		t.Errorf("%d entities, %+v, %+v", got.Len(), h, s.Role())
	}
}
