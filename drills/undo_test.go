package drills

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"gwdr/fleet"
)

// TestUndoRecordFails shows that nothing is injected, and nothing left behind, when the undo record cannot be kept safe.
func TestUndoRecordFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.world.undoData = "{" // which no JSON can hold
		r, err := l.run(t, t.Context())
		if err != nil || r.Verdict != Errored || !strings.Contains(r.Reason, "write undo record power-cut") {
			t.Fatalf("%s: %s, %v", r.Verdict, r.Reason, err)
		}
		if !r.Clean || len(r.Faults) > 0 || !l.guard.released || len(l.world.calls) > 0 {
			t.Errorf("clean %v, faults %v, released %v, calls %v", r.Clean, r.Faults, l.guard.released, l.world.calls)
		}
	})
}

// TestDamagedUndoLog loses a record in the middle of a killed run's undo log: the others are reverted all the same.
func TestDamagedUndoLog(t *testing.T) {
	evidence, w := t.TempDir(), newWorld()
	dir := filepath.Join(evidence, "20261121T024601Z-region-loss-a1b2")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	log, err := createUndoLog(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"first", "second", "third"} {
		u := fleet.Undo{Driver: "world", Fault: fleet.Fault{ID: id, Kind: fleet.Kill}, Data: []byte(`{}`)}
		w.faults[id] = u
		if err := log.append(u); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(filepath.Join(dir, UndoFile))
	if err != nil {
		t.Fatal(err)
	}
	content = bytes.Replace(content, []byte(`{"driver":"world","fault":{"id":"second"`), []byte(`{"driver`), 1)
	if err := os.WriteFile(filepath.Join(dir, UndoFile), content, 0o600); err != nil {
		t.Fatal(err)
	}
	left, err := Orphans(evidence)
	if err != nil || len(left) != 1 || !strings.Contains(left[0].String(), "undo.jsonl: damaged in line 2") {
		t.Fatalf("orphans %v, %v", left, err)
	}
	reverter := &Reverter{Log: slog.New(slog.DiscardHandler), Open: func(context.Context, fleet.Undo) (fleet.Fleet, error) { return w, nil }}
	r, err := reverter.Revert(t.Context(), dir)
	if damage := (*DamageError)(nil); !errors.As(err, &damage) || r.Clean || !slices.Equal(r.Reverted, []string{"third", "first"}) {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestNothingFollowsATornRecord: half a line and the record after it would be one line that nobody can read, of a fault that is
// in effect.
func TestNothingFollowsATornRecord(t *testing.T) {
	log, err := createUndoLog(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer log.close()
	reader, broken, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer broken.Close()
	reader.Close()
	u := fleet.Undo{Driver: "world", Fault: fleet.Fault{ID: "first", Kind: fleet.Kill}, Data: []byte(`{}`)}
	good := log.file
	log.file = broken
	if err := log.append(u); err == nil {
		t.Fatal("a record that cannot be written was kept")
	}
	log.file, u.Fault.ID = good, "second"
	if err := log.append(u); err == nil || !strings.Contains(err.Error(), "the record before it was not kept") {
		t.Errorf("a record after a torn one: %v", err)
	}
}
