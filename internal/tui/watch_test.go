package tui

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"gwdr/drills"
	"gwdr/probes"
)

// demoPlan watches one URL and a control target.
func demoPlan() drills.WatchPlan {
	p := drills.WatchPlan{Baseline: 10 * time.Second, Stable: 5 * time.Second, RTO: 30 * time.Second,
		Targets: []drills.WatchTarget{{URL: "https://api.example.com/v1/ping?token=***", Expect: 200}, {URL: "http://127.0.0.1:4711/", Expect: 200, Control: true}}}
	for i, name := range []string{"fresh", "keepalive", "control"} {
		s := probes.Series{Name: name, Plane: probes.DataPlane, Interval: ms(50), Timeout: 2 * time.Second, Control: i == 2}
		p.Series = append(p.Series, drills.WatchSeries{Series: s, Target: i / 2, Fresh: i != 1})
	}
	return p
}

// watchDemo are the events of a watch until the given instant: both series are down from 14 s to 18.4 s.
func watchDemo(until time.Duration) (events []drills.WatchEvent) {
	plan := demoPlan()
	var series []probes.Series
	for _, s := range plan.Series {
		series = append(series, s.Series)
	}
	d := probes.NewDetector(plan.Stable, plan.Baseline, series...)
	for at := ms(50); at <= until; at += ms(50) {
		for _, s := range series {
			a := probes.Sample{Series: s.Name, Seq: int64(at/ms(50)) - 1, Due: at, Done: at + time.Millisecond + at%ms(700)/100, Class: probes.OK}
			if !s.Control && at >= ms(14000) && at < ms(18400) {
				a.Class, a.Error = probes.FailRefused, "connection refused"
			}
			d.Add(a)
			events = append(events, drills.WatchEvent{At: a.Done, Sample: &a})
		}
		if at == ms(10100) {
			events = append(events, drills.WatchEvent{At: at, Armed: true})
		}
		if at == ms(13500) {
			events = append(events, drills.WatchEvent{At: at, Mark: true})
		}
		if at%ms(100) == 0 {
			events = append(events, drills.WatchEvent{At: at, Courses: d.Courses(at)})
		}
	}
	return events
}

func watchedUntil(until time.Duration) *watchState {
	s := newWatchState(demoPlan())
	for _, e := range watchDemo(until) {
		s.fold(e)
	}
	return s
}

func TestWatchGolden(t *testing.T) {
	for name, at := range map[string]time.Duration{"watch-baseline.txt": ms(6000), "watch-down.txt": ms(16500), "watch-back.txt": ms(20000), "watch-up.txt": ms(30000)} {
		golden(t, name, plainLooks().watch(watchedUntil(at), 80, 24)+"\n")
	}
}

// TestWatchVantageGolden has a place for every series and the last outages, though four hosts probe.
func TestWatchVantageGolden(t *testing.T) {
	plan := demoPlan()
	here := plan.Series
	for _, from := range []string{"eu", "us", "ap"} {
		plan.Vantages = append(plan.Vantages, drills.WatchVantage{Name: from, Agent: "https://" + from + ".example.com:7070", Tool: "gwdr"})
		for _, s := range here {
			s.Name, s.Vantage = from+": "+s.Name, from
			plan.Series = append(plan.Series, s)
		}
	}
	s := newWatchState(plan)
	for _, e := range watchDemo(ms(30000)) {
		s.fold(e)
		if e.Sample != nil { // us sees what is seen from here, the others see nothing
			for _, from := range []string{"eu", "us", "ap"} {
				a := *e.Sample
				if a.Series = from + ": " + a.Series; from != "us" {
					a.Class = probes.OK
				}
				s.fold(drills.WatchEvent{At: e.At, Sample: &a})
			}
		}
		for _, c := range e.Courses {
			c.Series.Name, c.Outages = "us: "+c.Series.Name, slices.Clone(c.Outages)
			for i := range c.Outages {
				c.Outages[i].Series = c.Series.Name
			}
			s.fold(drills.WatchEvent{At: e.At, Courses: []probes.Course{c}})
		}
	}
	golden(t, "watch-vantage.txt", plainLooks().watch(s, 80, 24)+"\n")
}

