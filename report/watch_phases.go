package report

import (
	"io"
	"maps"
	"slices"
	"strings"

	"gwdr/drills"
)

// phasesTable writes where the time of good attempts went; a step that no series had has no column.
func phasesTable(w io.Writer, all []drills.WatchedSeries) error {
	steps := []struct {
		name string
		of   func(*drills.WatchPhases) *drills.PhaseTime
	}{
		{"DNS", func(p *drills.WatchPhases) *drills.PhaseTime { return p.DNS }},
		{"Connect", func(p *drills.WatchPhases) *drills.PhaseTime { return p.Connect }},
		{"TLS", func(p *drills.WatchPhases) *drills.PhaseTime { return p.TLS }},
		{"First byte", func(p *drills.WatchPhases) *drills.PhaseTime { return p.FirstByte }},
	}
	rows := [][]string{{"p50 / p99 of"}}
	for _, s := range all {
		if s.Phases != nil {
			rows = append(rows, []string{s.Name})
		}
	}
	for _, step := range steps {
		column, any := []string{step.name}, false
		for _, s := range all {
			if s.Phases == nil {
				continue
			}
			cell := "–"
			if p := step.of(s.Phases); p != nil {
				cell, any = human(p.P50S)+" / "+human(p.P99S), true
			}
			column = append(column, cell)
		}
		if any {
			for i := range rows {
				rows[i] = append(rows[i], column[i])
			}
		}
	}
	if len(rows[0]) == 1 {
		return nil
	}
	if _, err := io.WriteString(w, "\n"); err != nil {
		return err
	}
	return table(w, rows, 24)
}

// tlsLine says what the handshakes of a series showed.
func tlsLine(s drills.WatchedSeries) string {
	var parts []string
	for _, v := range slices.Sorted(maps.Keys(s.TLS.Versions)) {
		parts = append(parts, counted(s.TLS.Versions[v], "handshake")+" of "+v)
	}
	for _, p := range slices.Sorted(maps.Keys(s.TLS.Refused)) {
		parts = append(parts, counted(s.TLS.Refused[p], "certificate")+" refused ("+p+")")
	}
	if !s.TLS.NotAfter.IsZero() {
		until := s.TLS.NotAfter.UTC().Format("2006-01-02")
		if last := s.TLS.NotAfterLast; !last.IsZero() {
			until += ", another until " + last.UTC().Format("2006-01-02")
		}
		parts = append(parts, "certificate until "+until)
	}
	return s.Name + ": " + strings.Join(parts, ", ")
}
