// Package telemetry shows a measurement to monitoring systems: to Prometheus as metrics while it runs, to OpenTelemetry as
// a trace once it has ended. Neither is evidence, and neither can do anything to what it shows.
package telemetry

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
)

// newRegistry has what all metrics of this version have in common.
func newRegistry(version string) *prometheus.Registry {
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "gwdr_build_info", Help: "Always 1; which gwdr this is.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()}})
	build.Set(1)
	r := prometheus.NewRegistry()
	r.MustRegister(build)
	return r
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
