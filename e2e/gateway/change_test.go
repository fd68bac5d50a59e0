//go:build linux

package gateway

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"gwdr/gateway"
)

// BenchmarkRouteChange: how long after the answer the last of three data planes serves a route that was put, beside 10,000 routes and 100,000
// keys. The contract is 50 ms.
func BenchmarkRouteChange(b *testing.B) {
	r := newRevoking(b)
	r.control.fill(10_000, 100_000)
	for _, s := range r.data {
		s.awaits("/full", "", 200)
	}
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		took = append(took, slices.Max(r.open(b, fmt.Sprintf("/new%d", i))))
	}
	reportLatency(b, took)
}

// fill puts so many routes and keys, and at last one at /full.
func (s *server) fill(routes, keys int) {
	s.t.Helper()
	for from := 0; from < routes+keys; from += 5000 { // by requests of a size that etcd takes
		next := gateway.NewState()
		for i := from; i < min(from+5000, routes+keys); i++ {
			if i < routes {
				next.Put(entity(gateway.Route, fmt.Sprint(i), gateway.RouteBody{Path: benchTemplate(i), Upstream: "back"}))
				continue
			}
			token := gateway.NewToken()
			next.Put(entity(gateway.Key, token.ID, gateway.KeyBody{Hash: token.Hash(), Scopes: []string{"read"}}))
		}
		if _, err := s.client().ApplyBulk(s.t.Context(), gateway.Diff(gateway.NewState(), next), gateway.Bulk{}); err != nil {
			s.t.Fatal(err)
		}
	}
	s.put(gateway.Route, "full", gateway.RouteBody{Path: "/full", Upstream: "back", Auth: gateway.AuthNone})
}

// open puts a route, and returns how long after the answer each data plane first served it.
func (r *revoking) open(t testing.TB, path string) []time.Duration {
	t.Helper()
	r.control.put(gateway.Route, path[1:], gateway.RouteBody{Path: path, Upstream: "back", Auth: gateway.AuthNone})
	return r.until(t, path, "", 200)
}
