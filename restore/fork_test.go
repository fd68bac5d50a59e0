package restore

import (
	"testing"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
)

// fork lets two writers with spools of their own continue one lineage: one at the first two locations, which makes fewer
// points, and one at the last, which reaches no other and goes on for longer. They see different gateways.
func (w *world) fork() (most *gateway.State, revoked gateway.Ref) {
	w.t.Helper()
	w.backup()
	rogue := backup.Job{Source: w.gateway, Gateway: "test", Copies: w.copies, Keys: w.keys, Spool: w.t.TempDir(), Tool: "test"}
	beside := func(away []*backuptest.Memory, act func()) {
		for _, m := range away {
			m.Break(backuptest.Dead)
		}
		act()
		for _, m := range away {
			m.Break(nil)
		}
	}
	w.put("ours")()
	beside(w.memories[2:], func() { w.backup() })
	most = exportOf(w.t, w.gateway).State
	e := backuptest.Entity(gateway.Revocation, "0123456789abcdef", `{"at":"2026-02-03T04:05:06Z"}`)
	for _, id := range []string{"theirs", "theirs too", "and this"} {
		w.put(id)()
		w.gateway.Put(e)
		beside(w.memories[:2], func() {
			if _, err := backup.Take(w.t.Context(), rogue); err != nil {
				w.t.Fatal(err)
			}
		})
	}
	return most, e.Ref
}

// TestFork: where two writers continued a lineage, that counts which most locations have, not which is longer; but what the
// other one knows to be revoked stays revoked.
func TestFork(t *testing.T) {
	w := newWorld(t, gatewaytest.Sample()...)
	want, revoked := w.fork()
	w.gateway.Wipe()
	p, res := w.run()
	if !w.has(setting("ours")) || w.has(setting("theirs")) || !w.has(revoked) || res.Revision != 2 {
		t.Errorf("restored %v: %+v", exportOf(t, w.gateway).State.Refs(), res)
	}
	got := exportOf(t, w.gateway).State
	if got.Delete(revoked); got.Digest() != want.Digest() {
		t.Errorf("restored %v", got.Refs())
	}
	w.wantFinding(p.Findings, "2", "two writers continued lineage")
}

// TestForkLeft: where only the other writer's location is left, what it has is all there is.
func TestForkLeft(t *testing.T) {
	w := newWorld(t, gatewaytest.Sample()...)
	w.fork()
	for _, m := range w.memories[:2] {
		m.Break(backuptest.Dead)
	}
	w.gateway.Wipe()
	if _, res := w.run(); !w.has(setting("and this")) || res.Revision != 8 {
		t.Errorf("restored %v: %+v", exportOf(t, w.gateway).State.Refs(), res)
	}
}
