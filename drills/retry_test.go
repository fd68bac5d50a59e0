package drills

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
)

// TestRetriesAreTold: people who watch a drill see that a revert did not work, and that it is tried again; once for the same failure.
func TestRetriesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.world.revertErr = func(n int) error { return map[bool]error{true: errors.New("busy")}[n <= 3] }
		var warnings []string
		l.Events = func(e Event) {
			if e.Warning != "" {
				warnings = append(warnings, e.Warning)
			}
		}
		r, err := l.run(t, t.Context())
		if err != nil || !r.Clean {
			t.Fatalf("%+v, %v", r, err)
		}
		if len(warnings) != 1 || !strings.HasSuffix(warnings[0], "failed: busy; again in 100ms") || !strings.HasPrefix(warnings[0], "attempt 1 to revert power-cut") {
			t.Errorf("warned %q", warnings)
		}
	})
}
