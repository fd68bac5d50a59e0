package store_test

import (
	"context"
	"errors"
	"testing"

	"gwdr/gateway"
	"gwdr/gateway/store"
)

// A dry run finds what the store would do and refuse, of more than is read at once, too, and changes nothing.
func TestDryRun(t *testing.T) {
	s, ctx := open(t, store.Options{Dir: t.TempDir()}), t.Context()
	first := put(t, s, entity(gateway.Route, "a", "1"))
	there := put(t, s, entity(gateway.Key, "000007", "{}"))
	dry := &store.DryRun{Store: s}
	if at, before, err := dry.Put(ctx, entity(gateway.Route, "a", "2"), gateway.Condition{Revision: first}); at < there || before != first || err != nil {
		t.Errorf("put: at %d, %d before, %v", at, before, err)
	}
	if len(dry.Changes) != 1 || dry.Changes[0].Op != gateway.Update {
		t.Errorf("put: %+v", dry.Changes)
	}
	gone, left := gateway.Ref{Kind: gateway.Key, ID: "000007"}, entity(gateway.Revocation, "000007", "{}")
	if _, before, err := dry.DeleteLeaving(ctx, gone, left, gateway.Condition{}); before != there || err != nil || len(dry.Changes) != 2 {
		t.Errorf("delete: %d before, %v, %+v", before, err, dry.Changes)
	}
	for _, to := range []interface {
		DeleteLeaving(context.Context, gateway.Ref, gateway.Entity, gateway.Condition) (int64, int64, error)
	}{dry, s} {
		seen := gateway.Condition{Seen: map[gateway.Ref]int64{left.Ref: there}}
		if _, _, err := to.DeleteLeaving(ctx, gone, left, seen); !errors.Is(err, gateway.ErrConflict) {
			t.Errorf("delete of a key whose revocation was seen and is not there: %v", err)
		}
	}
	changes := creates(gateway.Key, 250, "{}") // one of them is there
	if n, _, err := dry.Apply(ctx, changes, gateway.Bulk{Base: there}); n != 250 || err != nil || len(dry.Changes) != 249 {
		t.Errorf("apply: %d, %v, %d different", n, err, len(dry.Changes))
	}
	if _, _, err := dry.Put(ctx, left, gateway.Condition{Refs: []gateway.Ref{{Kind: gateway.Key, ID: "none"}}}); !errors.Is(err, gateway.ErrMissing) {
		t.Errorf("put of what refers to nothing: %v", err)
	}
	if _, _, err := dry.Delete(ctx, left.Ref, gateway.Condition{}); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("delete of nothing: %v", err)
	}
	if _, _, err := dry.Apply(ctx, changes, gateway.Bulk{Base: first}); !errors.Is(err, gateway.ErrConflict) {
		t.Errorf("apply after another: %v", err)
	}
	if h, got := state(t, s); h.Revision != there || got.Len() != 2 {
		t.Errorf("%v at %d", got.Refs(), h.Revision)
	}
	if err := s.Fence(ctx, "http://other", 2); err != nil {
		t.Fatal(err)
	}
	if _, _, err := dry.Put(ctx, left, gateway.Condition{}); !errors.Is(err, gateway.ErrNotLeader) {
		t.Errorf("put into what does not lead: %v", err)
	}
}
