package restore

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
)

// followed makes the locations what they are when a follower's machine is lost after the changes, each of which is a segment
// of the log.
func (w *world) followed(changes ...func()) {
	w.t.Helper()
	ctx, stop := context.WithCancel(w.t.Context())
	f := &backup.Follower{Job: backup.Job{Source: gatewaytest.Tracked{Gateway: w.gateway}, Gateway: "test", Copies: w.copies, Keys: w.keys,
		Spool: w.spool, Tool: "test"}}
	done := make(chan error)
	go func() { done <- f.Run(ctx) }()
	synctest.Wait()
	for _, change := range changes {
		time.Sleep(time.Second)
		change()
		synctest.Wait()
	}
	left := make([]map[string][]byte, len(w.memories))
	for i, m := range w.memories {
		left[i] = m.Objects()
	}
	stop()
	if err := <-done; err != nil {
		w.t.Fatal(err)
	}
	for i, m := range w.memories {
		for name := range m.Objects() {
			m.Set(name, left[i][name])
		}
	}
	w.spool = w.t.TempDir()
}

func (w *world) put(id string) func() {
	return func() { w.gateway.Put(backuptest.Entity(gateway.Setting, id, `{"put":"`+id+`"}`)) }
}

func (w *world) remove(refs ...gateway.Ref) func() {
	return func() {
		for _, r := range refs {
			w.gateway.Remove(r)
		}
	}
}

// segments returns the names of the segments that the first location has, in order.
func (w *world) segments() []string {
	var names []string
	for name := range w.memories[0].Objects() {
		if strings.Contains(name, "/log/") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func setting(id string) gateway.Ref { return gateway.Ref{Kind: gateway.Setting, ID: id} }

// inBubble runs the test with a clock of its own.
func inBubble(t *testing.T, test func(t *testing.T, w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, gatewaytest.Sample()...)
		w.restore.Doubtful = AcceptRisk // there, the sample's keys are of the future
		test(t, w)
	})
}

// TestReplay: a restore of the newest state leads to the last change that was committed, not only to the newest point.
func TestReplay(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.followed(w.put("a"), w.put("b"), w.remove(setting("a")))
		want, at := exportOf(t, w.gateway).State, time.Now()
		w.gateway.Wipe()
		p, res := w.run()
		if res.Actual != want.Digest() || res.Revision != 4 || at.Sub(res.Time) > time.Second || !strings.HasSuffix(res.Parent, "@4") {
			t.Errorf("result %+v", res)
		}
		w.wantFinding(p.Findings, "log", "by 3 changes, to revision 4")
	})
}

// TestReplayNotAt: who names a point gets that point, and what was revoked since.
func TestReplayNotAt(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		revoked := backuptest.Entity(gateway.Revocation, "0123456789abcdef", `{"at":"2026-02-03T04:05:06Z"}`)
		w.followed(w.put("a"), func() { w.gateway.Put(revoked) })
		found, _ := backup.Find(t.Context(), w.copies, w.keys.Trusted)
		w.gateway.Wipe()
		w.restore.At = At{Point: found[0].Name}
		if _, res := w.run(); res.Revision != 1 || w.has(setting("a")) || !w.has(revoked.Ref) {
			t.Errorf("result %+v", res)
		}
	})
}

// TestReplayDamaged: a segment that is damaged at one location is read at another; at all, the log ends before it, and that
// is said.
func TestReplayDamaged(t *testing.T) {
	for name, c := range map[string]struct {
		where   int // how many locations
		revised int64
		finding string
	}{
		"at one": {1, 4, "by 3 changes, to revision 4"},
		"at all": {3, 2, "segment 3 of the log is whole at no location"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.followed(w.put("a"), w.put("b"), w.put("c"))
				w.tamper(w.segments()[2], w.memories[:c.where]...)
				w.gateway.Wipe()
				p, res := w.run()
				if res.Revision != c.revised || !w.has(setting("a")) || w.has(setting("b")) != (c.revised > 2) {
					t.Errorf("result %+v", res)
				}
				w.wantFinding(p.Findings, "log", c.finding)
				w.wantFinding(p.Findings, "local", "log/0000000000000003.tar")
			})
		})
	}
}

// TestReplayForged: a segment of a stranger does not exist.
func TestReplayForged(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.followed(w.put("a"))
		stranger := backup.Job{Source: w.gateway, Gateway: "test", Copies: w.copies, Keys: w.keys, Spool: t.TempDir()}
		stranger.Keys.Signer = backuptest.NewKeys(t).Signer
		stranger.Keys.Trusted = w.keys.Trusted.Trust("stranger", stranger.Keys.Signer.Public())
		w.put("b")()
		if _, err := backup.Take(t.Context(), stranger); err != nil {
			t.Fatal(err)
		}
		w.gateway.Wipe()
		p, res := w.run()
		if res.Revision != 2 || !w.has(setting("a")) {
			t.Errorf("result %+v", res)
		}
		w.wantFinding(p.Findings, "log", "NOT to its end")
	})
}

// TestReplayInstead: where the newest point is damaged, the log leads from an older one to the same state.
func TestReplayInstead(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.followed(w.put("a"))
		w.followed(w.put("b")) // begins with a point
		want := exportOf(t, w.gateway).State
		found, _ := backup.Find(t.Context(), w.copies, w.keys.Trusted)
		w.tamper(found[0].Name, w.memories...)
		w.gateway.Wipe()
		p, res := w.run()
		if res.Actual != want.Digest() || res.Revision != 3 {
			t.Errorf("result %+v", res)
		}
		w.wantFinding(p.Findings, "log", "to revision 3")
	})
}

// TestReplayLoss: a log that leads to nothing is not replayed; one that leads to little is, and says so.
func TestReplayLoss(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		all := exportOf(t, w.gateway).State.Refs()
		w.followed(w.remove(all[3:]...))
		p, err := w.restore.Plan(t.Context())
		if err != nil || p.Revision == 1 {
			t.Fatalf("plan %+v, %v", p, err)
		}
		w.wantFinding(p.Findings, "log", "was it written after the loss?")
		w.followed(w.remove(all[:3]...))
		p, err = w.restore.Plan(t.Context())
		if err != nil || len(p.Steps) != 3 {
			t.Fatalf("plan %+v, %v", p, err)
		}
		w.wantFinding(p.Findings, "log", "to a gateway that holds nothing")
	})
}

// TestRevokedBehindLoss: what was revoked in a segment behind a lost one, and before a point that cannot be loaded, stays so.
func TestRevokedBehindLoss(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.followed(w.put("a"), func() { w.gateway.Put(newlyRevoked) })
		old := w.packs()
		w.followed() // begins with a point
		for _, pack := range w.packs() {
			if !slices.Contains(old, pack) {
				w.tamper(pack, w.memories...)
			}
		}
		lost := w.segments()[1] // a is put there
		for _, m := range w.memories {
			m.Set(lost, nil)
		}
		w.gateway.Wipe()
		if _, res := w.run(); res.Revision != 1 || w.has(setting("a")) || !w.has(newlyRevoked.Ref) {
			t.Errorf("result %+v", res)
		}
	})
}
