package tui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"

	"gwdr/drills"
	"gwdr/fleet"
)

// looks are the styles. They use the terminal's own sixteen colours, so that they fit any theme, and no meaning rests on
// a colour alone.
type looks struct {
	title, soft, good, bad, warn, head lipgloss.Style
}

func newLooks(r *lipgloss.Renderer) looks {
	color := func(c string) lipgloss.Style { return r.NewStyle().Foreground(lipgloss.Color(c)) }
	return looks{title: r.NewStyle().Bold(true), soft: r.NewStyle().Faint(true), good: color("2"), bad: color("1").Bold(true),
		warn: color("3"), head: color("4").Bold(true)}
}

// The smallest window that is drawn for; a smaller one shows the upper left of it.
const (
	minWidth  = 60
	minHeight = 12
	indent    = 13 // of what follows a label
)

// view draws the state into a window, never wider or higher than it.
func (k looks) view(s *state, asking bool, width, height int) string {
	if width == 0 || height == 0 {
		return ""
	}
	wide := max(width, minWidth)
	lines := slices.Concat(k.header(s, wide), k.planes(s, wide), k.regions(s), k.actions(s))
	room := max(height, minHeight) - len(lines) - 1
	lines = append(lines, k.notes(s, room)...)
	lines = lines[:min(len(lines), height-1)]
	for len(lines) < height-1 {
		lines = append(lines, "")
	}
	lines = append(lines, k.help(s, asking))
	for i, line := range lines {
		lines[i] = ansi.Truncate(line, width, "…")
	}
	return strings.Join(lines, "\n")
}

func (k looks) header(s *state, width int) []string {
	left := k.title.Render("gwdr drill "+oneLine(s.info.Scenario)) + "  " + oneLine(s.info.Title)
	right := k.soft.Render(oneLine(s.info.Fleet)) + "  " + k.title.Render(seconds(s.now))
	return []string{" " + spread(left, right, width-2), "", " " + k.stepper(s), ""}
}

// spread puts left and right at the ends of a line.
func spread(left, right string, width int) string {
	left = ansi.Truncate(left, max(width-ansi.StringWidth(right)-1, 0), "…")
	return left + strings.Repeat(" ", max(width-ansi.StringWidth(left)-ansi.StringWidth(right), 1)) + right
}

// stages are the steps that the stepper shows, each with the phases it stands for.
func stages() []stage {
	return []stage{
		{"prepare", []drills.Phase{drills.Planned, drills.Validated, drills.Preflight, drills.Announced}},
		{"baseline", []drills.Phase{drills.Baseline, drills.Armed}},
		{"break", []drills.Phase{drills.Injecting}},
		{"recover", []drills.Phase{drills.Observing, drills.Recovering}},
		{"sustain", []drills.Phase{drills.Recovered, drills.Sustain}},
		{"revert", []drills.Phase{drills.Reverting, drills.Settling, drills.Failback}},
		{"reconcile", []drills.Phase{drills.Reconciling, drills.Clean, drills.Dirty, drills.Reported}},
	}
}

type stage struct {
	name   string
	phases []drills.Phase
}

// stepOf returns the stage of a phase, or -1.
func stepOf(p drills.Phase) int {
	return slices.IndexFunc(stages(), func(g stage) bool { return slices.Contains(g.phases, p) })
}

func (k looks) stepper(s *state) string {
	var parts []string
	for i, g := range stages() {
		switch {
		case i < s.reached, s.result != nil:
			parts = append(parts, k.good.Render("✓")+" "+g.name)
		case i == s.reached && s.aborting:
			parts = append(parts, k.bad.Render("■ "+g.name))
		case i == s.reached:
			parts = append(parts, k.head.Render("● "+g.name))
		default:
			parts = append(parts, k.soft.Render("○ "+g.name))
		}
	}
	return strings.Join(parts, "  ")
}

// regions draws a line per region with its instances.
func (k looks) regions(s *state) []string {
	byRegion := map[string][]string{}
	var order []string
	for _, in := range s.instances {
		region := cmp.Or(in.Region, string(in.Role))
		if byRegion[region] == nil {
			order = append(order, region)
		}
		byRegion[region] = append(byRegion[region], k.instance(s, in))
	}
	var lines []string
	for _, region := range order {
		lines = append(lines, " "+k.head.Render(fmt.Sprintf("%-*s", indent-1, oneLine(region)))+" "+strings.Join(byRegion[region], "  "))
	}
	if len(lines) > 0 {
		lines = append(lines, "")
	}
	return lines
}

// instance draws one that runs, one that does not, and one that came back although its fault is still held.
func (k looks) instance(s *state, in fleet.Instance) string {
	switch id := oneLine(in.ID); {
	case s.restored(in.ID):
		return k.warn.Render("◐") + " " + id + k.warn.Render(" restored, fault held")
	case in.Running:
		return k.good.Render("●") + " " + id
	default:
		return k.bad.Render("✗") + " " + id
	}
}

// actions draws the faults and the recovery actions, each with what became of it.
func (k looks) actions(s *state) []string {
	var lines []string
	for _, f := range s.faults {
		mark := k.bad.Render("● " + oneLine(f.what))
		if !f.held() {
			mark = k.good.Render("✓ reverted")
		} else if f.what == "verified" {
			mark = k.bad.Render("● in effect, verified")
		}
		lines = append(lines, label(oneLine(f.id))+mark+"  "+oneLine(f.kind+" "+strings.Join(f.targets, ", ")))
	}
	for _, t := range s.steps {
		mark := k.warn.Render("● running")
		if t.err != nil {
			mark = k.bad.Render("✗ failed")
		} else if t.done {
			mark = k.good.Render("✓ done")
		}
		lines = append(lines, label(oneLine(t.id))+mark+"  "+oneLine(t.action))
	}
	if len(lines) == 0 {
		return nil
	}
	return append(append([]string{" " + k.head.Render("ACTIONS")}, lines...), "")
}

// notes draws the last messages that there is room for.
func (k looks) notes(s *state, room int) []string {
	var lines []string
	for _, n := range s.notes[max(0, len(s.notes)-max(room, 0)):] {
		text := n.text
		if n.bad {
			text = k.bad.Render(text)
		}
		lines = append(lines, k.soft.Render(fmt.Sprintf("%*s", indent, seconds(n.at)))+" "+text)
	}
	return lines
}

func (k looks) help(s *state, asking bool) string {
	switch {
	case asking && !s.broken:
		return k.bad.Render(" Abort? Nothing is broken yet.") + "  y abort  n go on  ctrl-c abort and leave"
	case asking:
		return k.bad.Render(" Abort and revert all faults?") + "  y abort  n go on  ctrl-c abort and leave"
	case s.result != nil:
		return ""
	case s.broken && len(s.inEffect()) == 0:
		return k.soft.Render(" All faults are reverted; the drill ends by itself.  ctrl-c leave this view")
	case s.aborting && s.broken:
		return k.warn.Render(" Aborting: reverting all faults.") + "  ctrl-c leave this view"
	case s.aborting:
		return k.warn.Render(" Aborting: nothing was injected.") + "  ctrl-c leave this view"
	case s.reverting > 0:
		return k.soft.Render(" Reverting all faults.  ctrl-c leave this view")
	}
	return k.soft.Render(" q abort, after a question  ctrl-c abort at once: revert all faults, and leave")
}
