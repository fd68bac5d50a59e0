package telemetry

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gwdr/probes"
)

// courses shows how each series fares, as of the last look that a running measurement took at all of them.
type courses struct {
	board board

	up, current, outages, last, waiting *prometheus.Desc
	info, interval                      *prometheus.Desc

	mu   sync.Mutex
	seen map[string]course
}

// course is what the last look saw of one series.
type course struct {
	measured bool // in the last look: what follows of it holds now
	down     bool
	current  time.Duration // length of the outage that lasts, up to its last affected attempt once it answers again
	outages  int           // so far, with the one that lasts
	inFlight float64
	last     *probes.Outage
}

func newCourses(b board) *courses {
	label := []string{"series"}
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, append(label, labels...), nil)
	}
	return &courses{board: b, seen: map[string]course{},
		up:      desc("gwdr_probe_up", "Whether the series is up (1), or down and not yet shown to be up again (0)."),
		current: desc("gwdr_probe_outage_seconds", "How long the outage has lasted that is not yet shown to be over; 0 if there is none."),
		outages: desc("gwdr_probe_outages_total", "Outages so far, with one that lasts."),
		last:    desc("gwdr_probe_last_outage_seconds", "Length of the last outage that is over: its point estimate, and the bounds that the truth lies in.", "bound"),
		waiting: desc("gwdr_probe_in_flight", "Attempts that are due and have not ended."),
		info:    desc("gwdr_probe_series_info", "Always 1; what the series belongs to. No fault touches a control target.", "plane", "control"),
		interval: desc("gwdr_probe_interval_seconds",
			"Time between two attempts of the series: 1/R."),
	}
}

// look takes how all series fare at the instant now since t0.
func (c *courses) look(now time.Duration, all []probes.Course) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unmeasure()
	for _, one := range all {
		s := c.board[one.Series.Name]
		if s == nil {
			continue
		}
		next := course{measured: true, outages: max(len(one.Outages), c.seen[s.Name].outages), inFlight: s.inFlight(int64(now))}
		ended := one.Outages
		if o, lasts := one.Lasts(); lasts {
			next.down, next.current = true, now-o.Start
			if one.Back > 0 {
				next.current = one.Back - o.Start
			}
			ended = ended[:len(ended)-1]
		}
		if n := len(ended); n > 0 {
			last := ended[n-1]
			next.last = &last
		}
		c.seen[s.Name] = next
	}
}

// end says that nothing is measured any more.
func (c *courses) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.unmeasure()
}

func (c *courses) unmeasure() {
	for name, seen := range c.seen {
		seen.measured = false
		c.seen[name] = seen
	}
}

// Describe sends all descriptions.
func (c *courses) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.up, c.current, c.outages, c.last, c.waiting, c.info, c.interval} {
		ch <- d
	}
}

// Collect shows each series: how it has fared, once there was a look, and how it fares, as long as it is measured.
func (c *courses) Collect(ch chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, name := range c.board.names() {
		s := c.board[name]
		gauge := func(d *prometheus.Desc, value float64, labels ...string) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, append([]string{s.label}, labels...)...)
		}
		gauge(c.info, 1, string(s.Plane), map[bool]string{true: "true", false: "false"}[s.Control])
		gauge(c.interval, s.Interval.Seconds())
		seen, looked := c.seen[name]
		if !looked {
			continue
		}
		if seen.measured {
			gauge(c.up, boolean(!seen.down))
			gauge(c.current, seen.current.Seconds())
			gauge(c.waiting, seen.inFlight)
		}
		ch <- prometheus.MustNewConstMetric(c.outages, prometheus.CounterValue, float64(seen.outages), s.label)
		if o := seen.last; o != nil {
			gauge(c.last, o.Low.Seconds(), "low")
			gauge(c.last, (o.End - o.Start).Seconds(), "point")
			gauge(c.last, o.High.Seconds(), "high")
		}
	}
}
