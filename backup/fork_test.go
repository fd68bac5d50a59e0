package backup_test

import (
	"testing"

	"gwdr/backup"
)

// TestAdoptFork: whoever has lost the spool goes on with the log that most locations have, not with the longer one.
func TestAdoptFork(t *testing.T) {
	h := newHouse(t, someEntities()...)
	ours := h.fork(t)
	h.job.Spool = t.TempDir()
	r := h.take(t)
	if !r.Committed || r.Lineage != ours.Lineage {
		t.Fatalf("backup: %+v", r)
	}
	if stray, against := backup.NewForks(h.job.Copies, h.job.Keys.Trusted).Stray(t.Context(), h.point(t, r.Point)); stray || len(against) != 1 {
		t.Errorf("the point strays, against %v: %v", against, stray)
	}
	if p := h.point(t, r.Point); p.Log.Seq != 3 {
		t.Errorf("the point stands at %+v", p.Log)
	}
}

// point returns the point of the name.
func (h *house) point(t *testing.T, name string) backup.Found {
	t.Helper()
	found, _ := backup.Find(t.Context(), h.job.Copies, h.job.Keys.Trusted)
	for _, f := range found {
		if f.Name == name {
			return f
		}
	}
	t.Fatalf("no point is named %s", name)
	return backup.Found{}
}
