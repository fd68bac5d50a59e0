package restore

import (
	"testing"

	"gwdr/backup"
	"gwdr/gateway/gatewaytest"
)

// TestUndo: a point of what a restore overwrote is restored when it is named, and never taken for the newest state.
func TestUndo(t *testing.T) {
	w := newWorld(t, gatewaytest.Sample()...)
	w.backup()
	want := exportOf(t, w.gateway).State
	w.put("a mistake")()
	mistaken := exportOf(t, w.gateway).State
	undo, err := backup.Take(t.Context(), backup.Job{Source: w.gateway, Gateway: "test", Copies: w.copies, Keys: w.keys, Spool: t.TempDir(), Undo: true})
	if err != nil || undo.Stored() != 3 {
		t.Fatalf("%+v, %v", undo, err)
	}
	if _, res := w.run(); res.Actual != want.Digest() {
		t.Errorf("the newest state: %+v", res)
	}
	w.restore.At = At{Point: undo.Point}
	if _, res := w.run(); res.Actual != mistaken.Digest() {
		t.Errorf("the state before the restore: %+v", res)
	}
	w.restore.At = At{}
	if _, res := w.run(); res.Actual != want.Digest() {
		t.Errorf("the newest state again: %+v", res)
	}
	w.put("later")()
	if r := w.backup(); r.Parent != "" || r.Lineage == undo.Lineage {
		t.Errorf("the next backup does not go on as ever: %+v", r)
	}
}
