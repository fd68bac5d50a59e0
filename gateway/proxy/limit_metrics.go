package proxy

import "github.com/prometheus/client_golang/prometheus"

// limitMetrics are those of what keeps requests out.
type limitMetrics struct {
	notFromThere prometheus.Counter
	delayed      prometheus.Counter
	waiting      prometheus.Gauge
}

func newLimitMetrics() limitMetrics {
	return limitMetrics{
		notFromThere: prometheus.NewCounter(prometheus.CounterOpts{Name: "gwdr_address_refused_total",
			Help: "Requests that were refused because of where they came from."}),
		delayed: prometheus.NewCounter(prometheus.CounterOpts{Name: "gwdr_delayed_total",
			Help: "Requests that waited for their turn by their route's limit."}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "gwdr_delayed_waiting", Help: "Requests that wait for their turn now."}),
	}
}

func (m *limitMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.notFromThere, m.delayed, m.waiting}
}
