package tui

import (
	"context"
	"io"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"

	"gwdr/drills"
)

// Controls is what a person who looks at a watch can do.
type Controls struct {
	Mark func() // something is broken now
	Stop func() // ends the measurement; called once at most
}

// RunWatch shows events on the terminal until their channel is closed, or the person ends the measurement with q or ctrl-c,
// and then leaves the screen as it was. The caller must go on receiving events. When ctx ends first, it returns its error.
func RunWatch(ctx context.Context, in io.Reader, out io.Writer, events <-chan drills.WatchEvent, plan drills.WatchPlan, c Controls) error {
	s := watchScreen{events: events, controls: c, state: newWatchState(plan), looks: newLooks(lipgloss.NewRenderer(out))}
	program := tea.NewProgram(s, tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out), tea.WithAltScreen(),
		tea.WithoutSignalHandler(), tea.WithFPS(30))
	_, err := program.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// watchScreen connects the state with the terminal.
type watchScreen struct {
	events        <-chan drills.WatchEvent
	controls      Controls
	state         *watchState
	looks         looks
	width, height int
	stopped       bool
}

// Init starts to listen to the watch.
func (s watchScreen) Init() tea.Cmd { return collect(s.events) }

// Update folds what happened into the state.
func (s watchScreen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		s.width, s.height = msg.Width, msg.Height
	case tea.KeyMsg:
		return s.key(msg)
	case batch[drills.WatchEvent]:
		for _, e := range msg.events {
			s.state.fold(e)
		}
		if msg.closed {
			return s, tea.Quit
		}
		return s, collect(s.events)
	}
	return s, nil
}

// key takes what was typed. What was pasted is no key.
func (s watchScreen) key(msg tea.KeyMsg) (tea.Model, tea.Cmd) {
	switch key := msg.String(); {
	case msg.Paste:
	case (key == "q" || key == "ctrl+c") && !s.stopped:
		s.stopped = true
		stop := s.controls.Stop
		return s, tea.Sequence(func() tea.Msg { stop(); return nil }, tea.Quit)
	case key == "m":
		mark := s.controls.Mark
		return s, func() tea.Msg { mark(); return nil }
	}
	return s, nil
}

// View draws the state.
func (s watchScreen) View() string { return s.looks.watch(s.state, s.width, s.height) }
