package restore

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// muteAt makes the location keep silent when it is asked for an object whose name holds the text.
func muteAt(text string) func(ctx context.Context, op, name string) error {
	return func(ctx context.Context, op, name string) error {
		if op != "get" || !strings.Contains(name, text) {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
}

// TestSilentAtGet: a location that lists what it has, and then gives nothing of it, is waited for once, however much there is
// to read; and if it does give the points, nobody waits for it for longer than it takes to ask another.
func TestSilentAtGet(t *testing.T) {
	for text, most := range map[string]time.Duration{"": 35 * time.Second, "/log/": 10 * time.Second, "/packs/": 10 * time.Second} {
		t.Run("at "+text, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				var changes []func()
				for i := range 150 {
					changes = append(changes, w.put(fmt.Sprint("a", i)))
				}
				w.followed(changes...)
				w.gateway.Wipe()
				w.followedAnew(w.put("b"), w.revoke) // the parent's log is read as well
				w.gateway.Wipe()
				w.memories[0].Break(muteAt(text))
				begun := time.Now()
				p, _ := w.run()
				if took := time.Since(begun); took > most || !w.has(setting("a149")) || !w.has(setting("b")) || !w.has(newlyRevoked.Ref) {
					t.Errorf("it took %s, and restored %v", took, exportOf(t, w.gateway).State.Refs())
				}
				named := 0
				for _, f := range p.Findings {
					named += strings.Count(f.Subject, "local")
				}
				if named != 1 {
					t.Errorf("the silent location is named %d times: %v", named, p.Findings)
				}
			})
		})
	}
}

// TestSilentAlone: a location that takes long is waited for where nobody else has what is wanted.
func TestSilentAlone(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.followed(w.put("a"), w.put("b"))
		for _, m := range w.memories[1:] {
			for name := range m.Objects() {
				if strings.Contains(name, "/packs/") || strings.Contains(name, "/log/") {
					m.Set(name, nil)
				}
			}
		}
		w.gateway.Wipe()
		w.memories[0].Break(func(_ context.Context, op, _ string) error {
			if op == "get" {
				time.Sleep(10 * time.Second)
			}
			return nil
		})
		if _, res := w.run(); res.Revision != 3 || !w.has(setting("b")) {
			t.Errorf("result %+v", res)
		}
	})
}
