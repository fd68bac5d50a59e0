//go:build linux

package gateway

import (
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"gwdr/e2e/shell"
	"gwdr/gateway"
)

// revoking is three data planes of one control plane, which have a route that asks for a key.
type revoking struct {
	control *server
	data    []*server
}

func newRevoking(t testing.TB) *revoking {
	t.Helper()
	shell.New(t, binary)
	back := httptest.NewServer(backend())
	t.Cleanup(back.Close)
	r := &revoking{control: serve(t, "--role", "control")}
	r.control.put(gateway.Upstream, "back", gateway.UpstreamBody{Endpoints: endpoints(back.Listener.Addr().String())})
	r.control.put(gateway.Route, "shop", gateway.RouteBody{Path: "/shop", Upstream: "back"})
	for range 3 {
		r.data = append(r.data, serve(t, "--role", "data", "--control", "http://"+r.control.Admin))
	}
	return r
}

// revoke has a key revoked that opens everywhere, and returns how long after the answer each data plane first refused it.
func (r *revoking) revoke(t testing.TB) []time.Duration {
	t.Helper()
	key := r.control.issue()
	for _, s := range r.data {
		s.awaits("/shop", key.Token, 200)
	}
	if err := r.control.client().RevokeKey(t.Context(), key.ID, "leaked"); err != nil {
		t.Fatal(err)
	}
	return r.until(t, "/shop", key.Token, 401)
}

// until returns how long from now each data plane takes until it answers so; 30 s if it does not.
func (r *revoking) until(t testing.TB, path, token string, want int) (after []time.Duration) {
	t.Helper()
	start := time.Now()
	after = make([]time.Duration, len(r.data))
	var all sync.WaitGroup
	for i, s := range r.data {
		all.Go(func() {
			for status := 0; status != want && time.Since(start) < 30*time.Second; after[i] = time.Since(start) {
				var err error
				if status, err = s.get(path, token); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return after
}

// A revocation that was answered ends the key at each data plane, soon and by itself.
func TestRevocationReachesAll(t *testing.T) {
	r := newRevoking(t)
	for range 3 {
		for i, took := range r.revoke(t) {
			if took >= 30*time.Second {
				t.Errorf("data plane %d lets the key in", i)
			}
		}
	}
}

// BenchmarkRevocation: how long after the answer the last of three data planes lets the key in no more. The contract is a second.
func BenchmarkRevocation(b *testing.B) {
	r := newRevoking(b)
	var last []time.Duration
	for b.Loop() {
		last = append(last, slices.Max(r.revoke(b)))
	}
	reportLatency(b, last)
}

func reportLatency(b *testing.B, took []time.Duration) {
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	b.ReportMetric(ms(took[len(took)/2]), "ms-median")
	b.ReportMetric(ms(took[len(took)-1]), "ms-worst")
	b.ReportMetric(0, "ns/op") // of what comes before, too: of no interest
}
