package tui

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"gwdr/drills"
	"gwdr/fleet"
	"gwdr/probes"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// plainLooks draws without any colour.
func plainLooks() looks { return newLooks(lipgloss.NewRenderer(io.Discard)) }

// at folds the demo up to an instant.
func at(until time.Duration) *state {
	s := newState(demoInfo)
	for _, e := range demo() {
		if e.At <= until {
			s.fold(e)
		}
	}
	return s
}

func TestViewGolden(t *testing.T) {
	for name, c := range map[string]struct {
		at            time.Duration
		width, height int
		asking        bool
	}{
		"baseline-80x24.txt":  {ms(6000), 80, 24, false},
		"down-80x24.txt":      {ms(8300), 80, 24, false},
		"promoting-80x24.txt": {ms(9900), 80, 24, true},
		"reverted-80x24.txt":  {ms(17600), 80, 24, false},
		"end-120x40.txt":      {time.Minute, 120, 40, false},
	} {
		golden(t, name, plainLooks().view(at(c.at), c.asking, c.width, c.height)+"\n")
	}
}

// TestViewFits draws all the drill in windows of many sizes: never wider or higher than they are.
func TestViewFits(t *testing.T) {
	s := newState(demoInfo)
	for i, e := range demo() {
		s.fold(e)
		if i%97 != 0 {
			continue
		}
		for _, size := range [][2]int{{80, 24}, {200, 60}, {60, 14}, {20, 5}, {1, 1}, {0, 0}} {
			lines := strings.Split(plainLooks().view(s, i%2 == 0, size[0], size[1]), "\n")
			if len(lines) > max(size[1], 1) {
				t.Fatalf("%d lines in a window of %v at %s", len(lines), size, s.now)
			}
			for _, line := range lines {
				if ansi.StringWidth(line) > size[0] {
					t.Fatalf("%q does not fit a window of %v", line, size)
				}
			}
		}
	}
}

func TestFoldMeasuresEachPlane(t *testing.T) {
	for _, c := range []struct {
		at            time.Duration
		data, control clock
	}{
		{ms(7900), clock{}, clock{}},
		{ms(8300), clock{hit: true, down: true, elapsed: ms(300)}, clock{hit: true, down: true, elapsed: ms(300)}},
		{ms(9900), clock{hit: true, elapsed: ms(381)}, clock{hit: true, down: true, elapsed: ms(1900)}},
		{ms(21000), clock{hit: true, elapsed: ms(381)}, clock{hit: true, elapsed: ms(2921)}},
	} {
		s := at(c.at)
		s.now = c.at
		for plane, want := range map[probes.Plane]clock{probes.DataPlane: c.data, probes.ControlPlane: c.control} {
			if got := s.clock(plane); got != want {
				t.Errorf("at %s, plane %s: %+v, want %+v", c.at, plane, got, want)
			}
		}
	}
}

// TestFoldTakesAnyOrder gives a hung attempt's end after those that were due later, and then a relapse.
func TestFoldTakesAnyOrder(t *testing.T) {
	s := newState(demoInfo)
	s.fold(drills.Event{At: ms(1000), Fault: &drills.FaultEvent{ID: "f", Kind: fleet.Kill, What: "injected"}})
	sample := func(due, done int, class probes.Class) {
		s.fold(drills.Event{At: ms(done), Sample: &probes.Sample{Series: "orders fresh", Due: ms(due), Done: ms(done), Class: class}})
	}
	sample(1020, 1021, probes.FailRefused)
	sample(1060, 1061, probes.OK)
	sample(1080, 1081, probes.OK)
	sample(1040, 2040, probes.FailTimeout)
	if got, want := s.clock(probes.DataPlane), (clock{hit: true, elapsed: ms(61)}); got != want {
		t.Errorf("hung attempt: %+v, want %+v", got, want)
	}
	sample(2060, 2061, probes.FailReset)
	if got := s.clock(probes.DataPlane); !got.down || got.elapsed != ms(1061) {
		t.Errorf("relapse: %+v, want down for 1.061s", got)
	}
	s.fold(drills.Event{At: ms(2062), Step: &drills.StepEvent{ID: "promote"}})
	sample(2080, 2081, probes.Unknown)
	sample(2100, 2101, probes.OK)
	if got, want := s.clock(probes.DataPlane), (clock{hit: true, elapsed: ms(1101)}); got != want {
		t.Errorf("back again: %+v, want %+v", got, want)
	}
	s.fold(drills.Event{At: ms(3000), Phase: &drills.PhaseEvent{Phase: drills.Reverting}})
	sample(3020, 3021, probes.FailReset)
	if got, want := s.clock(probes.DataPlane), (clock{hit: true, elapsed: ms(1101)}); got != want {
		t.Errorf("affected by the revert: %+v, want %+v", got, want)
	}
}

