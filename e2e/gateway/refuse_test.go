//go:build linux

package gateway

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"gwdr/e2e/shell"
	"gwdr/gateway"
)

// Whoever has no good key is told so: 401 for one that is none, 403 for one that may not.
func TestKeysThatDoNotOpen(t *testing.T) {
	shell.New(t, binary)
	target := newTarget(t)
	good, weak, revoked := target.issue("read"), target.issue("write"), target.issue("read")
	target.awaits("/guarded", revoked.Token, 200) // the last of the three is there, and so are the others
	if err := target.client().RevokeKey(t.Context(), revoked.ID, "leaked"); err != nil {
		t.Fatal(err)
	}
	expired, err := target.client().IssueKey(t.Context(), "", []string{"read"}, time.Now().Add(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	target.awaits("/guarded", revoked.Token, 401) // a revocation takes a moment to arrive
	for name, c := range map[string]struct {
		token string
		want  int
	}{
		"none":      {"", 401},
		"malformed": {"gwk_nonsense", 401},
		"mistyped":  {good.Token[:len(good.Token)-1] + "x", 401},
		"unknown":   {gateway.NewToken().Reveal(), 401},
		"revoked":   {revoked.Token, 401},
		"expired":   {expired.Token, 401},
		"of 64 KB":  {strings.Repeat("gwk_", 15<<10), 401},
		"weak":      {weak.Token, 403},
	} {
		before := target.whole.Load()
		target.awaits("/guarded", c.token, c.want)
		if got := target.whole.Load() - before; got != 0 && name != "expired" { // that may have been asked for before it was
			t.Errorf("%s: %d requests reached the backend", name, got)
		}
	}
	target.isWell(t, target.whole.Load())
}

// The control plane takes nothing that the data plane could not serve.
func TestChangesThatAreRefused(t *testing.T) {
	shell.New(t, binary)
	target := newTarget(t)
	for name, c := range map[string]struct {
		method, path, body string
		want               int
	}{
		"no OpenAPI":            {"POST", "/v1/import/openapi?id=s&upstream=back", `{"hello":"world"}`, 422},
		"no document":           {"POST", "/v1/import/openapi?id=s&upstream=back", "\x00\x01", 422},
		"OpenAPI for nothing":   {"POST", "/v1/import/openapi?id=s&upstream=gone", `{"openapi":"3.1.0","paths":{"/a":{"get":{}}}}`, 422},
		"upstream missing":      {"PUT", "/v1/route/r", `{"path":"/r","upstream":"gone"}`, 422},
		"upstream still needed": {"DELETE", "/v1/upstream/back", "", 409},
		"no JSON":               {"PUT", "/v1/route/r", `{"path":`, 422},
		"unknown field":         {"PUT", "/v1/route/r", `{"path":"/r","upstream":"back","colour":"red"}`, 422},
		"bad template":          {"PUT", "/v1/route/r", `{"path":"/{","upstream":"back"}`, 422},
		"unknown kind":          {"PUT", "/v1/teapot/t", `{}`, 400},
	} {
		if got := target.ask(c.method, c.path, c.body); got != c.want {
			t.Errorf("%s: status %d, want %d", name, got, c.want)
		}
		target.isWell(t, target.whole.Load())
	}
}

// ask makes a request of the admin API as it is, and returns the answer's status.
func (s *server) ask(method, path, body string) int {
	s.t.Helper()
	req, err := http.NewRequest(method, "http://"+s.Admin+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := once.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode
}
