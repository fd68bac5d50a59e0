package restore

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gwdr/gateway"
)

// TestProbeKey: a new key must open a route, until it is revoked; a data plane takes a moment to learn of either.
func TestProbeKey(t *testing.T) {
	for name, c := range map[string]struct {
		opens, ignores bool // the key works; its revocation does not
		fails          error
		failed         []bool
	}{
		"good":                    {opens: true, failed: []bool{false, false}},
		"a key that never works":  {failed: []bool{true, false}},
		"a revocation in vain":    {opens: true, ignores: true, failed: []bool{false, true}},
		"a gateway without a pen": {fails: errors.New("read-only"), failed: []bool{true}},
	} {
		var asked, revoked atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			known := r.Header.Get("Authorization") == "Bearer gwk_new" && c.opens && asked.Add(1) > 2
			if !known || revoked.Load() > 0 && !c.ignores && revoked.Add(1) > 3 {
				w.WriteHeader(http.StatusUnauthorized)
			}
		}))
		issue := func(_ context.Context, scopes []string) (string, func(context.Context) error, error) {
			if !slices.Equal(scopes, []string{"a"}) {
				t.Errorf("%s: scopes %v", name, scopes)
			}
			return "gwk_new", func(context.Context) error { revoked.Store(1); return nil }, c.fails
		}
		state := routes(map[string]gateway.RouteBody{"open": {Path: "/o", Auth: gateway.AuthNone}, "post": {Path: "/p", Methods: []string{"POST"}},
			"two": {Path: "/two", Scopes: []string{"a", "b"}}, "one": {Path: "/one/{id}", Scopes: []string{"a"}, Hosts: []string{"shop.example"}}})
		checks := DataPlane{URLs: []string{server.URL}, Within: 100 * time.Millisecond}.ProbeKey(t.Context(), state, issue)
		var failed []bool
		for _, c := range checks {
			failed = append(failed, !c.OK)
			if strings.Contains(c.String(), "gwk_") {
				t.Errorf("a key is shown: %s", c)
			}
		}
		if !slices.Equal(failed, c.failed) || c.fails == nil && !strings.HasPrefix(checks[0].Request, "GET shop.example/one/gwdr-probe with ") {
			t.Errorf("%s: %v", name, checks)
		}
		server.Close()
	}
	none := DataPlane{URLs: []string{"http://127.0.0.1:1"}}.ProbeKey(t.Context(), routes(map[string]gateway.RouteBody{"open": {Path: "/o", Auth: gateway.AuthNone}}), nil)
	if len(none) != 0 {
		t.Errorf("no route needs a key: %v", none)
	}
}
