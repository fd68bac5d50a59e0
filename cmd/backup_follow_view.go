package cmd

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"gwdr/backup"
)

// followEvent shows an event of a follower: for people on stderr, or as a line of JSON on stdout.
func (a *app) followEvent(e backup.Event) {
	if !a.JSON {
		a.progress("%s %s", e.Time.Format(time.RFC3339), printable(followLine(e)))
		return
	}
	line, err := json.Marshal(struct {
		Schema string `json:"schema"`
		backup.Event
	}{"gwdr/follow-event/v1", e})
	if err == nil {
		_, err = fmt.Fprintf(a.Stdout, "%s\n", line)
	}
	if err != nil {
		a.Log.Error("event was not written", "error", err)
	}
}

// followLine says what happened.
func followLine(e backup.Event) string {
	switch e.Kind {
	case backup.LineageBegun:
		return fmt.Sprintf("following: lineage %s, from revision %d", e.Lineage, e.Revision)
	case backup.LocationAway:
		return fmt.Sprintf("location %s is away: %s", e.Location, e.Error)
	case backup.LocationBack:
		return fmt.Sprintf("location %s is back", e.Location)
	case backup.Stalled:
		return fmt.Sprintf("changes do not get into the log: %s", e.Error)
	case backup.Resumed:
		return "changes get into the log again"
	case backup.Gap:
		return fmt.Sprintf("the gateway does not remember all changes: the log has a gap before revision %d, which a full point closes", e.Revision)
	case backup.PointMade:
		what := "point"
		if e.Full {
			what = "full point"
		}
		return fmt.Sprintf("%s %s, revision %d", what, path.Base(e.Point), e.Revision)
	}
	return string(e.Kind)
}

// followHandler serves /healthz and /metrics.
func followHandler(f *backup.Follower, maxLag time.Duration) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(followCollector{f}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { writeHealth(w, f.Status(), maxLag) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return mux
}

// followHealth is the contract gwdr/follow-health/v1.
type followHealth struct {
	Schema  string   `json:"schema"`
	Healthy bool     `json:"healthy"`
	Lag     float64  `json:"lag_s"` // how long ago most locations were known to have all that the gateway had acknowledged
	MaxLag  float64  `json:"max_lag_s"`
	Reasons []string `json:"reasons"` // what is wrong, also if it is still healthy
}

func writeHealth(w http.ResponseWriter, s backup.FollowStatus, maxLag time.Duration) {
	h := followHealth{Schema: "gwdr/follow-health/v1", Healthy: s.Lag < maxLag, Lag: s.Lag.Seconds(), MaxLag: maxLag.Seconds(), Reasons: []string{}}
	if s.Stalled != nil {
		h.Reasons = append(h.Reasons, "changes do not get into the log: "+s.Stalled.Error())
	}
	if s.Backlog > 0 {
		h.Reasons = append(h.Reasons, fmt.Sprintf("not at most locations yet: %s of the log", count(int(s.Backlog), "segment")))
	}
	for _, l := range s.Locations {
		if l.Err != nil {
			h.Reasons = append(h.Reasons, fmt.Sprintf("location %s: %v", l.Name, l.Err))
		} else if l.PointErr != nil {
			h.Reasons = append(h.Reasons, fmt.Sprintf("location %s does not take points: %v", l.Name, l.PointErr))
		}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !h.Healthy {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(h) // whoever asked has gone
}

// followCollector measures a follower when it is asked.
type followCollector struct{ follower *backup.Follower }

// Describe tells nothing: which locations there are is known only when it is asked.
func (followCollector) Describe(chan<- *prometheus.Desc) {}

// Collect sends all metrics.
func (c followCollector) Collect(out chan<- prometheus.Metric) {
	s := c.follower.Status()
	send := func(kind prometheus.ValueType, name, help string, value float64, labels ...string) {
		var names []string
		if len(labels) > 0 {
			names = []string{"location"}
		}
		out <- prometheus.MustNewConstMetric(prometheus.NewDesc("gwdr_follow_"+name, help, names, nil), kind, value, labels...)
	}
	gauge := func(name, help string, value float64, labels ...string) {
		send(prometheus.GaugeValue, name, help, value, labels...)
	}
	gauge("gateway_connected", "Whether the gateway is heard.", boolGauge(s.Connected))
	gauge("stalled", "Whether changes do not get into the log.", boolGauge(s.Stalled != nil))
	gauge("lag_seconds", "How long ago most locations were known to have all that the gateway had acknowledged.", s.Lag.Seconds())
	gauge("log_segment", "Position of the log in the spool.", float64(s.Log.Seq))
	gauge("committed_segment", "Position of the log up to which most locations have it.", float64(s.Committed.Seq))
	gauge("committed_revision", "Revision of the gateway up to which most locations have the log.", float64(s.Committed.Revision))
	gauge("committed_time_seconds", "Time up to which whatever was acknowledged is at most locations, in seconds since 1970.", unixSeconds(s.Committed.Time))
	gauge("last_change_time_seconds", "Time of the newest change that most locations have, in seconds since 1970; 0: none yet.", unixSeconds(s.LastChange))
	gauge("backlog_segments", "Segments of the log that are not at most locations yet.", float64(s.Backlog))
	gauge("backlog_bytes", "Bytes of the segments that are not at most locations yet.", float64(s.Bytes))
	gauge("queue_segments", "Segments of the log that some location lacks.", float64(s.Queue()))
	gauge("last_point_time_seconds", "Consistency time of the newest point that most locations have, in seconds since 1970.", unixSeconds(s.PointTime))
	send(prometheus.CounterValue, "points_total", "Points that were made and that most locations have.", float64(s.Points))
	for _, l := range s.Locations {
		gauge("location_up", "Whether the location takes the log.", boolGauge(l.Up), l.Name)
		gauge("location_segment", "Position up to which the location has the log.", float64(l.Seq), l.Name)
		gauge("location_lag_segments", "Segments of the log that the location lacks.", float64(l.Behind), l.Name)
		gauge("location_lag_seconds", "Age of the oldest segment that the location lacks.", l.Lag.Seconds(), l.Name)
	}
}

func boolGauge(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func unixSeconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
