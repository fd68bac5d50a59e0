package telemetry

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// enum is 1 for the value that holds now and 0 for all others; one look never shows two.
type enum struct {
	desc   *prometheus.Desc
	values []string
	now    atomic.Pointer[string] // nil: none yet
}

func newEnum[V ~string](name, help, label string, values []V) *enum {
	e := &enum{desc: prometheus.NewDesc(name, help, []string{label}, nil)}
	for _, v := range values {
		e.values = append(e.values, string(v))
	}
	return e
}

func (e *enum) set(value string) { e.now.Store(&value) }

// Describe sends the description.
func (e *enum) Describe(ch chan<- *prometheus.Desc) { ch <- e.desc }

// Collect shows each value.
func (e *enum) Collect(ch chan<- prometheus.Metric) {
	now := e.now.Load()
	for _, v := range e.values {
		ch <- prometheus.MustNewConstMetric(e.desc, prometheus.GaugeValue, boolean(now != nil && *now == v), v)
	}
}
