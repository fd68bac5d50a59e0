package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/gateway"
	"gwdr/gateway/store"
)

func open(t *testing.T, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), place.options(t, o))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func reopen(t *testing.T, s *store.Store, o store.Options) *store.Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, o)
}

func entity(kind gateway.Kind, id, body string) gateway.Entity {
	return gateway.Entity{Ref: gateway.Ref{Kind: kind, ID: id}, Body: []byte(body)}
}

func put(t *testing.T, s *store.Store, e gateway.Entity) int64 {
	t.Helper()
	rev, _, err := s.Put(t.Context(), e, gateway.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	return rev
}

func state(t *testing.T, s *store.Store) (gateway.Header, *gateway.State) {
	t.Helper()
	h, st, err := s.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h, st
}

func creates(kind gateway.Kind, n int, body string) []gateway.Change {
	changes := make([]gateway.Change, n)
	for i := range changes {
		changes[i] = gateway.Change{Op: gateway.Create, Entity: entity(kind, fmt.Sprintf("%06d", i), body)}
	}
	return changes
}

func TestEntitiesAreKeptVerbatim(t *testing.T) {
	dir := t.TempDir()
	s := open(t, store.Options{Dir: dir})
	all := []gateway.Entity{
		entity(gateway.Route, "a/b//c/%2F ü", " {\"path\" : \"/x\"}\n"),
		entity(gateway.Route, "a", "\x00\xff"),
		entity(gateway.Spec, "a", ""),
		entity(gateway.Key, "route/a", "{}"),
	}
	for _, e := range all {
		put(t, s, e)
	}
	want := gateway.NewState(all...)
	for range 2 {
		h, got := state(t, s)
		if got.Digest() != want.Digest() || h.Store != s.ID() || h.Epoch != 1 {
			t.Errorf("state of %+v: %v, want %v", h, got.Refs(), want.Refs())
		}
		item, err := s.Get(t.Context(), all[0].Ref)
		if err != nil || string(item.Body) != string(all[0].Body) {
			t.Errorf("get: %q, %v", item.Body, err)
		}
		s = reopen(t, s, store.Options{Dir: dir})
	}
}

func TestList(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	for _, id := range []string{"b", "a", "a/b", "c"} {
		put(t, s, entity(gateway.Route, id, id))
	}
	put(t, s, entity(gateway.Upstream, "z", "z"))
	var got []string
	after, more := "", true
	for more {
		var items []gateway.Item
		var err error
		if items, more, err = s.List(t.Context(), gateway.Route, after, 2); err != nil {
			t.Fatal(err)
		}
		for _, i := range items {
			got, after = append(got, i.ID), i.ID
		}
	}
	if diff := cmp.Diff([]string{"a", "a/b", "b", "c"}, got); diff != "" {
		t.Error(diff)
	}
}

// A large entity takes its time to the disks of other machines: that it is not there in three seconds does not mean that nobody answers.
func TestLargeEntityIsWaitedFor(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	patient := s.CountPatient()
	for size, want := range map[int]int64{1 << 10: 0, 2 << 20: 1} {
		patient.Store(0)
		put(t, s, entity(gateway.Spec, "s", strings.Repeat("x", size)))
		if got := patient.Load(); got != want {
			t.Errorf("%d bytes: %d transactions are waited for", size, got)
		}
	}
	patient.Store(0)
	if state(t, s); patient.Load() != 1 {
		t.Error("a state, however large, is not waited for")
	}
}

func TestConditions(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	ctx := t.Context()
	e := entity(gateway.Route, "r", "1")
	first := put(t, s, e)
	try := func(c gateway.Condition, want error) {
		t.Helper()
		if _, _, err := s.Put(ctx, e, c); !errors.Is(err, want) {
			t.Errorf("put if %+v: %v, want %v", c, err, want)
		}
	}
	try(gateway.Condition{Absent: true}, gateway.ErrConflict)
	try(gateway.Condition{Revision: first + 1}, gateway.ErrConflict)
	try(gateway.Condition{Refs: []gateway.Ref{{Kind: gateway.Upstream, ID: "u"}}}, gateway.ErrMissing)
	try(gateway.Condition{Base: first}, nil)
	try(gateway.Condition{Base: first}, gateway.ErrConflict)
	item, err := s.Get(ctx, e.Ref)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Delete(ctx, e.Ref, gateway.Condition{Revision: first}); !errors.Is(err, gateway.ErrConflict) {
		t.Errorf("delete of another revision: %v", err)
	}
	if _, _, err := s.Delete(ctx, e.Ref, gateway.Condition{Revision: item.Revision}); err != nil {
		t.Error(err)
	}
	if _, _, err := s.Delete(ctx, e.Ref, gateway.Condition{}); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("second delete: %v", err)
	}
	try(gateway.Condition{Base: item.Revision}, gateway.ErrConflict) // a delete moves the base, too
}

