package proxy

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// endpointMetrics say how it stands with each endpoint.
type endpointMetrics struct{ healthy, ejected, breaker *prometheus.Desc }

func newEndpointMetrics() endpointMetrics {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"upstream", "endpoint"}, nil)
	}
	return endpointMetrics{
		healthy: desc("gwdr_endpoint_healthy", "Whether requests are sent to the endpoint."),
		ejected: desc("gwdr_endpoint_ejected", "Whether the endpoint is passed over because of how its requests fared."),
		breaker: desc("gwdr_endpoint_breaker_state", "The endpoint's circuit breaker: 0 closed, 1 half open, 2 open."),
	}
}

func (m endpointMetrics) describe(ch chan<- *prometheus.Desc) {
	ch <- m.healthy
	ch <- m.ejected
	ch <- m.breaker
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
		if e.breaker != nil {
			send(m.breaker, float64(e.breaker.state()))
		}
	}
}

func oneIf(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
