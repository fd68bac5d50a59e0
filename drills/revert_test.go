package drills

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/fleet"
	"gwdr/fleet/fleettest"
)

// broken is a fleet in which four faults are in effect, and a run that was killed there, with their undo records.
func broken(t *testing.T) (m *fleettest.Memory, dir string) {
	t.Helper()
	m = fleettest.NewMemory(fleet.Instance{ID: "a", Role: fleet.Data}, fleet.Instance{ID: "b", Role: fleet.Data})
	dir = t.TempDir()
	log, err := createUndoLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer log.close()
	all, err := m.Instances(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range []fleet.Fault{
		{ID: "first", Kind: fleet.Kill}, {ID: "second", Kind: fleet.Latency, With: fleet.Params{Delay: time.Second}},
		{ID: "third", Kind: fleet.Kill}, {ID: "fourth", Kind: fleet.Pause},
	} {
		f.Lease = time.Hour
		u, err := m.Prepare(t.Context(), f, all[i%2:i%2+1])
		if err := errors.Join(err, log.append(u), m.Inject(t.Context(), u)); err != nil {
			t.Fatal(err)
		}
	}
	return m, dir
}

// logged keeps the messages of a log.
type logged []string

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }
func (l *logged) Handle(_ context.Context, r slog.Record) error {
	*l = append(*l, r.Message)
	return nil
}
func (l *logged) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *logged) WithGroup(string) slog.Handler      { return l }

// TestReverterTriesAgain shows that a revert which fails three times is made all the same, in the order of the undo log from
// its end; that one which never succeeds keeps none of the others from being reverted; and that it is found by the next.
func TestReverterTriesAgain(t *testing.T) {
	for name, test := range map[string]struct {
		fail     int
		clean    bool
		reverted []string
		said     []string // the first lines
	}{
		"at once":     {0, true, []string{"fourth", "third", "second", "first"}, nil},
		"three times": {3, true, []string{"fourth", "third", "second", "first"}, []string{"attempt 1 to revert fourth failed: device is busy; again in 100ms"}},
		"for ever": {-1, false, []string{}, []string{"attempt 1 to revert fourth failed: device is busy; again in 100ms",
			"attempt 7 to revert fourth failed: device is busy; again in 2s"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, dir := broken(t)
				m.Fail(fleettest.RevertCall, test.fail, errors.New("device is busy"))
				var told logged
				r := &Reverter{Log: slog.New(&told), Open: func(context.Context, fleet.Undo) (fleet.Fleet, error) { return m, nil }}
				got, err := r.Revert(t.Context(), dir)
				if n := len(test.said); len(told) < n || n == 0 != (len(told) == 0) || !slices.Equal(told[:n], test.said) || len(told) > 30 {
					t.Errorf("said %q, want %q", told, test.said)
				}
				if got.Clean != test.clean || (err == nil) != test.clean {
					t.Errorf("%+v, %v", got, err)
				}
				if diff := cmp.Diff(test.reverted, got.Reverted); diff != "" {
					t.Errorf("reverted (-want +got):\n%s", diff)
				}
				if !test.clean {
					if !strings.Contains(err.Error(), "device is busy") || len(got.Leftovers) != 4 {
						t.Errorf("%+v, %v", got, err)
					}
					m.Fail(fleettest.RevertCall, 0, nil)
					if again, err := r.Revert(t.Context(), dir); err != nil || !again.Clean || len(again.Reverted) != 4 {
						t.Errorf("again: %+v, %v", again, err)
					}
				}
				if order := m.Reverted(); !slices.Equal(order, []string{"fourth", "third", "second", "first"}) {
					t.Errorf("the fleet saw %v", order)
				}
				if got, err := r.Revert(t.Context(), dir); err != nil || !got.Clean || len(got.Reverted) != 0 {
					t.Errorf("once more: %+v, %v", got, err)
				}
			})
		})
	}
}
