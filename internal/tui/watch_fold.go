package tui

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"gwdr/drills"
	"gwdr/probes"
)

// watchState is all that the screen of a watch shows. It follows from the events alone.
type watchState struct {
	plan    drills.WatchPlan
	now     time.Duration
	armed   bool // the baseline is over
	marked  bool
	mark    time.Duration // the first
	warning string
	lines   []*watchLine // in the order of the plan
}

// watchLine is how one series fares.
type watchLine struct {
	series  drills.WatchSeries
	strip   strip
	classes map[probes.Class]int
	problem string        // of the last attempt that failed
	failed  time.Duration // when that one was due
	course  probes.Course
}

func newWatchState(plan drills.WatchPlan) *watchState {
	s := &watchState{plan: plan}
	for _, series := range plan.Series {
		s.lines = append(s.lines, &watchLine{series: series, classes: map[probes.Class]int{}})
	}
	return s
}

// fold takes the next event.
func (s *watchState) fold(e drills.WatchEvent) {
	s.now = max(s.now, e.At)
	s.armed = s.armed || e.Armed
	if e.Mark && !s.marked {
		s.marked, s.mark = true, e.At
	}
	if e.Warning != "" {
		s.warning = oneLine(e.Warning)
	}
	if e.Sample != nil {
		if l := s.line(e.Sample.Series); l != nil {
			l.sample(*e.Sample)
		}
	}
	for _, c := range e.Courses {
		if l := s.line(c.Series.Name); l != nil {
			l.course = c
		}
	}
}

// markText says what a mark at that instant is worth: the first is what all is counted from.
func (s *watchState) markText(at time.Duration) string {
	if s.marked && s.mark != at {
		return "once more; the first one counts, at " + seconds(s.mark)
	}
	return "something is broken now"
}

// silent says that a series had not one good answer so far, or "".
func (s *watchState) silent() string {
	for _, l := range s.lines {
		if !l.series.Control && len(l.classes) > 0 && l.classes[probes.OK] == 0 {
			return l.series.Name + " had not one good answer: check the URL, and --expect"
		}
	}
	return ""
}

// line returns the series of that name, or nil.
func (s *watchState) line(name string) *watchLine {
	i := slices.IndexFunc(s.lines, func(l *watchLine) bool { return l.series.Name == name })
	if i < 0 {
		return nil
	}
	return s.lines[i]
}

func (l *watchLine) sample(a probes.Sample) {
	l.classes[a.Class]++
	if a.Class.Affected() {
		l.problem, l.failed = string(a.Class), a.Due
		if why := brief(a.Error); why != "" {
			l.problem += ": " + why
		}
	}
	c := l.strip.at(a.Due)
	if c == nil || a.Class == probes.Unknown {
		return
	}
	c.sent++
	if !a.Class.Affected() {
		c.ok++
		c.slowest = max(c.slowest, a.Done-a.Due)
	}
}

// redial is what Go says before the cause: who spoke to whom, which the series says as well.
var redial = regexp.MustCompile(`^(dial|read|write) (tcp|udp)[46]? \S+: ((connect|read|write): )?`)

// brief is the cause of an error in few words. What a stranger sent is in it at times.
func brief(text string) string {
	return redial.ReplaceAllString(strings.Join(strings.Fields(oneLine(text)), " "), "")
}

// watchCell is what became of the attempts that were due in one slice of time.
type watchCell struct {
	cell
	slowest time.Duration // of those that were ok
}

// strip is the last slices of time. It forgets older ones.
type strip struct {
	first int // index of cells[0] since the start
	cells []watchCell
}

// at returns the cell of an instant, or nil if it is forgotten.
func (s *strip) at(due time.Duration) *watchCell {
	i := int(due/cellWidth) - s.first
	if i < 0 {
		return nil
	}
	for len(s.cells) <= i {
		s.cells = append(s.cells, watchCell{})
	}
	if gone := len(s.cells) - 2*maxCells; gone > 0 {
		s.cells, s.first, i = slices.Clone(s.cells[gone:]), s.first+gone, i-gone
	}
	return &s.cells[i]
}

// last returns the newest n cells, at most.
func (s *strip) last(n int) []watchCell { return s.cells[max(0, len(s.cells)-n):] }

// success returns the share of ok attempts in the last second or so.
func (s *strip) success() (share float64, any bool) {
	var c cell
	for _, one := range s.last(3) {
		c.ok, c.sent = c.ok+one.ok, c.sent+one.sent
	}
	return float64(c.ok) / float64(max(c.sent, 1)), c.sent > 0
}
