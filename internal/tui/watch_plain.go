package tui

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"gwdr/drills"
	"gwdr/probes"
)

// lineRoom is what a line of 80 columns has for its text, beside the offset and the kind.
const lineRoom = 80 - 20

// summaryEvery is the time between two lines that sum up.
const summaryEvery = 10 * time.Second

// PlainWatch writes events as lines that a log can hold, each with its offset since the start, until their channel is closed:
// what changes and, every ten seconds, a summary. After an error of w it goes on receiving, and returns the error at the end.
func PlainWatch(w io.Writer, events <-chan drills.WatchEvent, plan drills.WatchPlan) error {
	p := plainWatch{plain: plain{w: w}, state: newWatchState(plan), due: summaryEvery, told: map[string]told{}, since: map[probes.Class]int{}}
	for i, target := range plan.Targets {
		p.line(0, "target", fmt.Sprintf("%d: %s", i+1, target), "")
	}
	for _, v := range plan.Vantages {
		p.line(0, "vantage", v.Name, v.Agent+", "+v.Tool)
	}
	p.line(0, "baseline", fmt.Sprintf("%s: leave everything alone", duration(plan.Baseline)), "")
	for e := range events {
		p.event(e)
	}
	return p.err
}

type plainWatch struct {
	plain
	state *watchState
	due   time.Duration        // of the next summary
	since map[probes.Class]int // attempts since the last one
	told  map[string]told      // by series
}

// told is what was said of a series.
type told struct {
	outages    int // that are over
	down, back bool
}

func (p *plainWatch) event(e drills.WatchEvent) {
	if e.At >= p.due {
		p.summary(p.due)
		p.due = (e.At/summaryEvery + 1) * summaryEvery
	}
	p.state.fold(e)
	switch {
	case e.Sample != nil:
		if l := p.state.line(e.Sample.Series); l != nil && !l.series.Control {
			p.since[e.Sample.Class]++
		}
	case e.Armed && p.state.silent() != "":
		p.line(e.At, "warning", p.state.silent(), "")
	case e.Armed:
		p.line(e.At, "watching", "the baseline is over: pull the plug", "")
	case e.Mark:
		p.line(e.At, "mark", p.state.markText(e.At), "")
	case e.Warning != "":
		p.line(e.At, "warning", e.Warning, "")
	}
	for _, c := range e.Courses {
		p.course(e.At, c)
	}
}

// course tells what has changed with a series.
func (p *plainWatch) course(at time.Duration, c probes.Course) {
	name, before := c.Series.Name, p.told[c.Series.Name]
	o, lasts := c.Lasts()
	now := told{outages: len(c.Outages), down: lasts && c.Back == 0, back: lasts && c.Back > 0}
	if lasts {
		now.outages--
	}
	for _, over := range c.Outages[before.outages:now.outages] {
		text := fmt.Sprintf("was down for %s (%s to %s), %d affected", duration(over.End-over.Start), duration(over.Low), duration(over.High), over.Affected)
		if over.Flaps > 0 {
			text += fmt.Sprintf(", flaps: %d", over.Flaps)
		}
		p.line(at, "up", name, text)
	}
	switch {
	case now.down && !before.down:
		problem := "answers are slow"
		if l := p.state.line(name); l != nil && l.problem != "" && l.failed >= o.Start { // else it is of an earlier outage
			problem = l.problem
		}
		p.line(at, "down", ansi.Truncate(oneLine(name+": since "+seconds(o.Start)+", "+problem), lineRoom, "…"), "") // the evidence has all of it
	case now.back && !before.back:
		p.line(at, "back", name, "answers again after "+duration(c.Back-o.Start))
	}
	p.told[name] = now
}

func (p *plainWatch) summary(at time.Duration) {
	var parts []string
	for _, class := range slices.Sorted(maps.Keys(p.since)) {
		parts = append(parts, fmt.Sprintf("%d %s", p.since[class], class))
	}
	clear(p.since)
	down := 0
	for _, t := range p.told {
		if t.down {
			down++
		}
	}
	text := fmt.Sprintf("last %s: %s", summaryEvery, strings.Join(parts, ", "))
	if down > 0 {
		text += fmt.Sprintf("; %d series down", down)
	}
	p.line(at, "summary", text, "")
}
