package proxy

import "github.com/prometheus/client_golang/prometheus"

// refused counts requests that were answered 503 although somebody could have been asked, to spare who is asked, or the gateway.
type refused struct {
	*prometheus.CounterVec
	open, full, saturated prometheus.Counter // because of circuit breakers, bulkheads, Options.MaxInFlight
}

func newRefused() refused {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gwdr_refused_total",
		Help: "Requests that were answered 503 to spare the upstream, or the gateway itself, by reason."}, []string{"reason"})
	return refused{CounterVec: v, open: v.WithLabelValues("breaker"), full: v.WithLabelValues("bulkhead"),
		saturated: v.WithLabelValues("saturated")}
}
