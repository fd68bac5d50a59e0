package cmd

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gwdr/drills"
)

// guarded makes the lock of the directory that of a guard.
func guarded(t *testing.T, dir string) {
	t.Helper()
	holder := "the guard of 20261121T024601Z-region-loss-a1b2 of root since 2026-11-21 02:46:09 UTC, process 42\n"
	if err := os.WriteFile(filepath.Join(dir, ".lock"), []byte(holder), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDrillWhileAGuardReverts: whoever comes too early learns that all is being reverted, and has nothing to abort.
func TestDrillWhileAGuardReverts(t *testing.T) {
	for name, c := range map[string]struct {
		guard bool
		hint  string
	}{
		"a guard": {true, "its guard reverts what it has left behind: wait, or 'gwdr drill revert' waits"},
		"a drill": {false, "wait for it, or 'gwdr drill abort'"},
	} {
		t.Run(name, func(t *testing.T) {
			_, dirs := newAbortable(t, true, 0)
			if c.guard {
				guarded(t, dirs[0])
			}
			err := drillError(nil, drills.Admit(dirs[0]))
			hinted := (*hintedError)(nil)
			if exitCodeOf(t.Context(), err) != exitRefused || !errors.As(err, &hinted) || !strings.Contains(hinted.hint, c.hint) {
				t.Errorf("%v: %+v", err, hinted)
			}
		})
	}
}

// TestRevertWaitsForGuards: those that are at work elsewhere are waited for, too; a drill that is has left nothing behind yet.
func TestRevertWaitsForGuards(t *testing.T) {
	for name, guard := range map[string]bool{"a guard": true, "a drill": false} {
		t.Run(name, func(t *testing.T) {
			m, dirs := newAbortable(t, false, 1)
			if guard {
				guarded(t, dirs[1])
			}
			if err := m.app.awaitGuards(t.Context()); err != nil {
				t.Fatal(err)
			}
			if waited := len(m.end) == 0; waited != guard {
				t.Errorf("waited: %v", waited)
			}
		})
	}
}
