package tui

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"gwdr/probes"
)

// watch draws the state of a watch into a window, never wider or higher than it.
func (k looks) watch(s *watchState, width, height int) string {
	if width == 0 || height == 0 {
		return ""
	}
	wide := max(width, minWidth)
	lines := k.watchHeader(s, wide)
	room := max(height, minHeight) - len(lines) - 1
	var series []string
	for detail := inFull; detail >= inBrief; detail-- { // so that the last outages have a place
		if series = k.watchSeries(s, wide, detail); len(series)+3 <= room {
			break
		}
	}
	lines = append(lines, series...)
	lines = append(lines, k.watchOutages(s, room-len(series))...)
	lines = lines[:min(len(lines), height-1)]
	for len(lines) < height-1 {
		lines = append(lines, "")
	}
	lines = append(lines, k.soft.Render(" m mark: something is broken now  q, ctrl-c end the measurement"))
	for i, line := range lines {
		lines[i] = ansi.Truncate(line, width, "…")
	}
	return strings.Join(lines, "\n")
}

func (k looks) watchHeader(s *watchState, width int) []string {
	left := k.title.Render("gwdr probe") + "  "
	switch {
	case s.marked:
		left += fmt.Sprintf("marked %s ago", seconds(s.now-s.mark))
	case s.armed && s.silent() != "":
		left += k.warn.Render(s.silent())
	case s.armed:
		left += "watching: pull the plug"
	default:
		left += fmt.Sprintf("baseline, %s to go: leave everything alone", seconds(max(s.plan.Baseline-s.now, 0)))
	}
	right := k.title.Render(seconds(s.now))
	if s.plan.For > 0 {
		right += k.soft.Render(" of " + duration(s.plan.For))
	}
	if s.plan.RTO > 0 {
		right = k.soft.Render("RTO "+duration(s.plan.RTO)) + "  " + right
	}
	if l := s.plan.Ledger; l != nil && l.RPO > 0 {
		right = k.soft.Render("RPO "+duration(l.RPO)) + "  " + right
	}
	return []string{" " + spread(left, right, width-2), " " + k.warn.Render(s.warning)}
}

// How much is drawn of a series: its clock, its success as well, its latency as well.
const (
	inBrief = iota
	inShort
	inFull
)

// watchSeries draws every series.
func (k looks) watchSeries(s *watchState, width, detail int) []string {
	var lines []string
	for i, l := range s.lines {
		if l.series.Control {
			lines = append(lines, k.watchRow("control", cellsOf(l.strip), l.strip, width))
			continue
		}
		if target := l.series.Target; i == 0 || target != s.lines[i-1].series.Target {
			name, _ := strings.CutSuffix(l.series.Name, "fresh") // leaves the number that tells several URLs apart
			if l.series.Plane == probes.ControlPlane {
				name += "  "
			}
			lines = append(lines, " "+k.head.Render(oneLine(name+s.plan.Targets[target].URL)))
		}
		mode := map[bool]string{true: "fresh", false: "keepalive"}[l.series.Fresh]
		if l.series.Plane == probes.ControlPlane {
			mode = "changes"
		}
		lines = append(lines, spread(label(mode)+k.watchClock(s, l), k.counts(l), width-1))
		if detail >= inShort {
			lines = append(lines, k.watchRow("", cellsOf(l.strip), l.strip, width))
		}
		if detail >= inFull {
			lines = append(lines, k.latencyRow(l.strip, width))
		}
	}
	return append(lines, "")
}

// watchRoom is what a sparkline has of the width: beside it are a label and a number.
func watchRoom(width int) int { return min(width-indent-1-9, maxCells) }

func cellsOf(s strip) (cells []cell) {
	for _, c := range s.cells {
		cells = append(cells, c.cell)
	}
	return cells
}

