package proxy

import "github.com/prometheus/client_golang/prometheus"

// breakerMetrics say how it stands with circuit breakers.
type breakerMetrics struct{ state, opened *prometheus.Desc }

// newBreakerMetrics makes those of what has breakers, an endpoint or a route, by its labels.
func newBreakerMetrics(what string, labels ...string) breakerMetrics {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("gwdr_"+what+"_breaker_"+name, help, labels, nil)
	}
	return breakerMetrics{
		state:  desc("state", "The circuit breaker: 0 closed, 1 half open, 2 open."),
		opened: desc("opened_total", "How often the circuit breaker opened."),
	}
}

func (m breakerMetrics) describe(ch chan<- *prometheus.Desc) { ch <- m.state; ch <- m.opened }

func (m breakerMetrics) collect(ch chan<- prometheus.Metric, b *breaker, labels ...string) {
	if b == nil {
		return
	}
	ch <- prometheus.MustNewConstMetric(m.state, prometheus.GaugeValue, float64(b.state()), labels...)
	ch <- prometheus.MustNewConstMetric(m.opened, prometheus.CounterValue, float64(b.opened.Load()), labels...)
}
