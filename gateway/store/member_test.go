package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gwdr/gateway"
	"gwdr/gateway/store"
)

// The first member to be started says that it waits for the others, and nothing when it is stopped.
func TestMemberThatWaitsSaysSo(t *testing.T) {
	t.Parallel() // it waits most of the time
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	said := make(lines, 100)
	o := members(t)[0]
	o.Log = slog.New(slog.NewTextHandler(said, nil))
	var failed error
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		_, failed = store.Open(ctx, o)
	}()
	if line := <-said; !strings.Contains(line, "waits until most members") {
		t.Errorf("says %s", line)
	}
	stop()
	if <-opened; !errors.Is(failed, context.Canceled) {
		t.Error(failed)
	}
	if len(said) > 0 {
		t.Errorf("says of its end %s", <-said)
	}
}

// lines is a log.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	l <- string(line)
	return len(line), nil
}

// A member that comes back without its disk would vote again on what it has forgotten.
func TestMemberWithoutItsDiskIsRefused(t *testing.T) {
	t.Parallel() // it waits most of the time
	options := members(t)
	defer begin(t, options[1])()
	defer begin(t, options[2])()
	s := open(t, options[0])
	put(t, s, entity(gateway.Route, "a", "1"))
	if err := errors.Join(s.Close(), os.RemoveAll(filepath.Join(options[0].Dir, "store"))); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(t.Context(), options[0]); !errors.Is(err, store.ErrMemberLost) {
		t.Error(err)
	}
}

// A member whose machine is lost is taken for a new one by the others, and gets from them all that there is.
func TestMemberIsReplaced(t *testing.T) {
	t.Parallel() // it waits most of the time
	options, ctx := members(t), t.Context()
	second, third := begin(t, options[1]), open(t, options[2])
	s := open(t, options[0])
	put(t, s, entity(gateway.Route, "a", "1"))
	if err := third.Close(); err != nil {
		t.Fatal(err)
	}
	replaced := options[2]
	options[2].Dir = t.TempDir()
	if _, err := store.Open(ctx, options[2]); !errors.Is(err, store.ErrMemberLost) {
		t.Errorf("before it is replaced: %v", err)
	}
	for name, want := range map[string]error{"a": gateway.ErrConflict, "b": gateway.ErrConflict, "d": gateway.ErrNotFound} {
		if err := s.Replace(ctx, name); !errors.Is(err, want) {
			t.Errorf("replace %s: %v", name, err)
		}
	}
	for range 2 {
		until(t, "member is replaced", func() bool { return s.Replace(ctx, "c") == nil })
	}
	anew := open(t, options[2])
	second()
	until(t, "writes go on with the new one", func() bool {
		_, _, err := s.Put(ctx, entity(gateway.Route, "b", "1"), gateway.Condition{})
		return err == nil
	})
	holds(t, anew, gateway.NewState(entity(gateway.Route, "a", "1"), entity(gateway.Route, "b", "1")))
	anew = reopen(t, anew, options[2])
	holds(t, anew, gateway.NewState(entity(gateway.Route, "a", "1"), entity(gateway.Route, "b", "1")))
	if err := anew.Close(); err != nil {
		t.Fatal(err)
	}
	votesNoMore(t, s, replaced)
	if err := open(t, store.Options{Dir: t.TempDir()}).Replace(ctx, "a"); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("without a cluster: %v", err)
	}
}

// votesNoMore starts a member that was replaced, with the disk that it had: with it the store, which is alone but for it, has no quorum.
func votesNoMore(t *testing.T, s *store.Store, replaced store.Options) {
	t.Helper()
	back, err := store.Open(t.Context(), replaced)
	if err == nil {
		defer back.Close()
	}
	quick(t, "put with what was replaced", func() error {
		_, _, err := s.Put(t.Context(), entity(gateway.Route, "c", "1"), gateway.Condition{})
		return err
	})
}

// A member that was away for so long that the others have forgotten the changes since gets all that there is from them, and whoever
// watches it gets each change.
func TestMemberWasAway(t *testing.T) {
	t.Parallel() // it waits most of the time
	options, ctx := members(t), t.Context()
	defer begin(t, options[1])()
	s, third := open(t, options[0]), open(t, options[2])
	from := put(t, s, entity(gateway.Route, "a", "1"))
	if err := third.Close(); err != nil {
		t.Fatal(err)
	}
	const writers, each = 30, 100
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				if _, _, err := s.Put(ctx, entity(gateway.Key, fmt.Sprintf("%d-%d", w, i), "{}"), gateway.Condition{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	h, want := state(t, s)
	back := open(t, options[2])
	until(t, "member is back", func() bool { return back.Answers(ctx) == nil })
	holds(t, back, want)
	if batches, err := collect(ctx, back, from, h.Revision); len(batches) != writers*each || err != nil {
		t.Errorf("%d changes of %d, %v", len(batches), writers*each, err)
	}
}

// A store that was alone does not become a member of a cluster, in which it would acknowledge alone, nor the other way round; and an
// address is what it was.
func TestStoreOfAnotherPlaceIsRefused(t *testing.T) {
	t.Parallel() // it waits most of the time
	options := members(t)
	second, third := begin(t, options[1]), begin(t, options[2])
	member := open(t, options[0])
	put(t, member, entity(gateway.Route, "a", "1"))
	alone := store.Options{Dir: t.TempDir()}
	for _, closing := range []error{member.Close(), open(t, alone).Close()} {
		if closing != nil {
			t.Fatal(closing)
		}
	}
	second()
	third()
	joining, moved := options[0], options[0]
	joining.Dir = alone.Dir
	moved.Cluster = members(t)[0].Cluster
	for what, o := range map[string]store.Options{"alone": {Dir: options[0].Dir}, "joining": joining, "moved": moved} {
		if _, err := store.Open(t.Context(), o); !errors.Is(err, store.ErrOtherMember) {
			t.Errorf("%s: %v", what, err)
		}
	}
	open(t, alone)
}
