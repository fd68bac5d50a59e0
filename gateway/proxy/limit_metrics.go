package proxy

import "github.com/prometheus/client_golang/prometheus"

// limitMetrics are those of what keeps requests out.
type limitMetrics struct {
	notFromThere prometheus.Counter
}

func newLimitMetrics() limitMetrics {
	return limitMetrics{
		notFromThere: prometheus.NewCounter(prometheus.CounterOpts{Name: "gwdr_address_refused_total",
			Help: "Requests that were refused because of where they came from."}),
	}
}

func (m *limitMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.notFromThere}
}
