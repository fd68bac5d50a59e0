package proxy

import "github.com/prometheus/client_golang/prometheus"

// limitMetrics are those of what keeps requests out.
type limitMetrics struct {
	notFromThere prometheus.Counter
	delayed      prometheus.Counter
	waiting      prometheus.Gauge
	unshared     prometheus.Counter
	slowBodies   prometheus.Counter
	connections  prometheus.Gauge

	connectionsRefused *prometheus.CounterVec // by the bound that they were beyond

	shared prometheus.Collector // nil: nobody counts for all data planes
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
		slowBodies: prometheus.NewCounter(prometheus.CounterOpts{Name: "gwdr_slow_bodies_total",
			Help: "Requests that were broken off because their body came slower than their route's min_body_rate."}),
		connections: prometheus.NewGauge(prometheus.GaugeOpts{Name: "gwdr_connections", Help: "Connections of clients that are open."}),
		connectionsRefused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gwdr_connections_refused_total",
			Help: "Connections that were closed at once, by the bound that they were beyond: of all, or of their address."}, []string{"bound"}),
	}
	if g.shared.counter != nil {
		m.shared = prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "gwdr_limits_shared",
			Help: "Whether shared limits are counted together with other data planes."}, g.shared.works)
	}
	return m
}

func (m *limitMetrics) collectors() []prometheus.Collector {
	all := []prometheus.Collector{m.notFromThere, m.delayed, m.waiting, m.unshared, m.slowBodies, m.connections, m.connectionsRefused}
	if m.shared != nil {
		all = append(all, m.shared)
	}
	return all
}
