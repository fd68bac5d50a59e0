// Package tui shows a running drill to a person: as a live screen, or as plain lines. Both are folds of the drill's
// events; neither can do anything to the drill but ask for its abort.
package tui

import (
	"context"
	"errors"
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

// ErrLeft says that the person left the screen while the drill went on: it was told to abort, and may still revert.
var ErrLeft = errors.New("left the screen before the drill ended")

// frame is the time between two pictures: what happens in between is shown at once.
const frame = 100 * time.Millisecond

// Run shows events on the terminal until their channel is closed, and then leaves the screen as it was. in and out are
// the terminal's. A person who asks for an abort, and confirms it, makes Run call abort once and go on showing; one who
// presses ctrl-c again leaves at once, and Run returns ErrLeft. When ctx ends first, Run returns its error. In both cases
// the caller must go on receiving events.
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
		return ErrLeft
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
	left          bool
}

// batch is what happened in one frame.
type batch struct {
	events []drills.Event
	closed bool
}

// collect waits for the events of one frame.
func collect(events <-chan drills.Event) tea.Cmd {
	return func() tea.Msg {
		var b batch
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
	case batch:
		for _, e := range msg.events {
			s.state.fold(e)
		}
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

// key asks before it aborts.
func (s screen) key(key string) (screen, tea.Cmd) {
	switch {
	case key == "ctrl+c" && (s.asking || s.state.aborting):
		s.left = true
		return s, tea.Sequence(s.stop(), tea.Quit)
	case s.asking && (key == "y" || key == "Y" || key == "enter"):
		s.asking = false
		return s, s.stop()
	case s.asking && (key == "n" || key == "N" || key == "esc"):
		s.asking = false
	case (key == "q" || key == "ctrl+c") && !s.state.aborting:
		s.asking = true
	}
	return s, nil
}

// stop calls abort, the first time.
func (s screen) stop() tea.Cmd {
	if s.state.aborting {
		return nil
	}
	s.state.aborting = true
	return func() tea.Msg {
		s.abort()
		return nil
	}
}

// View draws the state.
func (s screen) View() string { return s.looks.view(s.state, s.asking, s.width, s.height) }
