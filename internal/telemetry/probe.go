package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"gwdr/drills"
	"gwdr/probes"
)

// Probe is what Prometheus sees of a running watch.
type Probe struct {
	*prometheus.Registry
	board   board
	courses *courses
	armed   prometheus.Gauge
}

// NewProbe returns the metrics of a watch of the plan, whose series are all that is shown.
func NewProbe(version string, plan drills.WatchPlan) *Probe {
	var all []probes.Series
	for _, s := range plan.Series {
		all = append(all, s.Series)
	}
	v := newVectors()
	p := &Probe{Registry: newRegistry(version), board: newBoard(v, all), armed: newArmed()}
	p.courses = newCourses(p.board)
	p.MustRegister(v.attempts, v.latency, v.lag, p.courses, p.armed)
	return p
}

func newArmed() prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: "gwdr_probe_armed",
		Help: "Whether the baseline is over: from then on it is known what is slow."})
}

// Observe takes the next event. It is safe for concurrent use, and does for an attempt but count.
func (p *Probe) Observe(e drills.WatchEvent) {
	switch {
	case e.Sample != nil:
		p.board.count(e.Sample)
	case e.Courses != nil:
		p.courses.look(e.At, e.Courses)
	case e.Armed:
		p.armed.Set(1)
	}
}