// watchRow draws the success of the last slices of time, and the share now.
func (k looks) watchRow(name string, cells []cell, s strip, width int) string {
	room := watchRoom(width)
	cells = cells[max(0, len(cells)-room):]
	text := label(name) + k.bars(cells) + strings.Repeat(" ", room-len(cells))
	share, any := s.success()
	if !any {
		return text
	}
	return text + k.tone(share).Render(fmt.Sprintf("%7.1f%%", share*100))
}

// latencyRow draws the slowest good answer of each slice of time, against the slowest of all that are drawn, and the last.
func (k looks) latencyRow(s strip, width int) string {
	room := watchRoom(width)
	cells := s.last(room)
	slowest, now := time.Duration(1), time.Duration(0)
	for _, c := range cells {
		slowest, now = max(slowest, c.slowest), cmp.Or(c.slowest, now)
	}
	var b strings.Builder
	for _, c := range cells {
		if c.ok == 0 {
			b.WriteByte(' ')
			continue
		}
		b.WriteRune([]rune("▁▂▃▄▅▆▇")[int(6*c.slowest/slowest)])
	}
	text := label("  latency") + k.head.Render(b.String()) + strings.Repeat(" ", room-len(cells))
	if now == 0 {
		return text
	}
	return text + fmt.Sprintf("%8s", latency(now))
}

// latency writes a short time with a tenth of a millisecond.
func latency(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1fms", float64(d)/float64(time.Millisecond))
	}
	return duration(d)
}

// watchClock draws how long the series has been down, or what became of its last outage.
func (k looks) watchClock(s *watchState, l *watchLine) string {
	o, lasts := l.course.Lasts()
	switch n := len(l.course.Outages); {
	case lasts && l.course.Back == 0:
		text := k.bad.Render("DOWN for " + seconds(s.now-o.Start))
		if s.plan.RTO > 0 {
			text += fmt.Sprintf(", %.0f%% of the RTO", 100*float64(s.now-o.Start)/float64(s.plan.RTO))
		}
		return text
	case lasts:
		left := max(s.plan.Stable-(s.now-l.course.Back), 0)
		return k.warn.Render("back after "+duration(l.course.Back-o.Start)) + ", stable in " + seconds(left)
	case n > 0:
		last := l.course.Outages[n-1]
		return k.good.Render("up") + ", was down for " + duration(last.End-last.Start)
	}
	return k.soft.Render("steady")
}

// counts lists the attempts by class, the good ones first.
func (k looks) counts(l *watchLine) string {
	parts := []string{fmt.Sprintf("%d ok", l.classes[probes.OK])}
	for _, class := range slices.Sorted(maps.Keys(l.classes)) {
		if class == probes.OK {
			continue
		}
		parts = append(parts, k.bad.Render(fmt.Sprintf("%d %s", l.classes[class], strings.TrimPrefix(string(class), "fail:"))))
	}
	return strings.Join(parts, "  ")
}

// watchOutages draws the last outages that there is room for, with the bracket in which the truth lies.
func (k looks) watchOutages(s *watchState, room int) []string {
	var all []probes.Outage
	for _, l := range s.lines {
		all = append(all, l.course.Outages...)
	}
	slices.SortStableFunc(all, func(a, b probes.Outage) int { return cmp.Compare(a.Start, b.Start) })
	if len(all) == 0 {
		return []string{" " + k.head.Render("OUTAGES") + "  none yet"}
	}
	lines := []string{" " + k.head.Render(fmt.Sprintf("OUTAGES  %d", len(all)))}
	for _, o := range all[max(0, len(all)-max(room-1, 0)):] {
		length := fmt.Sprintf("%s (%s to %s)", duration(o.End-o.Start), duration(o.Low), duration(o.High))
		if o.End == 0 {
			length = "> " + duration(o.Low) + ", not over"
		}
		lines = append(lines, fmt.Sprintf("%*s  %-28s %d affected  %s", indent-4, "+"+seconds(o.Start), length, o.Affected, oneLine(o.Series)))
	}
	return lines
}
