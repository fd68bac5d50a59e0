package restore

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway/gatewaytest"
)

// lose takes all objects away from all locations whose names hold the text.
func (w *world) lose(text string) {
	w.t.Helper()
	for _, m := range w.memories {
		for name := range m.Objects() {
			if strings.Contains(name, text) {
				m.Set(name, nil)
			}
		}
	}
}

// followedAnew restores what there is, which begins a lineage, makes the changes in its log, and returns the lineage.
func (w *world) followedAnew(changes ...func()) (lineage string) {
	w.t.Helper()
	old := w.lineages()
	w.run()
	w.followed(changes...)
	fresh := slices.DeleteFunc(w.lineages(), func(l string) bool { return slices.Contains(old, l) })
	if len(fresh) != 1 {
		w.t.Fatalf("lineages %v, then %v more", old, fresh)
	}
	return fresh[0]
}

func (w *world) lineages() []string {
	seen := map[string]bool{}
	for name := range w.memories[0].Objects() {
		seen[strings.Split(name, "/")[1]] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

func (w *world) revoke() { w.gateway.Put(newlyRevoked) }

// TestRevokedInLogAlone: what was revoked in the log of a lineage of which no point is left stays so, also behind segments
// that are lost.
func TestRevokedInLogAlone(t *testing.T) {
	for name, gone := range map[string]string{"whole log": "", "beginning lost": "/log/0000000000000001", "middle lost": "/log/0000000000000003"} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				w.followed(w.put("a"))
				w.gateway.Wipe()
				child := w.followedAnew(w.put("b"), w.put("c"), w.revoke)
				w.lose(child + "/points/")
				if gone != "" {
					w.lose(child + gone)
				}
				w.gateway.Wipe()
				p, res := w.run()
				if w.has(setting("b")) || !w.has(setting("a")) || !w.has(newlyRevoked.Ref) {
					t.Errorf("restored %v: %+v", exportOf(t, w.gateway).State.Refs(), res)
				}
				w.wantFinding(p.Findings, "log", "of lineage "+child[:8])
			})
		})
	}
}

// TestRevokedInLogElsewhere: the log may lie at a location that is not restored from.
func TestRevokedInLogElsewhere(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.followed(w.put("a"))
		w.gateway.Wipe()
		child := w.followedAnew(w.revoke)
		w.lose(child + "/points/")
		for _, m := range w.memories[:2] {
			for name := range m.Objects() {
				if strings.Contains(name, child) {
					m.Set(name, nil)
				}
			}
		}
		w.restore.Copies, w.restore.Elsewhere = w.copies[:2], w.copies[2:]
		w.gateway.Wipe()
		if _, res := w.run(); !w.has(newlyRevoked.Ref) {
			t.Errorf("restored %v: %+v", exportOf(t, w.gateway).State.Refs(), res)
		}
	})
}

// TestRevokedInLogOfFork: where two writers went on in such a log, either may have revoked something.
func TestRevokedInLogOfFork(t *testing.T) {
	w := newWorld(t, gatewaytest.Sample()...)
	w.backup()
	w.gateway.Wipe()
	w.run()
	source := gatewaytest.Tracked{Gateway: w.gateway}
	take := func(spool string, away ...*backuptest.Memory) (lineage string) {
		for _, m := range away {
			m.Break(backuptest.Dead)
			defer m.Break(nil)
		}
		res, err := backup.Take(t.Context(), backup.Job{Source: source, Gateway: "test", Copies: w.copies, Keys: w.keys, Spool: spool, Tool: "test"})
		if err != nil {
			t.Fatal(err)
		}
		return res.Lineage
	}
	ours, theirs := t.TempDir(), t.TempDir()
	child := take(ours)
	w.put("ours")()
	take(ours, w.memories[2])
	w.revoke()
	if take(theirs, w.memories[:2]...) != child {
		t.Fatal("the other writer began a lineage")
	}
	w.lose(child + "/points/")
	w.gateway.Wipe()
	if _, res := w.run(); !w.has(newlyRevoked.Ref) || w.has(setting("ours")) {
		t.Errorf("restored %v: %+v", exportOf(t, w.gateway).State.Refs(), res)
	}
}

// TestRevokedBeforeDamagedPointElsewhere: where the log of a location that is not restored from goes on, what was revoked there
// before its damaged points stays so.
func TestRevokedBeforeDamagedPointElsewhere(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.followed(w.put("a"))
		known := w.memories[0].Objects()
		w.followed(w.revoke)
		w.backup()
		for i, m := range w.memories {
			for name := range m.Objects() {
				if fresh := known[name] == nil; fresh && (i < 2 || strings.Contains(name, "/packs/")) {
					m.Set(name, nil)
				}
			}
		}
		w.restore.Copies, w.restore.Elsewhere = w.copies[:2], w.copies[2:]
		w.gateway.Wipe()
		if _, res := w.run(); !w.has(newlyRevoked.Ref) {
			t.Errorf("restored %v: %+v", exportOf(t, w.gateway).State.Refs(), res)
		}
	})
}

// TestRevokedBehindSealedLog: what was revoked behind segments that no identity at hand opens stays so.
func TestRevokedBehindSealedLog(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.followed(w.put("a"))
		w.gateway.Wipe()
		ours, theirs := w.keys, backuptest.NewKeys(t)
		w.keys.Recipients, w.keys.RecipientIDs = theirs.Recipients, theirs.RecipientIDs
		child := w.followedAnew(w.put("b"))
		w.keys = ours
		w.followed(w.revoke)
		w.lose(child + "/points/")
		w.gateway.Wipe()
		p, res := w.run()
		if !w.has(newlyRevoked.Ref) {
			t.Errorf("restored %v: %+v", exportOf(t, w.gateway).State.Refs(), res)
		}
		w.wantFinding(p.Findings, "log", "of which no point is left, does not tell all its revocations")
	})
}
