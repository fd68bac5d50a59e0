package backup_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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

// TestPruneFork: another writer's newer points take no place of ours where they lie.
func TestPruneFork(t *testing.T) {
	h := newAgingHouse(t)
	var clock sync.Mutex // all locations are written at the same time
	for i, m := range h.memories {
		m.Clock = func() time.Time {
			clock.Lock()
			defer clock.Unlock()
			if i == 2 {
				h.now = h.now.Add(day)
			}
			return h.now
		}
	}
	ours := h.point(t, h.fork(t).Point)
	p := h.prune(t, backup.PruneOptions{Keep: backup.Keep{Within: day / 2}, Remove: true})
	for _, l := range p.Locations[:2] {
		if kept := keptPoints(l); !slices.Contains(kept, ours.Object()) {
			t.Errorf("%s keeps %v", l.Name, kept)
		}
	}
	var strays, common int
	for _, f := range h.find(t) {
		switch {
		case slices.Contains(f.Copies, "offsite") && f.Log.Seq < ours.Log.Seq: // before they parted
			common++
		case slices.Contains(f.Copies, "offsite"):
			strays++
		}
	}
	if strays != 1 || common != 1 {
		t.Errorf("offsite keeps %d points of the other writer and %d of ours: %v", strays, common, keptPoints(p.Locations[2]))
	}
}

// TestStatusFork: another writer's newer points are a problem of where they lie, and not the newest state, and nobody lacks them.
func TestStatusFork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, someEntities()...)
		ours := h.fork(t)
		time.Sleep(time.Hour)
		rogue := h.job
		rogue.Spool = t.TempDir()
		rogue.Copies = h.job.Copies[2:]
		if _, err := backup.Take(t.Context(), rogue); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		s := backup.CheckStatus(t.Context(), h.job.Copies, h.job.Keys, h.job.Policy, backup.StatusOptions{})
		if s.Newest == nil || s.Newest.Point != ours.Point || *s.Exposure < 7200 {
			t.Errorf("newest: %+v", s.Newest)
		}
		if l := s.Locations[2]; l.Restorable != nil || l.Age != nil || len(l.Problems) != 1 || !strings.Contains(l.Problems[0].Text, "two writers") {
			t.Errorf("offsite: %+v", l)
		}
		for _, l := range s.Locations[:2] {
			if len(l.Problems) > 0 || l.Restorable == nil {
				t.Errorf("%s: %+v", l.Name, l)
			}
		}
	})
}