// Of many writers that saw the same revision, one wins each round.
func TestIfMatchRace(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	e := entity(gateway.Route, "r", "0")
	rev := put(t, s, e)
	for range 20 {
		var won atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				switch now, _, err := s.Put(context.Background(), e, gateway.Condition{Revision: rev}); {
				case err == nil && !won.CompareAndSwap(0, now):
					t.Error("two writers won")
				case err != nil && !errors.Is(err, gateway.ErrConflict):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if rev = won.Load(); rev == 0 {
			t.Fatal("no writer won")
		}
	}
}

func TestApplyInChunks(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	changes := creates(gateway.Key, 2500, "{}")
	changes = append(changes, gateway.Change{Op: gateway.Delete, Entity: entity(gateway.Key, "000001", "")},
		gateway.Change{Op: gateway.Create, Entity: entity(gateway.Key, "000001", "again")},
		gateway.Change{Op: gateway.Delete, Entity: entity(gateway.Key, "never there", "")})
	n, rev, err := s.Apply(t.Context(), changes, gateway.Bulk{})
	if err != nil || n != len(changes) {
		t.Fatalf("applied %d of %d: %v", n, len(changes), err)
	}
	h, got := state(t, s)
	if body, _ := got.Get(gateway.Ref{Kind: gateway.Key, ID: "000001"}); string(body) != "again" || got.Len() != 2500 || h.Revision != rev {
		t.Errorf("%d entities at %d, want 2500 at %d; re-created: %q", got.Len(), h.Revision, rev, body)
	}
	if n, _, err := s.Apply(t.Context(), creates(gateway.Key, 2500, "x"), gateway.Bulk{Base: rev - 1}); n != 0 || !errors.Is(err, gateway.ErrConflict) {
		t.Errorf("apply on an old base: %d, %v", n, err)
	}
	if n, _, err := s.Apply(t.Context(), creates(gateway.Key, 2500, "x"), gateway.Bulk{Base: rev}); n != 2500 || err != nil {
		t.Errorf("apply on the base: %d, %v", n, err)
	}
	bad := append(creates(gateway.Key, 3, ""), gateway.Change{Op: gateway.Create, Entity: entity("nonsense", "x", "")})
	if n, _, err := s.Apply(t.Context(), bad, gateway.Bulk{}); n != 0 || err == nil {
		t.Errorf("apply of an unknown kind: %d, %v", n, err)
	}
}

func TestOneProcessHasTheStore(t *testing.T) {
	dir := t.TempDir()
	open(t, store.Options{Dir: dir})
	if _, err := store.Open(t.Context(), place.options(t, store.Options{Dir: dir})); !errors.Is(err, store.ErrInUse) {
		t.Errorf("second open: %v", err)
	}
}

func TestWipedStoreIsBlankUntilRestored(t *testing.T) {
	dir := t.TempDir()
	s := open(t, store.Options{Dir: dir})
	lost, ctx := s.ID(), t.Context()
	put(t, s, entity(gateway.Route, "r", "{}"))
	place.wipe(t, s, dir)
	s = open(t, store.Options{Dir: dir})
	s = reopen(t, s, store.Options{Dir: dir}) // still blank after another start
	if h, st := state(t, s); h.Store != "" || st.Len() != 0 || s.Role().Mode != gateway.ModeBlank {
		t.Fatalf("wiped store: %+v with %d entities, %+v", h, st.Len(), s.Role())
	}
	if _, _, err := s.Put(ctx, entity(gateway.Route, "r", "{}"), gateway.Condition{}); !errors.Is(err, gateway.ErrNotLeader) {
		t.Errorf("put: %v", err)
	}
	if _, _, err := s.Apply(ctx, creates(gateway.Key, 1, "{}"), gateway.Bulk{}); !errors.Is(err, gateway.ErrNotLeader) {
		t.Errorf("apply: %v", err)
	}
	if _, err := s.Promote(ctx); !errors.Is(err, gateway.ErrNotLeader) {
		t.Errorf("promote: %v", err)
	}
	begun, ended := make(chan gateway.Batch, 100), make(chan error, 1)
	h, _ := state(t, s)
	go func() {
		ended <- s.Watch(ctx, "", h.Revision, func(b gateway.Batch) error { begun <- b; return nil })
	}()
	<-begun
	if n, _, err := s.Apply(ctx, creates(gateway.Key, 1500, "{}"), gateway.Bulk{Restore: true}); n != 1500 || err != nil {
		t.Fatalf("restore: %d, %v", n, err)
	}
	if err := <-ended; !errors.Is(err, store.ErrReplaced) {
		t.Errorf("watch of the blank store: %v", err)
	}
	for range 2 {
		h, _ := state(t, s)
		if s.ID() == lost || s.ID() == "" || h.Store != s.ID() || s.Role() != (store.Role{Mode: gateway.ModeLeader, Epoch: 2}) {
			t.Errorf("restored store %q (lost %q): %+v", s.ID(), lost, s.Role())
		}
		s = reopen(t, s, store.Options{Dir: dir})
	}
}

func TestRoles(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	s := open(t, store.Options{Dir: dir, Follower: true})
	id := s.ID()
	steps := []struct {
		name string
		do   func() error
		want store.Role
	}{
		{"new", func() error { return nil }, store.Role{Mode: gateway.ModeFollower}},
		{"follow", func() error { return s.Follow(ctx, "http://a", 3) }, store.Role{Mode: gateway.ModeFollower, Epoch: 3, Leader: "http://a"}},
		{"promote", func() error { _, err := s.Promote(ctx); return err }, store.Role{Mode: gateway.ModeLeader, Epoch: 4}},
		{"again", func() error { _, err := s.Promote(ctx); return err }, store.Role{Mode: gateway.ModeLeader, Epoch: 4}},
		{"fence by the past", func() error { return s.Fence(ctx, "http://b", 3) }, store.Role{Mode: gateway.ModeLeader, Epoch: 4}},
		{"fence", func() error { return s.Fence(ctx, "http://b", 6) }, store.Role{Mode: gateway.ModeFenced, Epoch: 6, Leader: "http://b", Forked: 4}},
		{"join", func() error { return s.Follow(ctx, "http://b", 6) }, store.Role{Mode: gateway.ModeFollower, Epoch: 6, Leader: "http://b"}},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		for range 2 {
			if diff := cmp.Diff(step.want, s.Role()); diff != "" || s.ID() != id {
				t.Fatalf("%s: %s", step.name, diff)
			}
			_, _, err := s.Put(ctx, entity(gateway.Route, "r", step.name), gateway.Condition{})
			if leads := step.want.Mode == gateway.ModeLeader; leads != (err == nil) || !leads && !errors.Is(err, gateway.ErrNotLeader) {
				t.Errorf("%s: put: %v", step.name, err)
			}
			s = reopen(t, s, store.Options{Dir: dir})
		}
	}
	if err := s.Follow(ctx, "http://c", 5); err == nil {
		t.Error("followed a leader of the past")
	}
}

func TestReplicate(t *testing.T) {
	dir, ctx := t.TempDir(), t.Context()
	s := open(t, store.Options{Dir: dir, Follower: true})
	before, _ := state(t, s)
	to := store.Origin{Store: "abc", Revision: 77}
	if err := s.Replicate(ctx, creates(gateway.Key, 1000, "{}"), to); err != nil {
		t.Fatal(err)
	}
	if after, _ := state(t, s); after.Revision != before.Revision+1 {
		t.Errorf("one revision of the leader became %d", after.Revision-before.Revision)
	}
	s = reopen(t, s, store.Options{Dir: dir})
	if s.Origin() != to {
		t.Errorf("origin %+v, want %+v", s.Origin(), to)
	}
	if _, err := s.Promote(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Replicate(ctx, nil, store.Origin{Store: "abc", Revision: 78}); err == nil {
		t.Error("a leader replicates")
	}
	if s.Origin() != to {
		t.Errorf("origin after the promotion: %+v", s.Origin())
	}
}

// Damaged files are an error that names the place, not a crash and not an empty store.
func TestDamagedStore(t *testing.T) {
	for _, pattern := range []string{"snap/db", "wal/*.wal"} {
		dir := t.TempDir()
		s := open(t, store.Options{Dir: dir})
		put(t, s, entity(gateway.Route, "r", "{}"))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		files, err := filepath.Glob(filepath.Join(dir, "store", "member", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range files {
			if err := os.WriteFile(file, []byte(strings.Repeat("damaged ", 8192)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := store.Open(t.Context(), store.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", pattern, err)
		}
	}
}

// What was acknowledged survives a Close in the middle of writes, and Open is quick.
func TestReopenUnderLoad(t *testing.T) {
	dir := t.TempDir()
	s := open(t, store.Options{Dir: dir})
	var acked sync.Map
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				e := entity(gateway.Key, fmt.Sprintf("%d-%d", w, i), "{}")
				if _, _, err := s.Put(context.Background(), e, gateway.Condition{}); err != nil {
					return
				}
				acked.Store(e.Ref, true)
			}
		})
	}
	for n, deadline := 0, time.Now().Add(10*time.Second); n < 100 && time.Now().Before(deadline); {
		n = 0
		acked.Range(func(any, any) bool { n++; return true })
	}
	s.Close()
	wg.Wait()
	s = open(t, store.Options{Dir: dir})
	_, got := state(t, s)
	acked.Range(func(ref, _ any) bool {
		if _, ok := got.Get(ref.(gateway.Ref)); !ok {
			t.Errorf("%v is lost", ref)
		}
		return true
	})
}

// TestPutWhoseCallerHangsUp: it is made and said to be, or neither, whenever that happens.
func TestPutWhoseCallerHangsUp(t *testing.T) {
	s := open(t, store.Options{Dir: t.TempDir()})
	for n := range 100 {
		ctx, cancel := context.WithCancel(t.Context())
		hangUp := time.AfterFunc(time.Duration(n)*10*time.Microsecond, cancel)
		e := entity(gateway.Setting, fmt.Sprint(n), "{}")
		_, _, err := s.Put(ctx, e, gateway.Condition{})
		hangUp.Stop()
		cancel()
		if _, _, err := s.Put(t.Context(), entity(gateway.Setting, "after", "{}"), gateway.Condition{}); err != nil { // is made after it
			t.Fatal(err)
		}
		_, missing := s.Get(t.Context(), e.Ref)
		if (err == nil) != (missing == nil) {
			t.Fatalf("put says %v, and then a get %v", err, missing)
		}
	}
}
