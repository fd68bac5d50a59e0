package proxy

import "github.com/prometheus/client_golang/prometheus"

// limitMetrics are those of what keeps requests out.
type limitMetrics struct {
	notFromThere prometheus.Counter
	delayed      prometheus.Counter
	waiting      prometheus.Gauge
	unshared     prometheus.Counter
	shared       prometheus.Collector // nil: nobody counts for all data planes
}

func newLimitMetrics(g *Gateway) limitMetrics {
	m := limitMetrics{
		notFromThere: prometheus.NewCounter(prometheus.CounterOpts{Name: "gwdr_address_refused_total",
			Help: "Requests that were refused because of where they came from."}),
		delayed: prometheus.NewCounter(prometheus.CounterOpts{Name: "gwdr_delayed_total",
			Help: "Requests that waited for their turn by their route's limit."}),
		waiting: prometheus.NewGauge(prometheus.GaugeOpts{Name: "gwdr_delayed_waiting", Help: "Requests that wait for their turn now."}),
		unshared: prometheus.NewCounter(prometheus.CounterOpts{Name: "gwdr_limits_unshared_total",
			Help: "Requests with a shared limit that went by its on_loss."}),
	}
	if g.shared.counter != nil {
		m.shared = prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gwdr_limits_shared",
			Help: "Whether shared limits are counted together with other data planes."}, g.shared.works)
	}
	return m
}

func (m *limitMetrics) collectors() []prometheus.Collector {
	all := []prometheus.Collector{m.notFromThere, m.delayed, m.waiting, m.unshared}
	if m.shared != nil {
		all = append(all, m.shared)
	}
	return all
}
