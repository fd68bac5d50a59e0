package restore

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"gwdr/gateway"
)

// history follows five changes, one a second, and returns what the gateway was after each; the first is before all of them.
func (w *world) history() (states []*gateway.State, times []time.Time) {
	note := func() {
		states, times = append(states, exportOf(w.t, w.gateway).State), append(times, time.Now())
	}
	note()
	steps := []func(){w.put("a"), w.put("b"), w.put("c"), w.remove(setting("b")), w.put("d")}
	var changes []func()
	for _, step := range steps {
		changes = append(changes, func() {
			step()
			note()
		})
	}
	w.followed(changes...)
	return states, times
}

// TestAtTime: any moment that the log knows can be restored, not only those of points.
func TestAtTime(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		states, times := w.history()
		for i, want := range states {
			w.gateway.Wipe()
			w.restore.At = At{Time: times[i].Add(500 * time.Millisecond)}
			if _, res := w.run(); res.Actual != want.Digest() || res.Time.After(w.restore.At.Time) {
				t.Errorf("at the time after change %d: %+v", i, res)
			}
			w.gateway.Wipe()
			w.restore.At = At{Before: int64(i) + 2} // the store was at revision 1
			if _, res := w.run(); res.Actual != want.Digest() || res.Revision != int64(i)+1 {
				t.Errorf("before revision %d: %+v", i+2, res)
			}
		}
		w.gateway.Wipe()
		w.restore.At = At{Before: 4711}
		p, _ := w.run()
		w.wantFinding(p.Findings, "log", "and revision 4711, if anything, is not in the backups")
		w.restore.At = At{Before: 1}
		if _, err := w.restore.Plan(t.Context()); !errors.Is(err, ErrNoSuchPoint) {
			t.Errorf("before all: %v, want ErrNoSuchPoint", err)
		}
	})
}

// TestGap: what lies behind changes that are not known is restored only if that is wanted, and then they are named.
func TestGap(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		states, times := w.history()
		lost := w.segments()[3] // c is put there
		for _, m := range w.memories {
			m.Set(lost, nil)
		}
		for _, at := range []At{{Time: times[4].Add(time.Millisecond)}, {Before: 6}} {
			w.restore.At = at
			if _, err := w.restore.Plan(t.Context()); !errors.Is(err, ErrGap) {
				t.Errorf("%s: %v, want ErrGap", at, err)
			}
		}
		w.restore.At = At{Time: times[2]}
		w.gateway.Wipe()
		if _, res := w.run(); res.Actual != states[2].Digest() {
			t.Errorf("before the gap: %+v", res)
		}
		w.restore.AllowGap = true
		for _, at := range []At{{}, {Time: times[5]}, {Before: 7}} {
			w.gateway.Wipe()
			w.restore.At = at
			p, res := w.run()
			if fmt.Sprint(len(p.Gaps), len(res.Gaps)) != "1 1" || p.Gaps[0].After != 3 || p.Gaps[0].To != 4 {
				t.Fatalf("%s: gaps %+v", at, p.Gaps)
			}
			w.wantFinding(p.Findings, "log", "across a gap: the changes after revision 3 up to 4")
			if !w.has(setting("a")) || w.has(setting("c")) || w.has(setting("b")) || !w.has(setting("d")) || res.Revision != 6 {
				t.Errorf("%s: revision %d, state %v", at, res.Revision, exportOf(t, w.gateway).State.Refs())
			}
		}
	})
}
