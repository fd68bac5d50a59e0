package proxy

import (
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// routesWithSeries is how many routes have series of their own, 30 each at most; the others share those of otherRoutes.
const (
	routesWithSeries = 1000
	otherRoutes      = "other"
)

// routeBuckets are upper bounds in seconds: some of gwdr_request_duration_seconds, as each route has them.
var routeBuckets = [...]float64{.005, .025, .1, .25, .5, 1, 2.5, 10}

// series is the requests of a route: how many, how they ended and how long they took.
type series struct {
	requests [2][6]atomic.Uint64 // by method class and status class, as metrics.classes
	took     [len(routeBuckets) + 1]atomic.Uint64
	sum      atomic.Int64 // nanoseconds
}

var methodClasses = [...]string{"read", "write"}

// methodClass is 0 for the methods that are safe by RFC 9110, section 9.2.1.
func methodClass(method string) int {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return 0
	}
	return 1
}

func (s *series) observe(method string, status int, took time.Duration) {
	s.requests[methodClass(method)][statusClass(status)].Add(1)
	bucket, _ := slices.BinarySearch(routeBuckets[:], took.Seconds())
	s.took[bucket].Add(1)
	s.sum.Add(int64(took))
}

// routeMetrics are rate, errors and duration of routes, and how it stands with their breakers and bulkheads. A route has series from
// its first request on, if there is room, until it is gone.
type routeMetrics struct {
	gateway            *Gateway
	requests, duration *prometheus.Desc
	breaker            breakerMetrics
	load               loadMetrics
	full               atomic.Bool // no other route gets series
	others             series

	mu    sync.Mutex
	known map[string]*series // by route
}

func newRouteMetrics(g *Gateway) *routeMetrics {
	return &routeMetrics{
		gateway: g,
		requests: prometheus.NewDesc("gwdr_route_requests_total",
			"Requests of a route by class of the method (read or write) and of the status answered.", []string{"route", "method", "code"}, nil),
		duration: prometheus.NewDesc("gwdr_route_request_duration_seconds", "Time from a request's header to the end of its response.",
			[]string{"route"}, nil),
		breaker: newBreakerMetrics("route", "route"),
		load:    newLoadMetrics("route"),
		known:   map[string]*series{},
	}
}

func (m *routeMetrics) observe(r *route, method string, status int, took time.Duration) {
	m.of(r).observe(method, status, took)
}

// of returns the route's series. The route remembers them, so that only its first request takes the lock.
func (m *routeMetrics) of(r *route) *series {
	if s := r.series.Load(); s != nil {
		return s
	}
	if r.id == otherRoutes || m.full.Load() {
		return &m.others
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.known[r.id]
	if s == nil {
		if len(m.known) == routesWithSeries {
			m.full.Store(true)
			return &m.others
		}
		s = new(series)
		m.known[r.id] = s
	}
	r.series.Store(s)
	return s
}

// Describe implements prometheus.Collector.
func (m *routeMetrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.requests
	ch <- m.duration
	m.breaker.describe(ch)
	m.load.describe(ch)
}

// Collect implements prometheus.Collector.
func (m *routeMetrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	routes := m.forget()
	for id, s := range m.known {
		r := routes[id]
		m.send(ch, id, s)
		m.load.collect(ch, id, r.bulkhead)
		m.breaker.collect(ch, r.breaker, id)
	}
	m.send(ch, otherRoutes, &m.others)
}

// forget drops the series of routes that are gone, and returns those that there are.
func (m *routeMetrics) forget() map[string]*route {
	var routes map[string]*route
	if c := m.gateway.live.Load(); c != nil {
		routes = c.routes
	}
	for id := range m.known {
		if routes[id] == nil {
			delete(m.known, id)
			m.full.Store(false)
		}
	}
	return routes
}

// send sends what there is of a route; of what it never had, nothing.
func (m *routeMetrics) send(ch chan<- prometheus.Metric, id string, s *series) {
	for method := range s.requests {
		for class := range s.requests[method] {
			if n := s.requests[method][class].Load(); n > 0 {
				ch <- prometheus.MustNewConstMetric(m.requests, prometheus.CounterValue, float64(n), id, methodClasses[method], classNames[class])
			}
		}
	}
	below, all := make(map[float64]uint64, len(routeBuckets)), uint64(0)
	for i := range s.took {
		all += s.took[i].Load()
		if i < len(routeBuckets) {
			below[routeBuckets[i]] = all
		}
	}
	if all > 0 {
		ch <- prometheus.MustNewConstHistogram(m.duration, all, time.Duration(s.sum.Load()).Seconds(), below, id)
	}
}
