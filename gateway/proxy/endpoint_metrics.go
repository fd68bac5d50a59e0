package proxy

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// endpointMetrics say how it stands with each endpoint.
type endpointMetrics struct {
	healthy, ejected *prometheus.Desc
	breaker          breakerMetrics
}

func newEndpointMetrics() endpointMetrics {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"upstream", "endpoint"}, nil)
	}
	return endpointMetrics{
		healthy: desc("gwdr_endpoint_healthy", "Whether requests are sent to the endpoint."),
		ejected: desc("gwdr_endpoint_ejected", "Whether the endpoint is passed over because of how its requests fared."),
		breaker: newBreakerMetrics("endpoint", "upstream", "endpoint"),
	}
}

func (m endpointMetrics) describe(ch chan<- *prometheus.Desc) {
	ch <- m.healthy
	ch <- m.ejected
	m.breaker.describe(ch)
}

// collect sends what is known of the upstream's endpoints; of those that are there twice, once.
func (m endpointMetrics) collect(ch chan<- prometheus.Metric, u *upstream) {
	seen := map[string]bool{}
	for _, e := range u.endpoints {
		address := e.url.String()
		if seen[address] {
			continue
		}
		seen[address] = true
		send := func(of *prometheus.Desc, value float64) {
			ch <- prometheus.MustNewConstMetric(of, prometheus.GaugeValue, value, u.id, address)
		}
		send(m.healthy, oneIf(e.usable()))
		send(m.ejected, oneIf(e.isEjected(time.Now())))
		m.breaker.collect(ch, e.breaker, u.id, address)
	}
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