func TestWatchPlainGolden(t *testing.T) {
	all := watchDemo(ms(31000))
	events := make(chan drills.WatchEvent, len(all))
	for _, e := range all {
		events <- e
	}
	close(events)
	var out bytes.Buffer
	if err := PlainWatch(&out, events, demoPlan()); err != nil {
		t.Fatal(err)
	}
	golden(t, "watch-plain.txt", out.String())
}

// TestWatchLedgerHeader names the gateway apart from the series, and what was promised.
// TestATargetThatWasNeverGoodIsNamed: nobody should pull the plug of it.
func TestATargetThatWasNeverGoodIsNamed(t *testing.T) {
	plan := drills.WatchPlan{Baseline: ms(1000), Series: []drills.WatchSeries{{Series: probes.Series{Name: "fresh"}, Fresh: true}},
		Targets: []drills.WatchTarget{{URL: "http://api.example.com/pign"}}}
	events := make(chan drills.WatchEvent, 2)
	events <- drills.WatchEvent{At: ms(500), Sample: &probes.Sample{Series: "fresh", Class: probes.FailStatus}}
	events <- drills.WatchEvent{At: ms(1000), Armed: true}
	close(events)
	var out strings.Builder
	if err := PlainWatch(&out, events, plan); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "fresh had not one good answer: check the URL, and --expect") || strings.Contains(text, "plug") {
		t.Error(text)
	}
}

func TestWatchLedgerHeader(t *testing.T) {
	admin := probes.Series{Name: probes.AdminSeries, Plane: probes.ControlPlane, Interval: ms(100)}
	plan := drills.WatchPlan{Baseline: ms(5000), Ledger: &drills.WatchLedger{RPO: 30 * time.Second},
		Targets: []drills.WatchTarget{{URL: "http://127.0.0.1:8081"}}, Series: []drills.WatchSeries{{Series: admin}}}
	view := plainLooks().watch(newWatchState(plan), 80, 24)
	for _, want := range []string{"RPO 30s  0.0s", " admin  http://127.0.0.1:8081", " changes "} {
		if !strings.Contains(view, want) {
			t.Errorf("no %q in\n%s", want, view)
		}
	}
}

