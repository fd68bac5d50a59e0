package admin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/gateway"
	"gwdr/gateway/admin"
	"gwdr/gateway/native"
	"gwdr/gateway/store"
)

// server is a control plane on a real store behind a real listener.
type server struct {
	*native.Client
	store *store.Store
	url   string
}

func start(t *testing.T, s *admin.Server) server {
	t.Helper()
	return startAt(t, s, store.Options{Dir: t.TempDir()})
}

func startAt(t *testing.T, s *admin.Server, o store.Options) server {
	t.Helper()
	st, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	s.Store = st
	ts := httptest.NewServer(s.Handler())
	t.Cleanup(ts.Close)
	return server{Client: &native.Client{URL: ts.URL, HTTP: ts.Client()}, store: st, url: ts.URL}
}

// ask sends a request and returns status and body.
func (s server) ask(t *testing.T, method, path, body string, header ...string) (int, string) {
	t.Helper()
	resp, text := s.send(t, method, path, body, header...)
	return resp.StatusCode, text
}

// send sends a request and returns the answer and its body, which is read and held against the contract.
func (s server) send(t *testing.T, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	if req.Header.Get("Host") != "" {
		req.Host = req.Header.Get("Host")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := theContract(t).hold(req, resp, string(text)); err != nil {
		t.Errorf("%s %s: %v", method, path, err)
	}
	return resp, string(text)
}

// expect sends a request and checks the status and that the answer holds the text.
func (s server) expect(t *testing.T, status int, text, method, path, body string, header ...string) {
	t.Helper()
	got, answer := s.ask(t, method, path, body, header...)
	if got != status || !strings.Contains(answer, text) {
		t.Errorf("%s %s: %d %s, want %d with %q", method, path, got, strings.TrimSpace(answer), status, text)
	}
}

func entity(kind gateway.Kind, id, body string) gateway.Entity {
	return gateway.Entity{Ref: gateway.Ref{Kind: kind, ID: id}, Body: []byte(body)}
}

func (s server) put(t *testing.T, e gateway.Entity) int64 {
	t.Helper()
	revision, err := s.Put(t.Context(), e, gateway.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

const echo = `{"endpoints":[{"url":"http://127.0.0.1:1"}]}`

func TestEntityRoundTrip(t *testing.T) {
	s, ctx := start(t, &admin.Server{}), t.Context()
	body := " {\"endpoints\" : [] , \"balance\":\"failover\"}\n"
	for _, id := range []string{"a", "a/b", "..", ".", "%2F", "/", "//", "ü //?#&=+ {}", "state", strings.Repeat("x", gateway.MaxIDLength)} {
		e := entity(gateway.Upstream, id, body)
		first := s.put(t, e)
		got, err := s.Get(ctx, e.Ref)
		if diff := cmp.Diff(gateway.Item{Entity: e, Revision: first}, got); diff != "" || err != nil {
			t.Errorf("id %q: %v %s", id, err, diff)
		}
		if _, err := s.Put(ctx, e, gateway.Condition{Absent: true}); !errors.Is(err, gateway.ErrConflict) {
			t.Errorf("id %q: create twice: %v", id, err)
		}
		second, err := s.Put(ctx, e, gateway.Condition{Revision: first})
		if err != nil {
			t.Errorf("id %q: %v", id, err)
		}
		if _, err := s.Delete(ctx, e.Ref, gateway.Condition{Revision: first}); !errors.Is(err, gateway.ErrConflict) {
			t.Errorf("id %q: delete of an old revision: %v", id, err)
		}
		if _, err := s.Delete(ctx, e.Ref, gateway.Condition{Revision: second}); err != nil {
			t.Errorf("id %q: %v", id, err)
		}
		if _, err := s.Get(ctx, e.Ref); !errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("id %q after delete: %v", id, err)
		}
		if _, err := s.Delete(ctx, e.Ref, gateway.Condition{}); !errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("id %q: second delete: %v", id, err)
		}
	}
}

func TestStatusOfWrites(t *testing.T) {
	s := start(t, &admin.Server{})
	s.expect(t, 201, `{"revision":`, "PUT", "/v1/upstream/echo", echo)
	s.expect(t, 200, `{"revision":`, "PUT", "/v1/upstream/echo", echo)
	s.expect(t, 412, "changed meanwhile", "PUT", "/v1/upstream/echo", echo, "If-None-Match", "*")
	s.expect(t, 412, "changed meanwhile", "PUT", "/v1/upstream/echo", echo, "If-Match", `"1"`)
	s.expect(t, 400, "ETag", "PUT", "/v1/upstream/echo", echo, "If-Match", `1`)
	s.expect(t, 400, "ETag", "PUT", "/v1/upstream/echo", echo, "If-Match", `"1", "2"`)
	s.expect(t, 400, "If-None-Match", "PUT", "/v1/upstream/echo", echo, "If-None-Match", `"1"`)
	s.expect(t, 400, `unknown kind \"gadget\"`, "PUT", "/v1/gadget/x", `{}`)
	s.expect(t, 422, "endpoints must be an array, not a string", "PUT", "/v1/upstream/x", `{"endpoints":"http://a:1"}`)
	s.expect(t, 422, "upstream has no endpoints", "PUT", "/v1/upstream/x", `{}`)
	s.expect(t, 422, "id of a revocation", "PUT", "/v1/revocation/x", `{}`)
	s.expect(t, 400, "scopes must be an array, not a string", "POST", "/v1/keys", `{"scopes":"read"}`)
	s.expect(t, 400, "change 1: op must be a string, not a number", "POST", "/v1/apply", `{"op":1}`)
	s.expect(t, 404, "unknown kind", "GET", "/v1/gadget", "")
	s.expect(t, 404, "GET /v1 lists the endpoints", "GET", "/v1/routes", "")
	s.expect(t, 404, "no such endpoint", "GET", "/v2/status", "")
	s.expect(t, 404, "GET /v1 lists the endpoints", "POST", "/v1/route/r", "")
	s.expect(t, 404, "not_found", "GET", "/v1/route/none", "")
	s.expect(t, 422, "unknown field", "PUT", "/v1/route/r", `{"path":"/x","upstream":"echo","scope":["a"]}`)
	s.expect(t, 422, "slash", "PUT", "/v1/route/r", `{"path":"x","upstream":"echo"}`)
	s.expect(t, 422, "empty", "PUT", "/v1/route/r", ``)
	s.expect(t, 413, "too_large", "PUT", "/v1/spec/s", strings.Repeat("x", gateway.MaxBody+1))
}

// Whoever finds the listener finds the way.
func TestIndex(t *testing.T) {
	s := start(t, &admin.Server{})
	for _, path := range []string{"/v1", "/v1/"} {
		s.expect(t, 200, `"kinds":["setting","cert","upstream","spec","consumer","revocation","key","route"]`, "GET", path, "")
		s.expect(t, 200, `{"method":"PUT","path":"/v1/{kind}/{id}","roles":["admin","operator"],"about":`, "GET", path, "")
	}
	data := httptest.NewServer((&admin.Server{}).Handler())
	defer data.Close()
	_, answer := server{url: data.URL}.ask(t, "GET", "/v1", "")
	if strings.Contains(answer, "PUT") || !strings.Contains(answer, "/v1/state") {
		t.Errorf("without a control plane: %s", answer)
	}
}

func TestReferencesHold(t *testing.T) {
	s := start(t, &admin.Server{})
	route, hash := `{"path":"/x","upstream":"echo","spec":"s"}`, strings.Repeat("ab", 32)
	s.expect(t, 422, "not found: upstream/echo", "PUT", "/v1/route/r", route)
	s.expect(t, 201, "", "PUT", "/v1/upstream/echo", echo)
	s.expect(t, 422, "not found: spec/s", "PUT", "/v1/route/r", route)
	s.expect(t, 201, "", "PUT", "/v1/spec/s", "anything")
	s.expect(t, 201, "", "PUT", "/v1/route/r", route)
	s.expect(t, 422, "not found: consumer/c", "PUT", "/v1/key/k", `{"consumer":"c","hash":"`+hash+`","created":"2026-01-01T00:00:00Z"}`)
	s.expect(t, 201, "", "PUT", "/v1/consumer/c", `{"name":"C"}`)
	s.expect(t, 201, "", "PUT", "/v1/key/k", `{"consumer":"c","hash":"`+hash+`","created":"2026-01-01T00:00:00Z"}`)
	for _, used := range []string{"upstream/echo", "spec/s", "consumer/c"} {
		s.expect(t, 409, "in use by ", "DELETE", "/v1/"+used, "")
	}
	s.expect(t, 200, "", "DELETE", "/v1/route/r", "")
	s.expect(t, 200, "", "DELETE", "/v1/key/k", "")
	for _, free := range []string{"upstream/echo", "spec/s", "consumer/c"} {
		s.expect(t, 200, "", "DELETE", "/v1/"+free, "")
	}
}

// Whatever the interleaving, no route is left without its upstream.
func TestReferencesHoldInARace(t *testing.T) {
	s, ctx := start(t, &admin.Server{}), context.Background()
	for range 20 {
		s.put(t, entity(gateway.Upstream, "u", echo))
		var wg sync.WaitGroup
		wg.Go(func() { s.Delete(ctx, gateway.Ref{Kind: gateway.Upstream, ID: "u"}, gateway.Condition{}) })
		wg.Go(func() { s.Put(ctx, entity(gateway.Route, "r", `{"path":"/x","upstream":"u"}`), gateway.Condition{}) })
		wg.Wait()
		_, state, err := s.State(ctx)
		if err != nil {
			t.Fatal(err)
		}
		_, route := state.Get(gateway.Ref{Kind: gateway.Route, ID: "r"})
		_, upstream := state.Get(gateway.Ref{Kind: gateway.Upstream, ID: "u"})
		if route && !upstream {
			t.Fatal("a route lost its upstream")
		}
		s.Delete(ctx, gateway.Ref{Kind: gateway.Route, ID: "r"}, gateway.Condition{})
	}
}

func TestKeys(t *testing.T) {
	s, ctx := start(t, &admin.Server{}), t.Context()
	key, err := s.IssueKey(ctx, "", []string{"read"}, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	token, err := gateway.ParseToken(key.Token)
	if err != nil || token.ID != key.ID {
		t.Fatalf("token of %s: %v", key.ID, err)
	}
	item, err := s.Get(ctx, gateway.Ref{Kind: gateway.Key, ID: key.ID})
	if err != nil || !strings.Contains(string(item.Body), token.Hash()) || strings.Contains(string(item.Body), key.Token[20:60]) {
		t.Errorf("stored key: %s, %v", item.Body, err)
	}
	if err := s.RevokeKey(ctx, "none", ""); !errors.Is(err, gateway.ErrNotFound) {
		t.Errorf("revoke nothing: %v", err)
	}
	for range 2 {
		if err := s.RevokeKey(ctx, key.ID, "leaked"); err != nil {
			t.Error(err)
		}
	}
	revoked, _, err := s.Revocations(ctx)
	if err != nil || len(revoked) != 1 || revoked[0].ID != key.ID {
		t.Errorf("revocations %v, %v", revoked, err)
	}
	s.expect(t, 409, "for good", "DELETE", "/v1/revocation/"+key.ID, "")
	s.expect(t, 422, "consumer/nobody", "POST", "/v1/keys", `{"consumer":"nobody"}`)
	s.expect(t, 400, "unknown field", "POST", "/v1/keys", `{"scope":"x"}`)
}

// To its user, deleting a key is revoking it: no restore may bring it back to life.
func TestDeletedKeyIsRevoked(t *testing.T) {
	s, ctx := start(t, &admin.Server{}), t.Context()
	issue := func() gateway.Ref {
		key, err := s.IssueKey(ctx, "", nil, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		return gateway.Ref{Kind: gateway.Key, ID: key.ID}
	}
	plain, leaked, kept, restored := issue(), issue(), issue(), issue()
	if err := s.RevokeKey(ctx, leaked.ID, "leaked"); err != nil {
		t.Fatal(err)
	}
	before, err := s.store.Revision(ctx)
	if err != nil {
		t.Fatal(err)
	}
	revision, err := s.Delete(ctx, plain, gateway.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	if batches, err := collect(ctx, s.follow(""), before, revision); err != nil || len(batches) != 1 || len(batches[0].Changes) != 2 {
		t.Errorf("one revision deletes and revokes: %+v, %v", batches, err)
	}
	if _, err := s.Delete(ctx, leaked, gateway.Condition{}); err != nil {
		t.Error(err)
	}
	for _, cond := range []gateway.Condition{{}, {Revision: 1}} {
		if _, err := s.Delete(ctx, gateway.Ref{Kind: gateway.Key, ID: strings.Repeat("0", 16)}, cond); err == nil {
			t.Error("what is not there was deleted")
		}
	}
	for ref, restore := range map[gateway.Ref]bool{kept: false, restored: true} {
		if _, err := s.ApplyBulk(ctx, []gateway.Change{{Op: gateway.Delete, Entity: gateway.Entity{Ref: ref}}}, gateway.Bulk{Restore: restore}); err != nil {
			t.Error(err)
		}
	}
	revoked, _, err := s.Revocations(ctx)
	if err != nil || len(revoked) != 2 {
		t.Fatalf("revocations %v, %v", revoked, err)
	}
	for _, e := range revoked {
		if want := map[string]string{plain.ID: "deleted", leaked.ID: "leaked"}[e.ID]; !strings.Contains(string(e.Body), `"reason":"`+want+`"`) {
			t.Errorf("%s: %s", e.Ref, e.Body)
		}
	}
}

func TestPages(t *testing.T) {
	s := start(t, &admin.Server{})
	for i := range 5 {
		s.put(t, entity(gateway.Spec, fmt.Sprintf("s/%d", i), `{"n":1}`))
	}
	s.put(t, entity(gateway.Spec, "s/9", "\x00"))
	s.expect(t, 200, `"next":"s/3"`, "GET", "/v1/spec?limit=4", "")
	s.expect(t, 200, `{"items":[{"id":"s/4","revision":`, "GET", "/v1/spec?limit=4&after=s%2F3", "")
	s.expect(t, 200, `"body_base64":"AA=="}],"next":""}`, "GET", "/v1/spec?limit=4&after=s%2F3", "")
	s.expect(t, 200, `{"items":[],"next":""}`, "GET", "/v1/route", "")
	s.expect(t, 400, "limit", "GET", "/v1/spec?limit=0", "")
}

func TestStatus(t *testing.T) {
	s := start(t, &admin.Server{Instance: "c1", Region: "east", Role: "control"})
	revision := s.put(t, entity(gateway.Upstream, "u", echo))
	want := gateway.Status{Instance: "c1", Region: "east", Role: "control", Store: s.store.ID(), Revision: revision, Epoch: 1,
		Mode: gateway.ModeLeader, Digest: gateway.NewState(entity(gateway.Upstream, "u", echo)).Digest(), Counts: map[gateway.Kind]int{gateway.Upstream: 1}}
	for range 2 {
		got, err := s.Status(t.Context())
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Error(err, diff)
		}
	}
	want.Digest, want.Counts = "", nil
	if got, err := s.Brief(t.Context()); !cmp.Equal(want, got) || err != nil {
		t.Errorf("brief: %+v, %v", got, err)
	}
	s.expect(t, 200, "ok", "GET", "/health", "")
	s.expect(t, 200, "ready", "GET", "/ready", "")
	s.expect(t, 200, `"mode":"leader"`, "GET", "/leader", "")
	if epoch, err := s.Promote(t.Context()); epoch != 1 || err != nil {
		t.Errorf("promote a leader: %d, %v", epoch, err)
	}
	if err := s.store.Fence(t.Context(), "http://other", 2); err != nil {
		t.Fatal(err)
	}
	s.expect(t, 503, "fenced of http://other", "GET", "/leader", "")
	s.expect(t, 409, "control plane takes no writes: fenced of http://other", "PUT", "/v1/upstream/u", echo)
}
