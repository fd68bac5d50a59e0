package proxy

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what Prometheus sees of a Gateway.
type metrics struct {
	gateway   *Gateway
	requests  *prometheus.CounterVec
	classes   [6]prometheus.Counter // of requests, by first digit of the status; 0 is an answer that never began
	duration  prometheus.Histogram
	rejected  prometheus.Counter
	retries   prometheus.Counter
	unretried prometheus.Counter
	cut       prometheus.Counter
	limited   prometheus.Counter
	invalid   *prometheus.CounterVec
	revision  *prometheus.Desc
	healthy   *prometheus.Desc
}

func newMetrics(g *Gateway) *metrics {
	m := &metrics{
		gateway: g,
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
		cut: prometheus.NewCounter(prometheus.CounterOpts{Name: "gwdr_responses_cut_total",
			Help: "Responses that were broken off because of their upstream's total_timeout or idle_timeout."}),
		limited: prometheus.NewCounter(prometheus.CounterOpts{Name: "gwdr_limited_total",
			Help: "Requests that were refused because of their route's limit."}),
		invalid: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gwdr_invalid_total",
			Help: "Requests that were refused as they are not as their route's spec says, or as nobody can tell."}, []string{"cause"}),
		revision: prometheus.NewDesc("gwdr_config_revision", "Revision of the configuration that is served.", nil, nil),
		healthy: prometheus.NewDesc("gwdr_endpoint_healthy", "Whether requests are sent to the endpoint.",
			[]string{"upstream", "endpoint"}, nil),
	}
	for i := range m.classes {
		class := fmt.Sprintf("%dxx", i)
		if i == 0 {
			class = "none"
		}
		m.classes[i] = m.requests.WithLabelValues(class)
	}
	return m
}

func (m *metrics) register(r prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{m, m.requests, m.duration, m.rejected, m.retries, m.unretried, m.cut, m.limited, m.invalid} {
		if err := r.Register(c); err != nil {
			return err
		}
	}
	return nil
}

func (m *metrics) observe(status int, took time.Duration) {
	class := status / 100
	if class < 0 || class >= len(m.classes) {
		class = 0
	}
	m.classes[class].Inc()
	m.duration.Observe(took.Seconds())
}

// Describe sends the descriptions of what Collect reads from the configuration.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.revision
	ch <- m.healthy
}

// Collect reads the configuration that is served now, so that no series outlives its endpoint.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	c := m.gateway.live.Load()
	if c == nil {
		return
	}
	ch <- prometheus.MustNewConstMetric(m.revision, prometheus.GaugeValue, float64(c.header.Revision))
	for id, u := range c.upstreams {
		seen := map[string]bool{}
		for _, e := range u.endpoints {
			if address := e.url.String(); !seen[address] {
				seen[address] = true
				value := 0.0
				if e.usable() {
					value = 1
				}
				ch <- prometheus.MustNewConstMetric(m.healthy, prometheus.GaugeValue, value, id, address)
			}
		}
	}
}
