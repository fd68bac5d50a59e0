package admin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gwdr/gateway"
	"gwdr/gateway/admin"
	"gwdr/gateway/store"
)

// idle is a data plane that has loaded nothing.
type idle struct{ admin.DataPlane }

func (idle) Ready() bool { return false }

// failing is a standby that cannot be promoted.
type failing struct{ err error }

func (failing) Backup() gateway.Backup { return gateway.Backup{} }

func (f failing) Promote(context.Context) (admin.Promotion, error) { return admin.Promotion{}, f.err }

// bare serves the API without a store.
func bare(t *testing.T, s *admin.Server) server {
	t.Helper()
	ts := httptest.NewServer(s.Handler())
	t.Cleanup(ts.Close)
	return server{url: ts.URL}
}

// Whatever is refused, and whoever refuses it, the answer is a problem of RFC 9457 that clients of older versions can read, too.
func TestEveryRefusalIsAProblem(t *testing.T) {
	s, guarded, seen := start(t, &admin.Server{}), start(t, &admin.Server{Tokens: tokens(t)}), map[string]bool{}
	fenced := start(t, &admin.Server{})
	if err := fenced.store.Fence(t.Context(), "http://other", 2); err != nil {
		t.Fatal(err)
	}
	s.expect(t, 201, "", "PUT", "/v1/upstream/u", echo)
	s.expect(t, 201, "", "PUT", "/v1/route/r", `{"path":"/x","upstream":"u"}`)
	promoted := func(err error) server { return bare(t, &admin.Server{Standby: failing{err}}) }
	for _, c := range []struct {
		server                  server
		method, path, body      string
		header                  []string
		status                  int
		code, detail, remedying string
	}{
		{s, "PUT", "/v1/upstream/u", echo, []string{"If-Match", "1"}, 400, "bad_request", "If-Match", ""},
		{s, "PUT", "/v1/gadget/u", echo, nil, 400, "bad_request", "unknown kind", ""},
		{s, "POST", "/v1/keys", `{"scopes":1}`, nil, 400, "bad_request", "scopes", ""},
		{s, "POST", "/v1/apply", `{"op":1}`, nil, 400, "bad_request", "change 1", ""},
		{s, "POST", "/v1/apply", "", []string{"X-Gwdr-Base-Revision", "x"}, 400, "bad_request", "X-Gwdr-Base-Revision", ""},
		{s, "POST", "/v1/import/openapi", "", nil, 400, "bad_request", "id", ""},
		{s, "GET", "/v1/watch", "", nil, 400, "bad_request", "from", ""},
		{s, "GET", "/v1/state?kind=x", "", nil, 400, "bad_request", "unknown kind", ""},
		{s, "GET", "/v1/route?limit=0", "", nil, 400, "bad_request", "limit", ""},
		{guarded, "GET", "/v1/status", "", nil, 401, "unauthorized", "token", "Bearer"},
		{guarded, "POST", "/v1/promote", "", []string{"Authorization", "Bearer " + token(admin.Viewer)}, 403, "forbidden", "viewer", ""},
		{guarded, "POST", "/v1/apply", "", []string{"Authorization", "Bearer " + token(admin.Operator), "X-Gwdr-Restore", "true"}, 403,
			"forbidden", "operator", ""},
		{s, "GET", "/v1", "", []string{"Host", "evil.example.com"}, 403, "forbidden", "host", "--token-file"},
		{s, "PUT", "/v1/upstream/u", echo, []string{"Sec-Fetch-Site", "cross-site"}, 403, "forbidden", "origin", "program"},
		{s, "GET", "/v1/route/none", "", nil, 404, "not_found", "route/none", ""},
		{s, "DELETE", "/v1/route/none", "", nil, 404, "not_found", "route/none", ""},
		{s, "POST", "/v1/keys/none/revoke", "{}", nil, 404, "not_found", "key/none", ""},
		{s, "PATCH", "/v1/route/r", "{}", nil, 404, "no_endpoint", "PATCH", "GET /v1"},
		{bare(t, &admin.Server{Data: idle{}}), "PUT", "/v1/upstream/u", echo, nil, 404, "no_endpoint", "PUT", "control plane; GET /v1"},
		{s, "GET", "/v1/routes", "", nil, 404, "no_endpoint", "unknown kind", "GET /v1"},
		{s, "POST", "/v1/apply", `{"op":"delete","kind":"route","id":"r"}`, []string{"X-Gwdr-Base-Revision", "1"}, 409, "conflict", "", "read"},
		{s, "DELETE", "/v1/revocation/x", "", nil, 409, "conflict", "for good", "new key"},
		{s, "DELETE", "/v1/upstream/u", "", nil, 409, "referenced", "route/r", "first"},
		{fenced, "PUT", "/v1/upstream/u", echo, nil, 409, "not_leader", "http://other", "leader"},
		{fenced, "GET", "/leader", "", nil, 503, "not_leader", "http://other", ""},
		{bare(t, &admin.Server{}), "GET", "/leader", "", nil, 503, "not_leader", "no control plane", ""},
		{promoted(nil), "GET", "/leader", "", nil, 503, "not_leader", "backup", "promote"},
		{promoted(nil), "PUT", "/v1/upstream/u", echo, nil, 409, "not_leader", "backup", "promote"},
		{promoted(nil), "GET", "/v1/route?limit=5", "", nil, 409, "not_leader", "backup", "promote"},
		{promoted(&admin.PromotionError{Text: "t", Hint: "h"}), "POST", "/v1/promote", "", nil, 409, "conflict", "t", "h"},
		{promoted(fmt.Errorf("x: %w", store.ErrFull)), "POST", "/v1/promote", "", nil, 507, "full", "full", "delete"},
		{promoted(fmt.Errorf("x: %w", store.ErrEtcdFull)), "POST", "/v1/promote", "", nil, 507, "full", "etcd", "alarm disarm"},
		{promoted(fmt.Errorf("x: %w", store.ErrNoQuorum)), "POST", "/v1/promote", "", nil, 503, "no_quorum", "quorum", "read it again"},
		{promoted(context.Canceled), "POST", "/v1/promote", "", nil, 503, "cancelled", "cancel", ""},
		{promoted(errors.New("broken")), "POST", "/v1/promote", "", nil, 500, "internal", "broken", ""},
		{bare(t, &admin.Server{Data: idle{}}), "GET", "/ready", "", nil, 503, "not_ready", "no configuration", ""},
		{s, "GET", "/v1/watch?from=99", "", nil, 410, "compacted", "99", "/v1/state"},
		{s, "GET", "/v1/watch?from=1&store=another", "", nil, 410, "compacted", "another", "/v1/state"},
		{s, "PUT", "/v1/upstream/u", echo, []string{"If-None-Match", "*"}, 412, "conflict", "", "read"},
		{s, "POST", "/v1/keys", strings.Repeat(" ", 64<<10+1), nil, 413, "too_large", "65536 bytes", ""},
		{s, "PUT", "/v1/upstream/u", `{}`, nil, 422, "invalid", "endpoints", ""},
		{s, "POST", "/v1/apply", `{"op":"create","kind":"route","id":"r","body":"e30="}`, nil, 422, "invalid", "change 1", ""},
		{s, "POST", "/v1/import/openapi?id=s&upstream=u", "none", nil, 422, "invalid", "", ""},
		{s, "PUT", "/v1/route/r", `{"path":"/x","upstream":"none"}`, nil, 422, "missing", "upstream/none", "first"},
		{s, "PUT", "/v1/route/r", `{"path":"/x","upstream":"u","spec":"none"}`, nil, 422, "missing", "spec/none", "first"},
		{s, "PUT", "/v1/route/r", `{"methods":["GET"],"path":"/x","upstream":"u","spec":"none","validate":true}`, nil, 422, "missing", "spec/none", "first"},
	} {
		t.Run(fmt.Sprintf("%d %s %s %s", c.status, c.code, c.method, c.path), func(t *testing.T) {
			p := c.server.refused(t, c.method, c.path, c.body, c.header...)
			if p.Status != c.status || p.Code != c.code || !strings.Contains(p.Detail, c.detail) || !strings.Contains(p.Hint, c.remedying) {
				t.Errorf("%+v", p)
			}
			if p.Type != "urn:gwdr:problem:"+c.code || p.Title == "" || p.Title != admin.Titles[c.code] || p.Error != p.Detail || p.Detail == "" {
				t.Errorf("%+v", p)
			}
		})
		seen[c.code] = true
	}
	for code := range admin.Titles {
		if !seen[code] {
			t.Errorf("nothing here is refused as %s", code)
		}
	}
}

