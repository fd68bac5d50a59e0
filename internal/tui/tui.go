// Package tui shows a running drill, or a watch, to a person: as a live screen, or as plain lines. Both are folds of its
// events; neither can do anything to it but ask for its end, or mark an instant.
package tui

import (
	"context"
	"io"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"

	"gwdr/drills"
	"gwdr/probes"
)

// Info is what the screen must know of the drill beforehand.
type Info struct {
	Scenario string
	Title    string
	Fleet    string
	RTO      map[probes.Plane]time.Duration // promised; a plane without a promise is left out
	Series   []probes.Series                // what the samples' names mean; others are not shown
}

// frame is the time between two pictures: what happens in between is shown at once.
const frame = 100 * time.Millisecond

// Run shows events on the terminal until their channel is closed, and then leaves the screen as it was. in and out are
// the terminal's. A person who presses q, and confirms it, makes Run call abort and go on showing; one who presses
// ctrl-c makes it call abort and leave at once, with a LeftError. When ctx ends first, Run returns its error. In both
// cases the caller must go on receiving events. abort is called once at most.
func Run(ctx context.Context, in io.Reader, out io.Writer, events <-chan drills.Event, info Info, abort func()) error {
	s := screen{events: events, abort: abort, state: newState(info), looks: newLooks(lipgloss.NewRenderer(out))}
	program := tea.NewProgram(s, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out), tea.WithAltScreen(),
		tea.WithoutSignalHandler(), tea.WithFPS(30))
	last, err := program.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	if s, ok := last.(screen); ok && s.left {
		return &LeftError{InEffect: s.state.inEffect(), Broken: s.state.broken, Again: s.again}
	}
	return nil
}

// screen connects the state with the terminal.
type screen struct {
	events        <-chan drills.Event
	abort         func()
	state         *state
	looks         looks
	width, height int
	asking        bool // whether to abort
	stopped       bool // abort was called
	left, again   bool // ctrl-c was pressed, and once more
}

// batch is what happened in one frame.
type batch[E any] struct {
	events []E
	closed bool
}

// collect waits for the events of one frame.
func collect[E any](events <-chan E) tea.Cmd {
	return func() tea.Msg {
		var b batch[E]
		timer := time.NewTimer(frame)
		defer timer.Stop()
		for {
			select {
			case e, ok := <-events:
				if !ok {
					b.closed = true
					return b
				}
				b.events = append(b.events, e)
			case <-timer.C:
				return b
			}
		}
	}
}

// Init starts to listen to the drill.
func (s screen) Init() tea.Cmd { return collect(s.events) }

// Update folds what happened into the state.
func (s screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		s.width, s.height = msg.Width, msg.Height
	case tea.KeyMsg:
		return s.keys(msg)
	case batch[drills.Event]:
		for _, e := range msg.events {
			s.state.fold(e)
		}
		s.asking = s.asking && !s.state.ending()
		if len(msg.events) == 0 {
			s.state.now += frame
		}
		if msg.closed {
			return s, tea.Quit
		}
		return s, collect(s.events)
	}
	return s, nil
}

// keys takes what was typed since the last look, which may be more than one key. What was pasted is none.
func (s screen) keys(msg tea.KeyMsg) (tea.Model, tea.Cmd) {
	typed := []string{msg.String()}
	if msg.Type == tea.KeyRunes {
		typed = strings.Split(string(msg.Runes), "")
	}
	var commands []tea.Cmd
	for _, key := range typed {
		if msg.Paste {
			break
		}
		var command tea.Cmd
		if s, command = s.key(key); command != nil {
			commands = append(commands, command)
		}
	}
	return s, tea.Sequence(commands...)
}

// key takes one key: ctrl-c aborts and leaves without a question; q asks first, as long as there is something to abort.
func (s screen) key(key string) (screen, tea.Cmd) {
	switch {
	case key == "ctrl+c" && s.left:
		s.again = true
	case key == "ctrl+c":
		s.left = true
		stop := s.stop()
		return s, tea.Sequence(stop, tea.Quit)
	case s.asking && (key == "y" || key == "Y" || key == "enter"):
		s.asking = false
		stop := s.stop()
		return s, stop
	case s.asking && (key == "n" || key == "N" || key == "esc"):
		s.asking = false
	case key == "q":
		s.asking = !s.state.ending()
	}
	return s, nil
}

// stop calls abort, the first time.
func (s *screen) stop() tea.Cmd {
	if s.stopped {
		return nil
	}
	s.stopped = true
	s.state.aborting = s.state.aborting || !s.state.ending()
	abort := s.abort
	return func() tea.Msg {
		abort()
		return nil
	}
}

// View draws the state.
func (s screen) View() string { return s.looks.view(s.state, s.asking, s.width, s.height) }
