package tui

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"gwdr/drills"
	"gwdr/fleet"
	"gwdr/probes"
)

const (
	cellWidth = 500 * time.Millisecond // of a sparkline
	maxCells  = 240
	maxNotes  = 64
)

// state is all that the screen shows. It follows from the events alone.
type state struct {
	info      Info
	now       time.Duration // of the drill's clock
	phase     drills.Phase
	reached   int // the last step of the stepper that was entered
	injected  time.Duration
	broken    bool          // something was injected
	reverting time.Duration // since when; what comes after does not count against the promise
	lines     []*line
	changes   map[probes.Result]int
	faults    []fault
	steps     []step
	instances []fleet.Instance
	notes     []note
	aborting  bool
	result    *drills.Result
}

// line is one series' success over time, and when it came back.
type line struct {
	series  probes.Series
	reused  bool // keeps its connections
	cells   []cell
	lastBad time.Duration // due time of the last affected attempt since the injection
	bad     bool          // there was one
	ok      bool          // an attempt due after lastBad was ok
	okDue   time.Duration // of the first such
	back    time.Duration // when that one was done
}

// cell counts the attempts that were due in one slice of time; unknown ones are left out.
type cell struct{ ok, sent int }

type fault struct {
	id, kind, what string
	targets        []string
}

type step struct {
	id, action string
	done       bool
	err        error
}

type note struct {
	at   time.Duration
	text string
	bad  bool
}

func newState(info Info) *state {
	s := &state{info: info, changes: map[probes.Result]int{}}
	for _, series := range info.Series {
		s.lines = append(s.lines, &line{series: series})
	}
	return s
}

// fold takes the next event.
func (s *state) fold(e drills.Event) {
	s.now = max(s.now, e.At)
	switch {
	case e.Phase != nil:
		s.enter(e.At, *e.Phase)
	case e.Fault != nil:
		s.fault(e.At, *e.Fault)
	case e.Step != nil:
		s.step(e.At, *e.Step)
	case e.Sample != nil:
		s.sample(*e.Sample)
	case e.Change != nil:
		if e.Change.Result != "" {
			s.changes[e.Change.Result]++
		}
	case e.Fleet != nil:
		s.instances = e.Fleet
	case e.Warning != "":
		s.note(e.At, e.Warning, true)
	case e.Result != nil:
		s.result = e.Result
		s.note(e.At, "verdict: "+string(e.Result.Verdict), e.Result.Verdict != drills.Pass)
	}
}

func (s *state) enter(at time.Duration, p drills.PhaseEvent) {
	s.phase = p.Phase
	if i := stepOf(p.Phase); i >= 0 {
		s.reached = i
	}
	if p.Phase == drills.Reverting && s.reverting == 0 {
		s.reverting = at
	}
	bad := p.Phase == drills.Aborting || p.Phase == drills.Dirty
	s.aborting = s.aborting || p.Phase == drills.Aborting
	if p.Detail != "" || bad {
		s.note(at, strings.TrimSuffix(string(p.Phase)+": "+p.Detail, ": "), bad)
	}
}

func (s *state) fault(at time.Duration, e drills.FaultEvent) {
	if e.What == "injected" && !s.broken {
		s.broken, s.injected = true, at
	}
	i := slices.IndexFunc(s.faults, func(f fault) bool { return f.id == e.ID })
	if i < 0 {
		i = len(s.faults)
		s.faults = append(s.faults, fault{id: e.ID})
	}
	f := &s.faults[i]
	f.what = e.What
	if e.Kind != "" {
		f.kind, f.targets = string(e.Kind), e.Targets
	}
	s.note(at, strings.TrimSuffix(fmt.Sprintf("%s %s: %s", e.ID, e.What, e.Detail), ": "), false)
}

