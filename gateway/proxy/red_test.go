package proxy

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"gwdr/gateway"
)

// seriesOfRoutes are those that begin with gwdr_route.
func seriesOfRoutes(t *testing.T, r *prometheus.Registry) (lines []string) {
	t.Helper()
	for line := range strings.Lines(gathered(t, r)) {
		if strings.HasPrefix(line, "gwdr_route_") {
			lines = append(lines, strings.TrimSpace(strings.TrimPrefix(line, "gwdr_route_")))
		}
	}
	return lines
}

func TestRouteMetrics(t *testing.T) {
	s, registry := newSwitch(t, "s"), newRegistry()
	s.set(unready)
	guarded := gateway.RouteBody{Path: "/guarded", Upstream: "u", Breaker: &gateway.Breaker{}, Bulkhead: &gateway.Bulkhead{MaxInFlight: 3}}
	g := newGateway(t, Options{Metrics: registry}, upstreamOf("u", s.url), open("a", "/{x...}", "u"), open(otherRoutes, "/other", "u"),
		entity(gateway.Route, "guarded", guarded), open("unused", "/unused", "u"))
	url := serve(t, g)
	for _, ask := range []string{"GET /", "HEAD /", "POST /", "PUT /health", "GET /other", "GET /guarded"} {
		method, path, _ := strings.Cut(ask, " ")
		do(t, method, url+path, "")
	}
	eventually(t, "all are over", func() bool { return g.underWay.inFlight.Load() == 0 })
	want := []string{
		`breaker_opened_total{route="guarded"} 0`, `breaker_state{route="guarded"} 0`, `in_flight{route="guarded"} 0`,
		`request_duration_seconds{route="a"} 4`, `request_duration_seconds{route="guarded"} 1`, `request_duration_seconds{route="other"} 1`,
		`requests_total{code="2xx",method="read",route="a"} 2`, `requests_total{code="2xx",method="read",route="other"} 1`,
		`requests_total{code="2xx",method="write",route="a"} 1`, `requests_total{code="4xx",method="read",route="guarded"} 1`,
		`requests_total{code="5xx",method="write",route="a"} 1`, `waiting{route="guarded"} 0`,
	}
	if diff := cmp.Diff(want, seriesOfRoutes(t, registry)); diff != "" {
		t.Error(diff)
	}
	guarded.Breaker = nil // put again, it goes on; deleted, it is gone
	update := func(c gateway.Change) {
		if err := g.Update(gateway.Batch{Revision: 2, Changes: []gateway.Change{c}}); err != nil {
			t.Fatal(err)
		}
	}
	update(put(entity(gateway.Route, "guarded", guarded)))
	update(remove(open("a", "/{x...}", "u")))
	get(t, url+"/guarded")
	eventually(t, "it is over", func() bool { return g.underWay.inFlight.Load() == 0 })
	want = []string{`in_flight{route="guarded"} 0`, `request_duration_seconds{route="guarded"} 2`, `request_duration_seconds{route="other"} 1`,
		`requests_total{code="2xx",method="read",route="other"} 1`, `requests_total{code="4xx",method="read",route="guarded"} 2`,
		`waiting{route="guarded"} 0`}
	if diff := cmp.Diff(want, seriesOfRoutes(t, registry)); diff != "" {
		t.Error(diff)
	}
}

// TestRouteMetricsAreBounded, however many routes there are.
func TestRouteMetricsAreBounded(t *testing.T) {
	registry, entities := newRegistry(), []gateway.Entity{upstreamOf("u"), open(otherRoutes, "/other", "u")}
	for i := range routesWithSeries + 2 {
		entities = append(entities, open(fmt.Sprint(i), fmt.Sprintf("/%d", i), "u"))
	}
	g := newGateway(t, Options{Metrics: registry}, entities...)
	ask := func(name any) {
		g.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, fmt.Sprintf("/%v", name), nil))
	}
	ask(otherRoutes)
	for i := range routesWithSeries + 2 {
		ask(i)
	}
	last := fmt.Sprintf(`requests_total{code="5xx",method="read",route="%d"} 1`, routesWithSeries)
	has := func(want string) bool { return slices.Contains(seriesOfRoutes(t, registry), want) }
	all := len(seriesOfRoutes(t, registry))
	if !has(`requests_total{code="5xx",method="read",route="other"} 3`) || has(last) || all != 2*(routesWithSeries+1) {
		t.Errorf("%d series", all)
	}
	if err := g.Update(gateway.Batch{Revision: 2, Changes: []gateway.Change{remove(entities[2])}}); err != nil {
		t.Fatal(err)
	}
	all = len(seriesOfRoutes(t, registry))
	if known := len(g.metrics.routes.known); all != 2*routesWithSeries || known != routesWithSeries-1 {
		t.Errorf("%d series of %d routes", all, known)
	}
	ask(routesWithSeries)
	if !has(last) || !has(`requests_total{code="5xx",method="read",route="other"} 3`) {
		t.Error("there was room for another route")
	}
}

func TestRouteMetricsAllocateNothing(t *testing.T) {
	m, r := newRouteMetrics(nil), &route{id: "r"}
	m.observe(r, http.MethodGet, 200, time.Millisecond)
	if n := testing.AllocsPerRun(1000, func() { m.observe(r, http.MethodPost, 503, time.Second) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRouteMetrics(b *testing.B) {
	m, r := newRouteMetrics(nil), &route{id: "r"}
	b.ReportAllocs()
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			m.observe(r, http.MethodGet, 200, 3*time.Millisecond)
		}
	})
}

// BenchmarkScrape is of as many routes with series as there can be, in a configuration of ten times as many.
func BenchmarkScrape(b *testing.B) {
	registry := newRegistry()
	g := newGateway(b, Options{Metrics: registry})
	if err := g.Load(storeA, largeState()); err != nil {
		b.Fatal(err)
	}
	for _, r := range g.live.Load().routes {
		for status := 200; status < 600; status += 100 {
			g.metrics.routes.observe(r, http.MethodGet, status, time.Millisecond)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := registry.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}
