package tui

import (
	"fmt"
	"strings"
	"time"

	"github.com/charmbracelet/lipgloss"

	"gwdr/probes"
)

// planes draws each plane's clock and success.
func (k looks) planes(s *state, width int) []string {
	lines := []string{k.clock(s, "DATA PLANE", probes.DataPlane, width)}
	var fresh, kept []*line
	for _, l := range s.of(probes.DataPlane) {
		if l.reused {
			kept = append(kept, l)
		} else {
			fresh = append(fresh, l)
		}
	}
	lines = append(lines, k.spark(s, "new conns", fresh, width)...)
	lines = append(lines, k.spark(s, "kept alive", kept, width)...)
	if admin := s.of(probes.ControlPlane); len(admin) > 0 || s.info.RTO[probes.ControlPlane] > 0 {
		lines = append(lines, k.clock(s, "ADMIN API", probes.ControlPlane, width))
		lines = append(lines, k.spark(s, "success", admin, width)...)
		lines = append(lines, k.ledger(s))
	}
	return append(lines, "")
}

func (k looks) ledger(s *state) string {
	text := fmt.Sprintf("%d acknowledged", s.changes[probes.Acked])
	if n := s.changes[probes.Rejected]; n > 0 {
		text += k.warn.Render(fmt.Sprintf("  %d rejected", n))
	}
	if n := s.changes[probes.Indeterminate]; n > 0 {
		text += k.warn.Render(fmt.Sprintf("  %d indeterminate", n))
	}
	return label("changes") + text
}

func label(name string) string { return fmt.Sprintf("   %-*s", indent-3, name) + " " }

// clock draws how long the plane has been down, against the promise.
func (k looks) clock(s *state, name string, plane probes.Plane, width int) string {
	c, promised := s.clock(plane), s.info.RTO[plane]
	var status string
	switch {
	case c.down:
		status = k.bad.Render("down for " + seconds(c.elapsed))
	case c.hit:
		status = k.good.Render("back after " + duration(c.elapsed))
	case s.broken:
		status = "no impact seen"
	default:
		status = k.soft.Render("steady")
	}
	left := " " + k.head.Render(fmt.Sprintf("%-*s", indent-1, name)) + " " + status
	if promised == 0 {
		return left
	}
	right := "RTO " + duration(promised)
	if s.broken && c.hit {
		right += " " + k.gauge(c.elapsed, promised)
	}
	return spread(left, right, width-1)
}

// gauge draws the share of the promise that is used up.
func (k looks) gauge(elapsed, promised time.Duration) string {
	const width = 16
	share := float64(elapsed) / float64(promised)
	full := min(int(share*width+0.5), width)
	style := k.good
	switch {
	case share > 1:
		style = k.bad
	case share > 0.7:
		style = k.warn
	}
	return style.Render(strings.Repeat("█", full)) + k.soft.Render(strings.Repeat("░", width-full)) + style.Render(fmt.Sprintf("%5.0f%%", share*100))
}

// spark draws the success of the last slices of time, the newest at the right, and the share now.
func (k looks) spark(s *state, name string, lines []*line, width int) []string {
	if len(lines) == 0 {
		return nil
	}
	cells := merged(lines)
	room := min(width-indent-1-8, maxCells)
	cells = cells[max(0, len(cells)-room):]
	worst, any := 1.0, false
	for _, l := range lines {
		if share, known := l.success(s.now); known {
			worst, any = min(worst, share), true
		}
	}
	text := label(name) + k.bars(cells) + strings.Repeat(" ", room-len(cells))
	if !any {
		return []string{text}
	}
	return []string{text + k.tone(worst).Render(fmt.Sprintf("%6.1f%%", worst*100))}
}

// bars draws a cell by its height; runs of one colour are drawn at once.
func (k looks) bars(cells []cell) string {
	var b strings.Builder
	for start := 0; start < len(cells); {
		end := start + 1
		for end < len(cells) && toneOf(cells[end]) == toneOf(cells[start]) {
			end++
		}
		var run strings.Builder
		for _, c := range cells[start:end] {
			run.WriteRune(bar(c))
		}
		b.WriteString(k.byTone(toneOf(cells[start])).Render(run.String()))
		start = end
	}
	return b.String()
}

func bar(c cell) rune {
	if c.sent == 0 {
		return ' '
	}
	return []rune("▁▂▃▄▅▆▇")[c.ok*6/c.sent]
}

// tone is how good a share is: 0 good, 1 partly, 2 bad.
func toneOf(c cell) int {
	switch {
	case c.ok == c.sent:
		return 0
	case c.ok*2 >= c.sent:
		return 1
	}
	return 2
}

func (k looks) byTone(tone int) lipgloss.Style {
	return []lipgloss.Style{k.good, k.warn, k.bad}[tone]
}

func (k looks) tone(share float64) lipgloss.Style {
	return k.byTone(toneOf(cell{ok: int(share * 1000), sent: 1000}))
}