func (s *state) step(at time.Duration, e drills.StepEvent) {
	i := slices.IndexFunc(s.steps, func(t step) bool { return t.id == e.ID })
	if i < 0 {
		i = len(s.steps)
		s.steps = append(s.steps, step{id: e.ID, action: e.Action})
	}
	s.steps[i].done, s.steps[i].err = e.Done, e.Err
	switch {
	case e.Err != nil:
		s.note(at, fmt.Sprintf("%s failed: %v", e.ID, e.Err), true)
	case e.Done:
		s.note(at, e.ID+" done", false)
	default:
		s.note(at, e.ID+" started", false)
	}
}

func (s *state) note(at time.Duration, text string, bad bool) {
	s.notes = append(s.notes, note{at: at, text: oneLine(text), bad: bad})
	if len(s.notes) > maxNotes {
		s.notes = slices.Delete(s.notes, 0, len(s.notes)-maxNotes)
	}
}

func (s *state) sample(a probes.Sample) {
	l := s.line(a.Series)
	if l == nil {
		return
	}
	l.reused = l.reused || a.Reused
	l.count(a)
	if s.broken && a.Done > s.injected && (s.reverting == 0 || a.Due < s.reverting) {
		l.recovery(a)
	}
}

// line returns the series of that name, or nil. That of the change ledger need not be announced.
func (s *state) line(name string) *line {
	i := slices.IndexFunc(s.lines, func(l *line) bool { return l.series.Name == name })
	if i >= 0 {
		return s.lines[i]
	}
	if name != probes.AdminSeries {
		return nil
	}
	l := &line{series: probes.Series{Name: name, Plane: probes.ControlPlane}}
	s.lines = append(s.lines, l)
	return l
}

// count adds the attempt to its cell. Attempts end in any order.
func (l *line) count(a probes.Sample) {
	if a.Class == probes.Unknown || a.Due < 0 {
		return
	}
	at := int(a.Due / cellWidth)
	for len(l.cells) <= at {
		l.cells = append(l.cells, cell{})
	}
	l.cells[at].sent++
	if !a.Class.Affected() {
		l.cells[at].ok++
	}
}

// recovery finds the first good answer after the last bad one, whatever order they come in.
func (l *line) recovery(a probes.Sample) {
	switch {
	case a.Class == probes.Unknown:
	case a.Class.Affected():
		l.bad = true
		l.lastBad = max(l.lastBad, a.Due)
		l.ok = l.ok && l.okDue > l.lastBad
	case l.bad && a.Due > l.lastBad && (!l.ok || a.Due < l.okDue):
		l.ok, l.okDue, l.back = true, a.Due, a.Done
	}
}

// success returns the share of ok attempts in the last second or so.
func (l *line) success(now time.Duration) (share float64, any bool) {
	var c cell
	last := int(now / cellWidth)
	for i := max(0, last-2); i <= last && i < len(l.cells); i++ {
		c.ok, c.sent = c.ok+l.cells[i].ok, c.sent+l.cells[i].sent
	}
	return float64(c.ok) / float64(max(c.sent, 1)), c.sent > 0
}

// clock is what a plane's clock shows.
type clock struct {
	hit     bool // the plane was affected
	down    bool // and is not back
	elapsed time.Duration
}

// clock runs from the injection until every series of the plane is back, or the faults are reverted.
func (s *state) clock(plane probes.Plane) clock {
	var c clock
	for _, l := range s.of(plane) {
		if !l.bad {
			continue
		}
		c.hit = true
		c.down = c.down || !l.ok
		c.elapsed = max(c.elapsed, l.back-s.injected)
	}
	if c.down {
		c.elapsed = cmp.Or(s.reverting, s.now) - s.injected
	}
	return c
}

// of returns the series of a plane that are not control targets.
func (s *state) of(plane probes.Plane) []*line {
	var lines []*line
	for _, l := range s.lines {
		if l.series.Plane == plane && !l.series.Control {
			lines = append(lines, l)
		}
	}
	return lines
}

// merged adds up the cells of lines.
func merged(lines []*line) []cell {
	var all []cell
	for _, l := range lines {
		for i, c := range l.cells {
			if i == len(all) {
				all = append(all, cell{})
			}
			all[i].ok, all[i].sent = all[i].ok+c.ok, all[i].sent+c.sent
		}
	}
	return all
}