// refusal is a problem as a client sees it.
type refusal struct {
	Type, Title, Detail, Error, Code, Hint string
	Status, Applied                        int
}

// refused sends a request that is refused, and returns the problem.
func (s server) refused(t *testing.T, method, path, body string, header ...string) (p refusal) {
	t.Helper()
	resp, text := s.send(t, method, path, body, header...)
	if err := gateway.Decode([]byte(text), &p); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if resp.StatusCode != p.Status || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("answered %d as %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	if unauthorized := p.Status == http.StatusUnauthorized; unauthorized != (resp.Header.Get("WWW-Authenticate") != "") {
		t.Errorf("WWW-Authenticate %q", resp.Header.Get("WWW-Authenticate"))
	}
	return p
}

// A client that still sends has the whole answer before its stream is reset, as it is when the handler returns.
func TestTooLargeIsAnsweredBeforeTheStreamEnds(t *testing.T) {
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	rec, answered := httptest.NewRecorder(), ""
	rest := readerFunc(func([]byte) (int, error) {
		if rec.Flushed {
			answered = rec.Body.String()
		}
		return 0, io.EOF
	})
	body := io.MultiReader(strings.NewReader(strings.Repeat(" ", 64<<10+1)), rest)
	(&admin.Server{Store: st}).Handler().ServeHTTP(rec, httptest.NewRequest("POST", "http://127.0.0.1/v1/keys", body))
	if length := rec.Header().Get("Content-Length"); !strings.Contains(answered, `"status":413`) || length != fmt.Sprint(len(answered)) {
		t.Errorf("%d %s: %q, %s bytes", rec.Code, rec.Body, answered, length)
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