// TestFoldKeepsTerminalSafe puts control characters into everything that comes from people.
func TestFoldKeepsTerminalSafe(t *testing.T) {
	const evil = "\x1b]0;owned\x07\x1b[2J\r\n"
	info := demoInfo
	info.Scenario, info.Title, info.Fleet = evil, evil, evil
	events := []drills.Event{
		{Warning: evil}, {Phase: &drills.PhaseEvent{Phase: drills.Dirty, Detail: evil}},
		{Fault: &drills.FaultEvent{ID: evil, Kind: evil, What: "injected", Targets: []string{evil}, Detail: evil}},
		{Step: &drills.StepEvent{ID: evil, Action: evil, Err: errors.New(evil)}},
		{Fleet: []fleet.Instance{{ID: evil, Region: evil}}},
	}
	s := newState(info)
	channel := make(chan drills.Event, len(events))
	for _, e := range events {
		s.fold(e)
		channel <- e
	}
	close(channel)
	var lines bytes.Buffer
	if err := Plain(&lines, channel, info); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{plainLooks().view(s, false, 80, 40), lines.String()} {
		if strings.ContainsAny(out, "\x1b\x07\r") {
			t.Errorf("control characters came through: %q", out)
		}
	}
}

func TestPlainGolden(t *testing.T) {
	all := demo()
	events := make(chan drills.Event, len(all))
	for _, e := range all {
		events <- e
	}
	close(events)
	var out bytes.Buffer
	if err := Plain(&out, events, demoInfo); err != nil {
		t.Fatal(err)
	}
	golden(t, "plain.txt", out.String())
}

// screenOf runs the screen on a terminal that is typed at by keys, and closes the events when it is told to abort.
func screenOf(t *testing.T, keys string) (aborted int, err error) {
	t.Helper()
	events := make(chan drills.Event, 1)
	events <- drills.Event{Phase: &drills.PhaseEvent{Phase: drills.Planned}}
	in, typed := io.Pipe()
	defer typed.Close()
	go io.WriteString(typed, keys)
	err = Run(t.Context(), in, io.Discard, events, demoInfo, func() {
		aborted++
		close(events)
	})
	return aborted, err
}

// leave runs the screen of a drill that takes its time to abort.
func leave(t *testing.T, keys string) (aborted int, err error) {
	t.Helper()
	in, typed := io.Pipe()
	defer typed.Close()
	go io.WriteString(typed, keys)
	err = Run(t.Context(), in, io.Discard, make(chan drills.Event), demoInfo, func() { aborted++ })
	return aborted, err
}

// TestKeysAfterRevert presses every key that aborts when there is nothing to abort any more.
func TestKeysAfterRevert(t *testing.T) {
	s := screen{state: at(ms(17600)), asking: true}
	next, _ := s.Update(batch[drills.Event]{})
	if next.(screen).asking {
		t.Error("goes on asking whether to revert what is reverted")
	}
	if s, _ = next.(screen).key("q"); s.asking || s.stopped {
		t.Errorf("q: %+v; want nothing to happen", s)
	}
	s, _ = s.key("ctrl+c")
	s, _ = s.key("ctrl+c")
	if !s.left || !s.again || s.state.aborting {
		t.Errorf("ctrl-c twice: %+v; want to have left twice, and no abort on show", s)
	}
}

func TestLeftErrorSaysWhatHappens(t *testing.T) {
	for when, want := range map[time.Duration]string{
		ms(6000):  "aborting: nothing was injected; ctrl-c again ends gwdr at once",
		ms(9900):  "aborting: reverting power-cut; ctrl-c again leaves it to the guard",
		ms(17600): "all faults are reverted: the drill goes on to its report; ctrl-c again ends gwdr without one",
	} {
		s := at(when)
		if got := (&LeftError{InEffect: s.inEffect(), Broken: s.broken}).Error(); got != want {
			t.Errorf("at %s: %s", when, got)
		}
	}
}

// TestRestoredIsNoCross holds the fault of a store on after its control plane was restored.
func TestRestoredIsNoCross(t *testing.T) {
	s := at(ms(8300))
	s.fold(drills.Event{Fault: &drills.FaultEvent{ID: "wipe", Kind: fleet.StoreWipe, What: "injected", Targets: []string{"us-east-control"}}})
	for _, step := range []struct {
		event drills.Event
		want  string
	}{
		{drills.Event{Step: &drills.StepEvent{ID: "restore", Action: "restore"}}, "✗ us-east-control\n"},
		{drills.Event{Step: &drills.StepEvent{ID: "restore", Action: "restore", Done: true}}, "◐ us-east-control restored, fault held\n"},
		{drills.Event{Fault: &drills.FaultEvent{ID: "wipe", What: "reverted"}, Fleet: nil}, "✗ us-east-control\n"},
		{drills.Event{Fleet: demoFleet("")}, "● us-east-control\n"},
	} {
		s.fold(step.event)
		if got := plainLooks().view(s, false, 80, 24); !strings.Contains(got, step.want) {
			t.Errorf("want %q in\n%s", step.want, got)
		}
	}
}

func TestRun(t *testing.T) {
	if aborted, err := screenOf(t, "qnqy"); aborted != 1 || err != nil {
		t.Errorf("confirmed: %d aborts, %v", aborted, err)
	}
	for _, keys := range []string{"\x03", "\x03\x03", "q\x03"} {
		left := (*LeftError)(nil)
		if aborted, err := leave(t, keys); aborted != 1 || !errors.As(err, &left) || left.Broken {
			t.Errorf("%q: %d aborts, %v; want one, and to have left", keys, aborted, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, strings.NewReader(""), io.Discard, nil, demoInfo, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	events := make(chan drills.Event)
	close(events)
	if err := Run(t.Context(), strings.NewReader(""), io.Discard, events, demoInfo, nil); err != nil {
		t.Errorf("ended: %v", err)
	}
}
