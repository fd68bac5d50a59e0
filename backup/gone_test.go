package backup_test

import (
	"strings"
	"testing"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
)

// takeAway removes the objects whose names hold the text from the locations.
func takeAway(t *testing.T, text string, memories ...*backuptest.Memory) {
	t.Helper()
	n := 0
	for _, m := range memories {
		for name := range m.Objects() {
			if strings.Contains(name, text) {
				m.Set(name, nil)
				n++
			}
		}
	}
	if n == 0 {
		t.Fatalf("nothing is called %q", text)
	}
}

// wantEach wants each location to give the newest point back by itself.
func (h *house) wantEach(t *testing.T) {
	t.Helper()
	newest := h.find(t)[0]
	for _, c := range h.job.Copies {
		if _, _, err := backup.Load(t.Context(), newest, []backup.Copy{c}, h.job.Keys.Identities); err != nil {
			t.Errorf("%s alone: %v", c.Name, err)
		}
	}
}

// TestTakenAway: what somebody took away from a location, the next backup puts back as far as the new point needs it, and it
// says so if that was the newest point.
func TestTakenAway(t *testing.T) {
	for name, c := range map[string]struct {
		what  string
		gone  bool
		where int // how many locations
		full  bool
	}{
		"a location was emptied":         {"gwdr1/", true, 1, false},
		"all locations were emptied":     {"gwdr1/", true, 3, true},
		"packs":                          {"/packs/", false, 1, false},
		"packs at all":                   {"/packs/", false, 3, true},
		"the log":                        {"/log/", false, 1, false},
		"one segment of the log":         {"/log/0000000000000002", false, 1, false},
		"the newest point":               {"/points/", true, 2, false},
		"what a lineage has once at all": {".sh", false, 3, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, someEntities()...)
			for i := range 3 {
				h.source.Put(backuptest.Entity(gateway.Setting, "n", strings.Repeat("x", i)))
				h.take(t)
			}
			takeAway(t, c.what, h.memories[:c.where]...)
			h.source.Put(backuptest.Entity(gateway.Setting, "n", "last"))
			r := h.take(t)
			if r.Stored() != 3 || r.Full != c.full || r.Complete() == c.gone {
				t.Errorf("result %+v", r)
			}
			for i, l := range r.Locations {
				if (len(l.Gone) > 0) != (c.gone && i < c.where) {
					t.Errorf("%s: gone %v", l.Name, l.Gone)
				}
			}
			h.wantEach(t)
			for _, m := range h.memories {
				for _, file := range []string{"README.txt", "restore.sh", "repo.tar"} {
					if _, ok := m.Objects()["gwdr1/"+r.Lineage+"/"+file]; !ok {
						t.Errorf("%s is missing", file)
					}
				}
			}
			if r := h.take(t); !r.Complete() || h.pending(t) > 0 {
				t.Errorf("after that: %+v, %d pending", r, h.pending(t))
			}
		})
	}
}

// TestStrangersSpool: who shares a spool with a configuration that has other keys does not continue its log.
func TestStrangersSpool(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.take(t)
	mine, theirs := h.job.Keys, backuptest.NewKeys(t)
	h.job.Keys = theirs
	h.job.Keys.Recipients, h.job.Keys.RecipientIDs, h.job.Keys.Identities = mine.Recipients, mine.RecipientIDs, mine.Identities
	h.source.Put(backuptest.Entity(gateway.Setting, "n", "1"))
	r := h.take(t)
	if !r.Full || r.Parent == "" || !r.Complete() {
		t.Errorf("result %+v", r)
	}
	found, _ := backup.Find(t.Context(), h.job.Copies, h.job.Keys.Trusted)
	if len(found) != 1 || found[0].Lineage != r.Lineage {
		t.Errorf("found %v", found)
	}
}

// TestLostWhileAway: a point that waits for a location, and that nobody can complete any more, does not wait for ever.
func TestLostWhileAway(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.take(t)
	h.memories[2].Break(backuptest.Dead)
	h.source.Put(backuptest.Entity(gateway.Setting, "n", "1"))
	h.take(t)
	h.memories[2].Break(nil)
	takeAway(t, "/packs/", h.memories...)
	h.source.Put(backuptest.Entity(gateway.Setting, "n", "2"))
	for range 2 {
		h.take(t)
	}
	if r := h.take(t); !r.Complete() || h.pending(t) > 0 {
		t.Errorf("result %+v, %d pending", r, h.pending(t))
	}
	h.wantEach(t)
}
