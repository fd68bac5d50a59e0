package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"gwdr/backup"
)

// backupRun is what there is to say of one run of gwdr backup.
type backupRun struct {
	result         *backup.Result // nil: it did not come so far
	code           int            // exit code
	started, ended time.Time
}

// Metrics that outlive a run that has no newer value for them.
const (
	lastSuccess   = "gwdr_backup_last_success_timestamp_seconds"
	newestAtPlace = "gwdr_backup_location_newest_point_timestamp_seconds"
)

// writeMetrics replaces the file by the metrics of the run, in the format that node_exporter's textfile collector reads. What
// the run says nothing of is left out, but for times of earlier successes, which are kept.
func writeMetrics(file string, run backupRun) error {
	before, err := readMetrics(file)
	if err != nil {
		return err
	}
	m := metrics{prometheus.NewRegistry()}
	m.run(run)
	success, known := before.value(lastSuccess)
	if run.code == exitDone {
		success, known = timestamp(run.ended), true
	}
	if known {
		m.set(lastSuccess, "When the last backup ended with exit code 0.", success)
	}
	newest := before.byLocation(newestAtPlace)
	if run.result != nil {
		m.result(run.result)
		kept := map[string]float64{} // of locations that are still there
		for _, l := range run.result.Locations {
			if at, ok := newest[l.Name]; ok {
				kept[l.Name] = at
			}
			if l.OK {
				kept[l.Name] = timestamp(run.result.Time)
			}
		}
		newest = kept
	}
	m.each(newestAtPlace, "Consistency time of the newest point that was put to the location.", "location", newest)
	if err := prometheus.WriteToTextfile(file, m.Registry); err != nil {
		return fmt.Errorf("write metrics: %w", err)
	}
	return nil
}

// metrics collects gauges.
type metrics struct{ *prometheus.Registry }

func (m metrics) set(name, help string, value float64) {
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	gauge.Set(value)
	m.MustRegister(gauge)
}

// each sets a gauge for each value of a label.
func (m metrics) each(name, help, label string, values map[string]float64) {
	gauges := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{label})
	for key, value := range values {
		gauges.WithLabelValues(strings.ToValidUTF8(key, "?")).Set(value)
	}
	m.MustRegister(gauges)
}

func (m metrics) run(run backupRun) {
	m.set("gwdr_backup_last_run_timestamp_seconds", "When the last run ended.", timestamp(run.ended))
	m.set("gwdr_backup_duration_seconds", "How long the last run took.", run.ended.Sub(run.started).Seconds())
	m.set("gwdr_backup_exit_code", "Exit code of the last run.", float64(run.code))
}

func (m metrics) result(r *backup.Result) {
	entities := map[string]float64{}
	for kind, n := range r.Entities {
		entities[string(kind)] = float64(n)
	}
	ok := map[string]float64{}
	for _, l := range r.Locations {
		ok[l.Name] = float64(boolean(l.OK && l.Error == ""))
	}
	m.each("gwdr_backup_entities", "Entities in the point of the last run.", "kind", entities)
	m.set("gwdr_backup_bytes", "Bytes that the last run added to each location.", float64(r.Bytes))
	m.each("gwdr_backup_location_ok", "Whether the location took the point of the last run.", "location", ok)
	m.set("gwdr_backup_policy_copies", "Copies that count, by test.", float64(r.Policy.Copies))
	m.set("gwdr_backup_policy_media", "Kinds of media among them.", float64(r.Policy.Media))
	m.set("gwdr_backup_policy_offsite", "Copies off-site.", float64(r.Policy.Offsite))
	m.set("gwdr_backup_policy_immutable", "Copies that the writer can neither alter nor delete.", float64(r.Policy.Immutable))
	m.set("gwdr_backup_policy_satisfied", "Whether the policy is met.", float64(boolean(r.Policy.Satisfied)))
}

func boolean(b bool) int {
	if b {
		return 1
	}
	return 0
}

func timestamp(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// formerMetrics are those of a file that an earlier run wrote.
type formerMetrics map[string]*dto.MetricFamily

// readMetrics reads a file of metrics; none is no error. What cannot be understood is given up: it is written anew.
func readMetrics(file string) (formerMetrics, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	defer f.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(f)
	if err != nil {
		return nil, nil
	}
	return families, nil
}

// value returns a gauge without labels.
func (f formerMetrics) value(name string) (value float64, ok bool) {
	metrics := f[name].GetMetric()
	if len(metrics) != 1 || metrics[0].GetGauge() == nil {
		return 0, false
	}
	return metrics[0].GetGauge().GetValue(), true
}

// byLocation returns a gauge's values by its location.
func (f formerMetrics) byLocation(name string) map[string]float64 {
	values := map[string]float64{}
	for _, metric := range f[name].GetMetric() {
		for _, label := range metric.GetLabel() {
			if label.GetName() == "location" {
				values[label.GetValue()] = metric.GetGauge().GetValue()
			}
		}
	}
	return values
}
