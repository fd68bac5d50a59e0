package proxy

import "github.com/prometheus/client_golang/prometheus"

// loadMetrics say how full bulkheads are.
type loadMetrics struct{ inFlight, waiting *prometheus.Desc }

// newLoadMetrics makes those of what has bulkheads: an upstream or a route.
func newLoadMetrics(what string) loadMetrics {
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("gwdr_"+what+"_"+name, help, []string{what}, nil)
	}
	return loadMetrics{
		inFlight: desc("in_flight", "Requests under way, as far as there is a bulkhead."),
		waiting:  desc("waiting", "Requests in the bulkhead's queue."),
	}
}

func (m loadMetrics) describe(ch chan<- *prometheus.Desc) { ch <- m.inFlight; ch <- m.waiting }

func (m loadMetrics) collect(ch chan<- prometheus.Metric, id string, b *bulkhead) {
	if b == nil {
		return
	}
	taken, waiting := b.load()
	ch <- prometheus.MustNewConstMetric(m.inFlight, prometheus.GaugeValue, float64(taken), id)
	ch <- prometheus.MustNewConstMetric(m.waiting, prometheus.GaugeValue, float64(waiting), id)
}
