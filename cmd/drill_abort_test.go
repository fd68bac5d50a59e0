package cmd

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gwdr/drills"
)

// abortable is a machine with drills that keep their evidence elsewhere than the configuration says; each ends once it is waited for.
type abortable struct {
	app     *app
	out     bytes.Buffer
	stopped []string // directories that had a STOP file when a drill was waited for
	end     []func() error
}

func newAbortable(t *testing.T, here bool, elsewhere int) (m *abortable, dirs []string) {
	t.Helper()
	m, state := &abortable{}, t.TempDir()
	m.app = &app{Stdout: &m.out, Stderr: m, Config: &Config{State: state}}
	for i := range elsewhere + 1 {
		dir := t.TempDir()
		dirs = append(dirs, dir)
		m.app.Config.Evidence = dir
		if i == 0 && !here {
			continue
		}
		end, err := drills.Claim(dir, "quick")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { end() })
		m.end = append(m.end, end)
		if err := m.app.rememberEvidence("lab"); err != nil {
			t.Fatal(err)
		}
	}
	m.app.Config.Evidence = dirs[0]
	return m, dirs
}

// Write is the terminal: whoever is told that a drill is waited for has seen all STOP files made.
func (m *abortable) Write(line []byte) (int, error) {
	if bytes.HasPrefix(line, []byte("waiting for")) {
		for _, dir := range m.app.evidences() {
			if _, err := os.Stat(filepath.Join(dir, "STOP")); err == nil && !slices.Contains(m.stopped, dir) {
				m.stopped = append(m.stopped, dir)
			}
		}
		m.end[0]()
		m.end = m.end[1:]
	}
	return len(line), nil
}

// TestAbortWhereTheDrillIs: a drill that keeps its evidence elsewhere is ended there, unless nobody knows which is meant.
func TestAbortWhereTheDrillIs(t *testing.T) {
	for name, c := range map[string]struct {
		here      bool
		elsewhere int
		all       bool
		stops     []int // which directories; 0 is here
		code      int
	}{
		"none":              {},
		"here":              {here: true, stops: []int{0}},
		"elsewhere":         {elsewhere: 1, stops: []int{1}},
		"both":              {here: true, elsewhere: 1, stops: []int{0}},
		"several elsewhere": {elsewhere: 2, code: exitRefused},
		"all":               {elsewhere: 2, all: true, stops: []int{0, 1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			m, dirs := newAbortable(t, c.here, c.elsewhere)
			err := runDrillAbort(t.Context(), m.app, drillAbortOptions{all: c.all, wait: guardPatience})
			if code := exitCodeOf(t.Context(), err); code != c.code {
				t.Fatalf("exit code %d, want %d: %v", code, c.code, err)
			}
			if c.code != exitDone {
				return
			}
			for i, dir := range dirs {
				if was := slices.Contains(m.stopped, dir); was != slices.Contains(c.stops, i) {
					t.Errorf("directory %d: stopped %v, want %v", i, was, c.stops)
				}
				blocks := strings.Contains(m.out.String(), "gwdr drill abort --lift --evidence "+dir)
				if _, err := os.Stat(filepath.Join(dir, "STOP")); (err == nil) != c.all || blocks != c.all {
					t.Errorf("directory %d is blocked: %v, %v", i, err == nil, blocks)
				}
			}
		})
	}
}

// TestAbortNamesTheCommand: of several drills each can be ended by what is said.
func TestAbortNamesTheCommand(t *testing.T) {
	m, dirs := newAbortable(t, false, 2)
	err := runDrillAbort(t.Context(), m.app, drillAbortOptions{wait: guardPatience})
	var told bytes.Buffer
	(&app{Stderr: &told}).fail(t.Context(), err)
	for _, want := range []string{dirs[1], dirs[2], "gwdr drill abort --evidence " + dirs[1]} {
		if !strings.Contains(told.String(), want) {
			t.Errorf("want %q in %s", want, told.String())
		}
	}
}
