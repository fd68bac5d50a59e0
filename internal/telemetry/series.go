package telemetry

import (
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"gwdr/probes"
)

// classes are all that an attempt can be when it ends; what is slow is only known to whoever judges.
var classes = []probes.Class{probes.OK, probes.FailDNS, probes.FailRefused, probes.FailReset, probes.FailTLS, probes.FailTimeout,
	probes.FailStatus, probes.FailBody, probes.FailRevision, probes.FailAuth, probes.Unknown}

// The buckets, in seconds: 20 ms is the least that can be slow, 2 s the usual deadline. A lag of half an interval is too much.
var (
	latencyBuckets = []float64{.0005, .001, .0025, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5, 10}
	lagBuckets     = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1}
)

// vectors are the metrics that attempts are counted by.
type vectors struct {
	attempts *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	lag      *prometheus.HistogramVec
}

func newVectors() vectors {
	label := []string{"series"}
	return vectors{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "gwdr_probe_attempts_total",
			Help: "Attempts that have ended, by what became of them; unknown ones were not made."}, []string{"series", "class"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "gwdr_probe_latency_seconds",
			Help: "Time from when an attempt was due to its good answer, however late that was.", Buckets: latencyBuckets}, label),
		lag: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "gwdr_probe_send_lag_seconds",
			Help: "How long after it was due an attempt was sent, or given up unsent.", Buckets: lagBuckets}, label),
	}
}

// series counts the attempts of one series. Nothing in it is ever locked by who counts.
type series struct {
	probes.Series
	label   string                              // the name, which may come from anywhere
	classes map[probes.Class]prometheus.Counter // never changed
	strange func() prometheus.Counter           // of a class that is none of these, as who else probes may know one
	latency prometheus.Observer
	lag     prometheus.Observer
	ended   atomic.Int64
	first   atomic.Int64 // when attempt 0 was due, in ns since t0, plus 1; 0 while nobody knows
}

func (v vectors) series(s probes.Series) *series {
	label := strings.ToValidUTF8(s.Name, "?")
	one := &series{Series: s, label: label, classes: map[probes.Class]prometheus.Counter{},
		latency: v.latency.WithLabelValues(label), lag: v.lag.WithLabelValues(label),
		strange: func() prometheus.Counter { return v.attempts.WithLabelValues(label, "other") }}
	for _, class := range classes { // all from the start: a rate needs a counter that was 0
		one.classes[class] = v.attempts.WithLabelValues(label, string(class))
	}
	return one
}

// count takes an attempt that has ended.
func (s *series) count(a *probes.Sample) {
	counter := s.classes[a.Class]
	if counter == nil {
		counter = s.strange()
	}
	counter.Inc()
	if a.Class == probes.OK {
		s.latency.Observe((a.Done - a.Due).Seconds())
	}
	s.lag.Observe((a.Sent - a.Due).Seconds())
	if s.ended.Add(1) == 1 {
		s.first.Store(1 + int64(a.Due) - a.Seq*int64(s.Interval))
	}
}

// inFlight returns how many attempts were due at the instant now, in ns since t0, and have not ended.
func (s *series) inFlight(now int64) float64 {
	first := s.first.Load() - 1
	if first < 0 || now < first || s.Interval <= 0 {
		return 0
	}
	due := 1 + (now-first)/int64(s.Interval)
	return float64(max(0, due-s.ended.Load()))
}

// board is the attempts of all series, by name. It is not changed once attempts are counted.
type board map[string]*series

func newBoard(v vectors, all []probes.Series) board {
	b := board{}
	for _, s := range all {
		b[s.Name] = v.series(s)
	}
	return b
}

// count takes an attempt of a series that was announced; those of others are not shown.
func (b board) count(a *probes.Sample) {
	if s := b[a.Series]; s != nil {
		s.count(a)
	}
}

func (b board) names() []string { return slices.Sorted(maps.Keys(b)) }
