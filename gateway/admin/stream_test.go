package admin_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/gateway"
	"gwdr/gateway/admin"
	"gwdr/gateway/store"
)

var errEnough = errors.New("enough")

// collect returns the batches with changes after from, up to the revision.
func collect(ctx context.Context, watch func(context.Context, int64, func(gateway.Batch) error) error, from, to int64) (batches []gateway.Batch, err error) {
	err = watch(ctx, from, func(b gateway.Batch) error {
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

// follow returns a watch of the store with the id.
func (s server) follow(id string) func(context.Context, int64, func(gateway.Batch) error) error {
	return func(ctx context.Context, from int64, each func(gateway.Batch) error) error {
		return s.Follow(ctx, id, from, each)
	}
}

func keys(n int) (changes []gateway.Change) {
	for i := range n {
		id := strings.Repeat("k", 1+i%7) + string(rune('a'+i%26)) + time.Duration(i).String()
		changes = append(changes, gateway.Change{Op: gateway.Create, Entity: entity(gateway.Key, id, `{"hash":"x"}`)})
	}
	return changes
}

func TestStateAndWatch(t *testing.T) {
	s, ctx := start(t, &admin.Server{}), t.Context()
	h, state, err := s.State(ctx)
	if err != nil || h.Store != s.store.ID() || h.Epoch != 1 || state.Len() != 0 {
		t.Fatalf("%+v with %d entities, %v", h, state.Len(), err)
	}
	first := s.put(t, entity(gateway.Upstream, "u", echo))
	last, err := s.ApplyBulk(ctx, keys(1000), gateway.Bulk{Restore: true})
	if err != nil {
		t.Fatal(err)
	}
	for from, want := range map[int64]int{h.Revision: 2, first: 1, last: 0} {
		got, err := collect(ctx, s.follow(""), from, last)
		if err != nil || len(got) != want {
			t.Errorf("from %d: %d batches, %v", from, len(got), err)
		}
		if want > 0 && len(got[want-1].Changes) != 1000 {
			t.Errorf("from %d: a revision was split", from)
		}
	}
	exported, err := s.Export(ctx)
	if err != nil || exported.State.Len() != 1001 || exported.Revision != last || exported.Store != h.Store || exported.Time.IsZero() {
		t.Errorf("%+v, %v", exported, err)
	}
	s.expect(t, 400, "unknown kind", "GET", "/v1/state?kind=x", "")
	s.expect(t, 400, "from must be", "GET", "/v1/watch", "")
	s.expect(t, 400, "until must be", "GET", "/v1/watch?from=1&until=tomorrow", "")
}

func TestWatchOfTheUnknown(t *testing.T) {
	s, ctx := start(t, &admin.Server{}), t.Context()
	first := s.put(t, entity(gateway.Upstream, "u", echo))
	s.put(t, entity(gateway.Upstream, "u", echo))
	last := s.put(t, entity(gateway.Upstream, "u", echo))
	if err := s.store.Compact(ctx, last); err != nil {
		t.Fatal(err)
	}
	s.expect(t, 410, "compacted", "GET", "/v1/watch?from=2", "")
	for name, ask := range map[string]struct {
		store string
		from  int64
	}{"compacted": {"", first}, "its own": {s.store.ID(), first}, "another store": {"another", last}, "the future": {"", last + 1}} {
		if _, err := collect(ctx, s.follow(ask.store), ask.from, last); !errors.Is(err, gateway.ErrCompacted) {
			t.Errorf("watch of %s: %v", name, err)
		}
		if _, err := s.Changes(ctx, ask.store, ask.from, nil); !errors.Is(err, gateway.ErrCompacted) {
			t.Errorf("changes of %s: %v", name, err)
		}
	}
	if h, err := s.Changes(ctx, s.store.ID(), last, nil); err != nil || h.Revision != last {
		t.Errorf("changes since the head: %+v, %v", h, err)
	}
}

// A watch until now has the header, what happened, and an end; a revision that moved no entity is in the end alone.
func TestWatchUntilNow(t *testing.T) {
	s, ctx := start(t, &admin.Server{}), t.Context()
	first := s.put(t, entity(gateway.Upstream, "u", echo))
	last := s.put(t, entity(gateway.Upstream, "v", echo))
	if err := s.store.Fence(ctx, "http://other", 2); err != nil {
		t.Fatal(err)
	}
	head, err := s.store.Revision(ctx)
	if err != nil || head <= last {
		t.Fatalf("the role changed at %d: %v", head, err)
	}
	_, text := s.ask(t, "GET", fmt.Sprintf("/v1/watch?from=%d&until=now", first), "")
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || !strings.Contains(lines[0], `"time":"20`) || !strings.Contains(lines[0], s.store.ID()) ||
		!strings.HasPrefix(lines[1], fmt.Sprintf(`{"revision":%d,"changes":[{"op":"create","kind":"upstream","id":"v",`, last)) ||
		lines[2] != fmt.Sprintf(`{"end":true,"revision":%d}`, head) {
		t.Errorf("answered %s", text)
	}
	for _, from := range []int64{last, head} {
		h, err := s.Changes(ctx, s.store.ID(), from, func(b gateway.Batch) error { return fmt.Errorf("got %+v", b) })
		if err != nil || h.Revision != head || time.Since(h.Time) > time.Minute {
			t.Errorf("changes after %d: %+v, %v", from, h, err)
		}
	}
}

// What fails before anything was sent is an answer of HTTP; what fails later breaks the connection.
func TestStreamsOfAClosedStore(t *testing.T) {
	s := start(t, &admin.Server{})
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	s.expect(t, 500, "store is closed", "GET", "/v1/state", "")
	s.expect(t, 500, "store is closed", "GET", "/v1/watch?from=1&until=now", "")
	s.expect(t, 500, "store is closed", "GET", "/v1/watch?from=1", "")
}

func TestStateThatCannotBeRead(t *testing.T) {
	s := start(t, &admin.Server{})
	large := strings.Repeat("x", 1<<20)
	for i := range 40 {
		s.put(t, entity(gateway.Setting, fmt.Sprint(i), large))
	}
	n := 0
	err := s.Stream(t.Context(), func(gateway.Header) error { return nil }, func(gateway.Entity) error {
		if n++; n == 1 { // the rest of it is neither read from the store yet, nor in the buffers between
			return s.store.Compact(t.Context(), s.put(t, entity(gateway.Setting, "last", "{}")))
		}
		return nil
	})
	if err == nil || n >= 40 {
		t.Errorf("%d of 40 entities were read, %v", n, err)
	}
}

func TestStoppingEndsWatches(t *testing.T) {
	stopping := make(chan struct{})
	s := start(t, &admin.Server{Stopping: stopping})
	err := s.Follow(t.Context(), "", 1, func(gateway.Batch) error {
		if stopping != nil {
			close(stopping)
			stopping = nil
		}
		return nil
	})
	if err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("watch ended with %v", err)
	}
}

func TestApply(t *testing.T) {
	s, ctx := start(t, &admin.Server{}), t.Context()
	revision, err := s.ApplyBulk(ctx, keys(2500), gateway.Bulk{Restore: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.ApplyBulk(ctx, keys(1), gateway.Bulk{Restore: true, Base: revision - 1}); !errors.Is(err, gateway.ErrConflict) {
		t.Errorf("old base: %v", err)
	}
	if _, err := s.ApplyBulk(ctx, keys(1), gateway.Bulk{}); err == nil || !strings.Contains(err.Error(), "hash must be") {
		t.Errorf("keys without a hash: %v", err)
	}
	good := `{"op":"create","kind":"setting","id":"s","body":"e30="}` + "\n"
	for body, want := range map[string]string{
		good + `{"op":"create","kind":"setting"`:                              "change 2",
		good + `{"op":"drop","kind":"setting","id":"x"}`:                      "unknown op",
		good + `{"op":"create","kind":"setting","id":"x"}`:                    "lacks a body",
		good + `{"op":"create","kind":"setting","id":"x","body":"%"}`:         "change 2",
		good + `{"op":"delete","kind":"revocation","id":"x"}`:                 "for good",
		good + `{"op":"create","kind":"gadget","id":"x","body":""}`:           "unknown kind",
		good + `{"op":"create","kind":"route","id":"x","body":"e30="}` + "\n": "change 2",
	} {
		if status, answer := s.ask(t, "POST", "/v1/apply", body); status/100 != 4 || !strings.Contains(answer, want) {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
	_, state, err := s.State(ctx)
	if err != nil || state.Counts()[gateway.Setting] != 0 {
		t.Errorf("a refused list was applied in part: %v, %v", state.Counts(), err)
	}
	s.expect(t, 200, `"applied":1`, "POST", "/v1/apply", good)
	s.expect(t, 200, `"applied":0`, "POST", "/v1/apply", "")
}

// startBlank serves a store that was emptied.
func startBlank(t *testing.T) server {
	t.Helper()
	dir := t.TempDir()
	st, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	st.Close()
	if err := os.RemoveAll(filepath.Join(dir, "store")); err != nil {
		t.Fatal(err)
	}
	return startAt(t, &admin.Server{}, store.Options{Dir: dir})
}

// A wiped control plane answers reads, refuses writes, and takes a restore.
func TestBlankOverHTTP(t *testing.T) {
	s, ctx := startBlank(t), t.Context()
	s.expect(t, 409, "blank", "PUT", "/v1/upstream/u", echo)
	s.expect(t, 409, "restore a backup", "POST", "/v1/promote", "")
	s.expect(t, 503, "blank", "GET", "/leader", "")
	if _, err := s.ApplyBulk(ctx, nil, gateway.Bulk{}); !errors.Is(err, gateway.ErrNotLeader) {
		t.Errorf("apply: %v", err)
	}
	if h, _, err := s.State(ctx); err != nil || h.Store != "" {
		t.Errorf("state of the blank store: %+v, %v", h, err)
	}
	if err := s.Apply(ctx, keys(10)); err != nil {
		t.Fatal(err)
	}
	if status, err := s.Status(ctx); err != nil || status.Mode != gateway.ModeLeader || status.Store == "" || status.Epoch != 2 {
		t.Errorf("restored: %+v, %v", status, err)
	}
}

func TestImport(t *testing.T) {
	s, ctx := start(t, &admin.Server{}), t.Context()
	document := []byte("openapi: 3.0.0\npaths:\n  /a: {get: {}, post: {}}\n  /b/{id}: {get: {}}\n  '/bad/{': {get: {}}\n")
	if _, err := s.ImportOpenAPI(ctx, "shop", "u", "", document); err == nil || !strings.Contains(err.Error(), "upstream/u") {
		t.Errorf("import without upstream: %v", err)
	}
	s.put(t, entity(gateway.Upstream, "u", echo))
	s.put(t, entity(gateway.Route, "own", `{"path":"/own","upstream":"u"}`))
	routes, err := s.ImportOpenAPI(ctx, "shop", "u", "api.example.com", document)
	if err != nil || routes != 3 {
		t.Fatalf("%d routes, %v", routes, err)
	}
	item, err := s.Get(ctx, gateway.Ref{Kind: gateway.Spec, ID: "shop"})
	if err != nil || string(item.Body) != string(document) {
		t.Errorf("stored document: %q, %v", item.Body, err)
	}
	document = []byte(`{"swagger":"2.0","paths":{"/a":{"get":{}}}}`)
	if _, err := s.ImportOpenAPI(ctx, "shop", "u", "", document); err != nil {
		t.Fatal(err)
	}
	_, state, err := s.State(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := range state.Kind(gateway.Route) {
		got = append(got, r.ID)
	}
	if diff := cmp.Diff([]string{"own", "shop:GET:/a"}, got); diff != "" {
		t.Errorf("routes after the second version: %s", diff)
	}
	s.expect(t, 422, "neither 2 nor 3", "POST", "/v1/import/openapi?id=s&upstream=u", `{"openapi":"9"}`)
	s.expect(t, 422, "neither openapi nor swagger", "POST", "/v1/import/openapi?id=s&upstream=u", `not a document`)
	s.expect(t, 422, "upstream/none", "POST", "/v1/import/openapi?id=s&upstream=none", `{"openapi":"3","paths":{"/a":{"get":{}}}}`)
	s.expect(t, 400, "needs ?id=", "POST", "/v1/import/openapi?upstream=u", `{}`)
	for _, unclear := range []string{"validate", "prefix"} { // a "yes" would be left out in silence
		s.expect(t, 400, unclear+" must be true or false", "POST", "/v1/import/openapi?id=s&upstream=u&"+unclear+"=yes", `{"openapi":"3"}`)
	}
	if status, err := http.Get(s.url + "/metrics"); err != nil || status.StatusCode != 404 {
		t.Errorf("metrics without a handler: %v, %v", status, err)
	}
}
