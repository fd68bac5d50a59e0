package proxy

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"gwdr/gateway"
)

// TestShedding: what is beyond the limit is answered at once, without a look at its key, and the gateway's own pages always.
func TestShedding(t *testing.T) {
	arrived, release := make(chan bool), make(chan bool)
	back := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived <- true
		<-release
	}))
	t.Cleanup(back.Close)
	registry := newRegistry()
	g := newGateway(t, Options{MaxInFlight: 2, Metrics: registry}, upstreamOf("u", back.URL), open("r", "/", "u"),
		entity(gateway.Route, "key", gateway.RouteBody{Path: "/key", Upstream: "u"}))
	url := serve(t, g)
	var hang sync.WaitGroup
	for range 2 {
		hang.Go(func() { get(t, url) })
		<-arrived
	}
	for _, path := range []string{"/", "/key", "/nowhere"} {
		if got := get(t, url+path); got.Status != 503 || got.Header.Get("Retry-After") != "1" || !strings.Contains(got.Body, "under way") {
			t.Errorf("%s: %d, to come again after %q: %s", path, got.Status, got.Header.Get("Retry-After"), got.Body)
		}
	}
	for _, path := range []string{healthPath, readyPath} {
		if got := get(t, url+path); got.Status != 200 {
			t.Errorf("%s: %d", path, got.Status)
		}
	}
	for _, want := range []string{`gwdr_refused_total{reason="saturated"} 3`, "gwdr_requests_in_flight 2",
		`gwdr_requests_total{code="5xx"} 3`} {
		if series := gathered(t, registry); !strings.Contains(series, want+"\n") {
			t.Errorf("no %s in\n%s", want, series)
		}
	}
	close(release)
	hang.Wait()
	eventually(t, "there is room again", func() bool { return g.underWay.inFlight.Load() == 0 })
	hang.Go(func() { <-arrived })
	if got := get(t, url); got.Status != 200 {
		t.Errorf("then: %d %s", got.Status, got.Body)
	}
	hang.Wait()
}

// BenchmarkShed is what saying no costs.
func BenchmarkShed(b *testing.B) {
	g := newGateway(b, Options{MaxInFlight: 1}, upstreamOf("u"), open("r", "/", "u"))
	g.underWay.enter()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	b.ReportAllocs()
	for b.Loop() {
		g.ServeHTTP(httptest.NewRecorder(), r)
	}
}