// TestProblemsAreBrief: who asked whom is known, and what a stranger sends is neither printed as it is nor at its length.
func TestProblemsAreBrief(t *testing.T) {
	for text, want := range map[string]string{
		"dial tcp 127.0.0.1:8080: connect: connection refused":                    "connection refused",
		"read tcp 127.0.0.1:4711->127.0.0.1:8080: read: connection reset by peer": "connection reset by peer",
		"dial tcp [::1]:80: i/o timeout":                                          "i/o timeout",
		"lookup a.example: no such host":                                          "lookup a.example: no such host",
		"tls: failed to verify certificate: x509: certificate has expired":        "tls: failed to verify certificate: x509: certificate has expired",
		"answered \x1b[2J\x00\n\n \"SSH-2.0\"":                                    "answered [2J \"SSH-2.0\"",
	} {
		if got := brief(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
	plan := demoPlan()
	series := plan.Series[0].Series
	events := make(chan drills.WatchEvent, 4)
	events <- drills.WatchEvent{At: ms(100), Sample: &probes.Sample{Series: series.Name, Due: ms(100), Class: probes.FailBody, Error: strings.Repeat("long ", 60)}}
	events <- drills.WatchEvent{At: ms(200), Courses: []probes.Course{{Series: series, Outages: []probes.Outage{{Series: series.Name, Start: ms(100)}}}}}
	events <- drills.WatchEvent{At: ms(300), Mark: true}
	events <- drills.WatchEvent{At: ms(400), Mark: true}
	close(events)
	var out bytes.Buffer
	if err := PlainWatch(&out, events, plan); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "fail:body: long long") || !strings.Contains(out.String(), "once more; the first one counts, at 0.3s") {
		t.Error(out.String())
	}
	for line := range strings.Lines(out.String()) {
		if n := ansi.StringWidth(line); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// TestAnOutageIsNotBlamedOnTheLastOne: what is slow now was refused before.
func TestAnOutageIsNotBlamedOnTheLastOne(t *testing.T) {
	plan := demoPlan()
	series := plan.Series[0].Series
	over := probes.Outage{Series: series.Name, Start: ms(100), End: ms(300)}
	events := make(chan drills.WatchEvent, 2)
	events <- drills.WatchEvent{At: ms(100), Sample: &probes.Sample{Series: series.Name, Due: ms(100), Class: probes.FailRefused}}
	events <- drills.WatchEvent{At: ms(900), Courses: []probes.Course{{Series: series, Outages: []probes.Outage{over, {Series: series.Name, Start: ms(800)}}}}}
	close(events)
	var out bytes.Buffer
	if err := PlainWatch(&out, events, plan); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "since 0.8s, answers are slow") {
		t.Error(out.String())
	}
}

// TestWatchFits draws windows of many sizes, with more series than there is room for: never wider or higher than they are.
func TestWatchFits(t *testing.T) {
	s := watchedUntil(ms(20000))
	for len(s.lines) < 20 {
		s.lines = append(s.lines, s.lines[0], s.lines[1])
	}
	for _, size := range [][2]int{{80, 24}, {200, 60}, {60, 14}, {20, 5}, {1, 1}, {0, 0}} {
		lines := strings.Split(plainLooks().watch(s, size[0], size[1]), "\n")
		if len(lines) > max(size[1], 1) {
			t.Errorf("%d lines in a window of %v", len(lines), size)
		}
		for _, line := range lines {
			if ansi.StringWidth(line) > size[0] {
				t.Errorf("%q does not fit a window of %v", line, size)
			}
		}
	}
}

// TestAStripForgets: a watch may go on for days.
func TestAStripForgets(t *testing.T) {
	var s strip
	for i := range 10_000 {
		s.at(time.Duration(i) * cellWidth).sent = i
	}
	if n := len(s.cells); n > 2*maxCells || s.cells[n-1].sent != 9999 || s.at(0) != nil {
		t.Errorf("%d cells, the last of %d", n, s.cells[n-1].sent)
	}
}

// TestWatchKeepsTerminalSafe puts control characters into everything that comes from elsewhere.
func TestWatchKeepsTerminalSafe(t *testing.T) {
	const evil = "\x1b]0;owned\x07\x1b[2J\r\n"
	plan := demoPlan()
	plan.Targets[0].URL, plan.Series[0].Name = evil, evil
	series := plan.Series[0].Series
	all := []drills.WatchEvent{
		{Warning: evil}, {Sample: &probes.Sample{Series: evil, Class: probes.FailBody, Error: evil}},
		{Courses: []probes.Course{{Series: series, Outages: []probes.Outage{{Series: evil, Start: ms(100)}}}}},
	}
	s, events := newWatchState(plan), make(chan drills.WatchEvent, len(all))
	for _, e := range all {
		s.fold(e)
		events <- e
	}
	close(events)
	var lines bytes.Buffer
	if err := PlainWatch(&lines, events, plan); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{plainLooks().watch(s, 80, 40), lines.String()} {
		if strings.ContainsAny(out, "\x1b\x07\r") {
			t.Errorf("control characters came through: %q", out)
		}
	}
}

func TestRunWatch(t *testing.T) {
	for keys, want := range map[string][2]int{"q": {0, 1}, "\x03": {0, 1}, "mq": {1, 1}} {
		var marks, stops int
		in, typed := io.Pipe()
		go func() {
			for _, key := range keys { // as a person types, one after the other
				io.WriteString(typed, string(key))
			}
		}()
		err := RunWatch(t.Context(), in, io.Discard, make(chan drills.WatchEvent), demoPlan(),
			Controls{Mark: func() { marks++ }, Stop: func() { stops++ }})
		typed.Close()
		if err != nil || marks != want[0] || stops != want[1] {
			t.Errorf("%q: %d marks, %d stops, %v; want %v", keys, marks, stops, err, want)
		}
	}
	events := make(chan drills.WatchEvent)
	close(events)
	if err := RunWatch(t.Context(), strings.NewReader(""), io.Discard, events, demoPlan(), Controls{}); err != nil {
		t.Errorf("ended: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := RunWatch(ctx, strings.NewReader(""), io.Discard, nil, demoPlan(), Controls{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
