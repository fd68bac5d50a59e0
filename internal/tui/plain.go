package tui

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"gwdr/drills"
	"gwdr/probes"
)

// every is the time between two lines of progress.
const every = 5 * time.Second

// Plain writes events as lines that a log can hold, each with its offset since the drill's start, until their channel is
// closed. Every five seconds of the drill's clock a line tells of the attempts and changes since the one before. After
// an error of w it goes on receiving, and returns the error at the end.
func Plain(w io.Writer, events <-chan drills.Event, info Info) error {
	p := plain{w: w, info: info, due: every}
	for e := range events {
		p.event(e)
	}
	return p.err
}

type plain struct {
	w    io.Writer
	info Info
	err  error
	due  time.Duration // of the next line of progress
	now  tally
}

// tally is what a line of progress tells.
type tally struct {
	sent, failed   int
	acked, unacked int
}

func (p *plain) event(e drills.Event) {
	if e.At >= p.due {
		p.progress(p.due)
		p.due = (e.At/every + 1) * every
	}
	switch {
	case e.Phase != nil:
		p.line(e.At, "phase", string(e.Phase.Phase), e.Phase.Detail)
	case e.Fault != nil:
		p.line(e.At, "fault", e.Fault.ID+" "+e.Fault.What, faultDetail(*e.Fault))
	case e.Step != nil:
		p.step(e.At, *e.Step)
	case e.Sample != nil:
		if p.client(e.Sample.Series) {
			p.now.sample(*e.Sample)
		}
	case e.Change != nil:
		p.now.change(*e.Change)
	case e.Warning != "":
		p.line(e.At, "warning", e.Warning, "")
	case e.Result != nil:
		p.line(e.At, "verdict", string(e.Result.Verdict), e.Result.Reason)
	}
}

// client reports whether the series is of requests that clients would make: neither changes nor a control target.
func (p *plain) client(series string) bool {
	return slices.ContainsFunc(p.info.Series, func(s probes.Series) bool {
		return s.Name == series && s.Plane == probes.DataPlane && !s.Control
	})
}

// faultDetail says what was seen or, if nothing, what is hit.
func faultDetail(f drills.FaultEvent) string {
	if f.Detail != "" {
		return f.Detail
	}
	return strings.TrimSpace(string(f.Kind) + " " + strings.Join(f.Targets, ", "))
}

func (p *plain) step(at time.Duration, s drills.StepEvent) {
	switch {
	case s.Err != nil:
		p.line(at, "step", s.ID+" failed", s.Err.Error())
	case s.Done:
		p.line(at, "step", s.ID+" done", "")
	default:
		p.line(at, "step", s.ID+" started", s.Action)
	}
}

func (t *tally) sample(s probes.Sample) {
	if s.Class == probes.Unknown {
		return
	}
	t.sent++
	if s.Class.Affected() {
		t.failed++
	}
}

func (t *tally) change(e probes.Entry) {
	switch e.Result {
	case "":
	case probes.Acked:
		t.acked++
	default:
		t.unacked++
	}
}

func (p *plain) progress(at time.Duration) {
	if t := p.now; t != (tally{}) {
		text := fmt.Sprintf("last %s: %d of %d client requests failed", every, t.failed, t.sent)
		if t.acked+t.unacked > 0 { // without a change ledger there are none
			text += fmt.Sprintf(", %d admin changes acknowledged, %d not", t.acked, t.unacked)
		}
		p.line(at, "progress", text, "")
	}
	p.now = tally{}
}

func (p *plain) line(at time.Duration, kind, text, detail string) {
	if detail != "" {
		text += ": " + detail
	}
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, "%8s  %-8s  %s\n", seconds(at), kind, oneLine(text))
	}
}

// seconds writes an offset: 12.4s.
func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "s" }

// duration writes a time with three digits: 412ms, 2.93s, 1m30s.
func duration(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// oneLine makes text that comes from elsewhere safe for a terminal: what does not print becomes a space.
func oneLine(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, text))
}
