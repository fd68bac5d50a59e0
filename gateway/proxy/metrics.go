package proxy

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what Prometheus sees of a Gateway.
type metrics struct {
	gateway   *Gateway
	requests  *prometheus.CounterVec
	classes   [6]prometheus.Counter // of requests, by statusClass
	routes    *routeMetrics
	duration  prometheus.Histogram
	rejected  prometheus.Counter
	retries   prometheus.Counter
	unretried prometheus.Counter
	hedges    prometheus.Counter
	hedgesWon prometheus.Counter
	cut       prometheus.Counter
	limited   prometheus.Counter
	invalid   *prometheus.CounterVec
	refused   refused
	inFlight  prometheus.GaugeFunc
	revision  *prometheus.Desc
	keysAge   *prometheus.Desc
	endpoints endpointMetrics
	upstreams loadMetrics
	limitMetrics
}

func newMetrics(g *Gateway) *metrics {
	m := &metrics{
		gateway: g,
		routes:  newRouteMetrics(g),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gwdr_requests_total",
			Help: "Requests by class of the status answered."}, []string{"code"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "gwdr_request_duration_seconds",
			Help:    "Time from a request's header to the end of its response.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}}),
		rejected: prometheus.NewCounter(prometheus.CounterOpts{Name: "gwdr_config_rejected_total",
			Help: "Configurations that were refused or could not be compiled; the last good one stayed."}),
		retries: prometheus.NewCounter(prometheus.CounterOpts{Name: "gwdr_retries_total",
			Help: "Further attempts of requests, at another endpoint or the same."}),
		unretried: prometheus.NewCounter(prometheus.CounterOpts{Name: "gwdr_retries_refused_total",
			Help: "Further attempts that were not made, as the upstream's retry budget was spent."}),
		hedges: prometheus.NewCounter(prometheus.CounterOpts{Name: "gwdr_hedges_total",
			Help: "Requests that were made of another endpoint as well, as the first did not answer within hedge_after."}),
		hedgesWon: prometheus.NewCounter(prometheus.CounterOpts{Name: "gwdr_hedges_won_total",
			Help: "Those of them that the other endpoint answered."}),
		cut: prometheus.NewCounter(prometheus.CounterOpts{Name: "gwdr_responses_cut_total",
			Help: "Responses that were broken off because of their upstream's total_timeout or idle_timeout."}),
		limited: prometheus.NewCounter(prometheus.CounterOpts{Name: "gwdr_limited_total",
			Help: "Requests that were refused because of their route's limit."}),
		invalid: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gwdr_invalid_total",
			Help: "Requests that were refused as they are not as their route's spec says, or as nobody can tell."}, []string{"cause"}),
		inFlight: prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gwdr_requests_in_flight",
			Help: "Requests under way, but for those of the gateway's own pages."}, func() float64 { return float64(g.underWay.inFlight.Load()) }),
		refused:  newRefused(),
		revision: prometheus.NewDesc("gwdr_config_revision", "Revision of the configuration that is served.", nil, nil),
		keysAge: prometheus.NewDesc("gwdr_jwks_age_seconds",
			"Time since the keys of an issuer of tokens were last read.", []string{"issuer"}, nil),
		endpoints:    newEndpointMetrics(),
		upstreams:    newLoadMetrics("upstream"),
		limitMetrics: newLimitMetrics(g),
	}
	for i, class := range classNames {
		m.classes[i] = m.requests.WithLabelValues(class)
	}
	return m
}

func (m *metrics) register(r prometheus.Registerer) error {
	all := []prometheus.Collector{m, m.requests, m.duration, m.rejected, m.retries, m.unretried, m.cut, m.limited, m.invalid, m.refused,
		m.inFlight, m.routes, m.hedges, m.hedgesWon}
	for _, c := range append(all, m.limitMetrics.collectors()...) {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (m *metrics) observe(status int, took time.Duration) {
	m.classes[statusClass(status)].Inc()
	m.duration.Observe(took.Seconds())
}

// classNames are those of statusClass.
var classNames = [...]string{"none", "1xx", "2xx", "3xx", "4xx", "5xx"}

// statusClass is the first digit of the status; 0 is an answer that never began.
func statusClass(status int) int {
	if class := status / 100; class > 0 && class < len(classNames) {
		return class
	}
	return 0
}

// Describe sends the descriptions of what Collect reads from the configuration.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.revision
	ch <- m.keysAge
	m.endpoints.describe(ch)
	m.upstreams.describe(ch)
}

// Collect reads the configuration that is served now, so that no series outlives its endpoint.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	c := m.gateway.live.Load()
	if c == nil {
		return
	}
	ch <- prometheus.MustNewConstMetric(m.revision, prometheus.GaugeValue, float64(c.header.Revision))
	for _, i := range c.issuers {
		if age, ok := i.keys.age(); ok {
			ch <- prometheus.MustNewConstMetric(m.keysAge, prometheus.GaugeValue, age.Seconds(), i.name)
		}
	}
	for _, u := range c.upstreams {
		m.endpoints.collect(ch, u)
		m.upstreams.collect(ch, u.id, u.bulkhead)
	}
}
