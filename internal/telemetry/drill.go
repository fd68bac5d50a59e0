package telemetry

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"gwdr/drills"
	"gwdr/probes"
)

// phases and verdicts are all values of their metrics.
var (
	phases = []drills.Phase{drills.Planned, drills.Validated, drills.Preflight, drills.Announced, drills.Baseline, drills.Armed, drills.Injecting,
		drills.Observing, drills.Recovering, drills.Recovered, drills.Sustain, drills.Aborting, drills.Reverting, drills.Settling, drills.Failback,
		drills.Reconciling, drills.Clean, drills.Dirty}
	verdicts = []drills.Verdict{drills.Pass, drills.Fail, drills.Inconclusive, drills.Aborted, drills.Refused, drills.Errored}
	results  = []probes.Result{probes.Acked, probes.Rejected, probes.Indeterminate}
)

// Drill is what Prometheus sees of a running drill.
type Drill struct {
	*prometheus.Registry
	board   board
	courses *courses
	armed   prometheus.Gauge
	changes map[probes.Result]prometheus.Counter // never changed

	phase, verdict *enum
	faults         prometheus.Gauge
	rta, rpa       *prometheus.GaugeVec

	mu       sync.Mutex
	inEffect map[string]bool // by id of the fault
}

// NewDrill returns the metrics of a drill of the scenario, whose series are all that is shown.
func NewDrill(version, scenario, fleet string, all []probes.Series) *Drill {
	v := newVectors()
	d := &Drill{Registry: newRegistry(version), board: newBoard(v, all), armed: newArmed(), changes: map[probes.Result]prometheus.Counter{},
		inEffect: map[string]bool{}}
	d.courses = newCourses(d.board)
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	}
	info := gauge("gwdr_drill_info", "Always 1; which scenario is drilled, and on what.", "scenario", "fleet")
	info.WithLabelValues(scenario, fleet).Set(1)
	changes := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gwdr_drill_changes_total",
		Help: "Changes of the ledger by what became of them; indeterminate ones may have happened."}, []string{"result"})
	for _, r := range results {
		d.changes[r] = changes.WithLabelValues(string(r))
	}
	d.phase = newEnum("gwdr_drill_phase", "1 for the phase that the drill is in, 0 for all others.", "phase", phases)
	d.faults = prometheus.NewGauge(prometheus.GaugeOpts{Name: "gwdr_drill_faults_in_effect",
		Help: "Faults that were injected and are not proven to be reverted."})
	d.verdict = newEnum("gwdr_drill_verdict", "1 for the verdict, once the drill has ended; 0 for all others, and for all until then.", "verdict", verdicts)
	d.rta = gauge("gwdr_drill_rta_seconds",
		"Achieved recovery time, once the drill has ended; high is judged. Only low if the plane did not recover.", "plane", "bound")
	d.rpa = gauge("gwdr_drill_rpa_seconds", "Achieved recovery point, once the drill has ended; only low if no upper bound is known.", "bound")
	d.MustRegister(v.attempts, v.latency, v.lag, d.courses, d.armed, info, changes, d.phase, d.faults, d.verdict, d.rta, d.rpa)
	return d
}

// Observe takes the next event. It is safe for concurrent use, and does for an attempt but count.
func (d *Drill) Observe(e drills.Event) {
	switch {
	case e.Sample != nil:
		d.board.count(e.Sample)
	case e.Change != nil:
		if counter := d.changes[e.Change.Result]; counter != nil { // what is only meant has none
			counter.Inc()
		}
	case e.Courses != nil:
		d.courses.look(e.At, e.Courses)
	case e.Phase != nil:
		d.enter(e.Phase.Phase)
	case e.Fault != nil:
		d.fault(*e.Fault)
	case e.Result != nil:
		d.end(e.Result)
	}
}

func (d *Drill) enter(now drills.Phase) {
	d.phase.set(string(now))
	if now == drills.Armed {
		d.armed.Set(1)
	}
}

// fault counts what is in effect: a fault whose revert failed still may be.
func (d *Drill) fault(e drills.FaultEvent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch e.What {
	case "injected":
		d.inEffect[e.ID] = true
	case "reverted":
		delete(d.inEffect, e.ID)
	}
	d.faults.Set(float64(len(d.inEffect)))
}

// end shows what came out.
func (d *Drill) end(r *drills.Result) {
	d.courses.end()
	d.verdict.set(string(r.Verdict))
	for plane, rta := range r.RTA {
		d.rta.WithLabelValues(plane, "low").Set(rta.LowS)
		if rta.Recovered {
			d.rta.WithLabelValues(plane, "point").Set(rta.PointS)
			d.rta.WithLabelValues(plane, "high").Set(rta.HighS)
		}
	}
	if r.RPA.Acked == 0 {
		return
	}
	d.rpa.WithLabelValues("low").Set(r.RPA.LowS)
	if !r.RPA.Open {
		d.rpa.WithLabelValues("high").Set(r.RPA.HighS)
	}
}
