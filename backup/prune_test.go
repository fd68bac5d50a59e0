package backup_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
)

const day = 24 * time.Hour

// agingHouse is a house whose locations have a clock that stands still.
type agingHouse struct {
	*house
	now time.Time
}

func newAgingHouse(t testing.TB) *agingHouse {
	t.Helper()
	h := &agingHouse{house: newHouse(t, someEntities()...), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	for _, m := range h.memories {
		m.Clock = func() time.Time { return h.now }
	}
	return h
}

// takeAfter makes a point of a change after some time by the locations' clock; full: with packs of its own.
func (h *agingHouse) takeAfter(t testing.TB, passed time.Duration, full bool) string {
	t.Helper()
	h.now = h.now.Add(passed)
	h.source.Put(backuptest.Entity(gateway.Setting, "now", h.now.String()))
	if full {
		h.source.Compact()
	}
	r := h.take(t)
	if r.Full != full && r.Revision > 2 {
		t.Fatalf("full is %t: %+v", r.Full, r)
	}
	return "gwdr1/" + r.Lineage + "/" + r.Point + ".tar"
}

// oldHouse has points of each ten days: a full one, two of changes on its packs, and so again.
func oldHouse(t testing.TB) (h *agingHouse, points []string) {
	t.Helper()
	h = newAgingHouse(t)
	for i := range 6 {
		points = append(points, h.takeAfter(t, 10*day, i%3 == 0))
	}
	return h, points
}

func (h *house) prune(t testing.TB, o backup.PruneOptions) *backup.Pruning {
	t.Helper()
	p, err := backup.Prune(t.Context(), h.job.Copies, h.job.Keys.Trusted, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// pruneAll prunes, wants no error, and returns the points that stay at the first location.
func (h *house) pruneAll(t testing.TB, keep backup.Keep) []string {
	t.Helper()
	p := h.prune(t, backup.PruneOptions{Keep: keep, Remove: true})
	for _, l := range p.Locations {
		if l.Err != nil {
			t.Errorf("%s: %v", l.Name, l.Err)
		}
	}
	return keptPoints(p.Locations[0])
}

func keptPoints(l backup.LocationPruning) (names []string) {
	for _, k := range l.Kept {
		names = append(names, k.Point)
	}
	return slices.Sorted(slices.Values(names))
}

// wantAlone wants each location to give back each point that it lists by itself, and returns how many points that were.
func (h *house) wantAlone(t testing.TB, copies ...backup.Copy) (n int) {
	t.Helper()
	for _, c := range copies {
		alone := []backup.Copy{c}
		found, problems := backup.Find(t.Context(), alone, h.job.Keys.Trusted)
		for _, p := range problems {
			t.Errorf("problem at %s: %s: %v", p.Copy, p.Object, p.Err)
		}
		for _, f := range found {
			if _, _, err := backup.Load(t.Context(), f, alone, h.job.Keys.Identities); err != nil {
				t.Errorf("%s alone: %v", c.Name, err)
			}
		}
		n += len(found)
	}
	return n
}

// names returns the names of the location's objects that hold the text.
func names(m *backuptest.Memory, text string) (found []string) {
	for name := range m.Objects() {
		if strings.Contains(name, text) {
			found = append(found, name)
		}
	}
	return slices.Sorted(slices.Values(found))
}

func TestPruneLeavesWhatIsNeeded(t *testing.T) {
	h, points := oldHouse(t)
	root := strings.Split(points[0], "points/")[0]
	foreign := []string{"stranger", "gwdr1/notes.txt", root + "notes.txt", root + "packs/notes", root + "log/notes", root + "attest/notes"}
	for _, m := range h.memories {
		for _, name := range foreign {
			m.Set(name, []byte("not ours"))
		}
	}
	before := h.memories[0].Objects()
	h.verifyWith(t, backup.VerifyOptions{Attest: true})
	h.now = h.now.Add(10 * day)
	last := h.takeAfter(t, 0, true)
	kept := h.pruneAll(t, backup.Keep{Within: 20 * day})
	if diff := cmp.Diff([]string{points[4], points[5], last}, kept); diff != "" {
		t.Fatal(diff)
	}
	for i, m := range h.memories {
		for _, name := range foreign {
			if string(m.Objects()[name]) != "not ours" {
				t.Errorf("%s is gone", name)
			}
		}
		if diff := cmp.Diff(kept, names(m, "/points/")); diff != "" {
			t.Error(diff)
		}
		if n := len(names(m, "/attest/2")); n != 1 {
			t.Errorf("%d attestations", n)
		}
		if n := len(names(m, "tar.zst.age")); n != 2 {
			t.Errorf("%s: %d packs, want that of the last point and that of the two before", h.job.Copies[i].Name, n)
		}
		if n := len(names(m, "/log/0")); n != 4 { // from the segment on where the packs of the second group stand
			t.Errorf("segments %v", names(m, "/log/0"))
		}
		for _, file := range []string{"README.txt", "restore.sh", "repo.tar"} {
			if string(m.Objects()[root+file]) != string(before[root+file]) {
				t.Errorf("%s has changed", file)
			}
		}
	}
	if n := h.wantAlone(t, h.job.Copies...); n != 9 {
		t.Errorf("%d points", n)
	}
	for _, m := range h.memories {
		for _, name := range foreign {
			m.Set(name, nil)
		}
	}
	if v := h.verifyWith(t, backup.VerifyOptions{All: true, Strict: true}); !v.Sound() || v.Points != 3 {
		t.Errorf("verification: %+v", v)
	}
	if r := h.take(t); !r.Complete() || r.Full { // the writer goes on as if nothing had been
		t.Errorf("next backup: %+v", r)
	}
}

// TestPruneOldLineage: of an older lineage the newest point is left: another gateway may go on with it.
func TestPruneOldLineage(t *testing.T) {
	h, points := oldHouse(t)
	root := strings.Split(points[0], "points/")[0]
	h.memories[0].Set(root+"notes.txt", []byte("not ours"))
	h.source.Wipe("store-2")
	last := h.takeAfter(t, 10*day, true)
	if kept := h.pruneAll(t, backup.Keep{Within: day}); len(kept) != 2 || !slices.Contains(kept, last) || !slices.Contains(kept, points[5]) {
		t.Errorf("kept %v, want %s and %s", kept, last, points[5])
	}
	if left := names(h.memories[0], root); len(left) != 9 || len(names(h.memories[0], root+"points/")) != 1 || len(names(h.memories[0], root+"notes.txt")) != 1 {
		t.Errorf("left of the old lineage: %v", left)
	}
	h.wantAlone(t, h.job.Copies...)
	h.wantNewest(t)
}

// TestPruneOnlySays: without Remove nothing is removed, and what is said is what then happens.
func TestPruneOnlySays(t *testing.T) {
	h, _ := oldHouse(t)
	options := backup.PruneOptions{Keep: backup.Keep{Monthly: 40 * day}}
	before := h.memories[0].Objects()
	said := h.prune(t, options)
	if diff := cmp.Diff(before, h.memories[0].Objects()); diff != "" {
		t.Fatal(diff)
	}
	options.Remove = true
	did := h.prune(t, options)
	if diff := cmp.Diff(said.Locations, did.Locations); diff != "" || said.Removed || !did.Removed {
		t.Error(diff)
	}
	for i, l := range did.Locations {
		after := h.memories[i].Objects()
		var bytes int64
		for name, content := range before {
			if _, ok := after[name]; !ok {
				bytes += int64(len(content))
			}
		}
		gone := slices.DeleteFunc(slices.Clone(l.Points), func(p string) bool { _, ok := after[p]; return ok })
		if len(l.Points) == 0 || len(gone) != len(l.Points) || l.Objects != len(before)-len(after) || l.Bytes != bytes {
			t.Errorf("%+v; %d objects of %d bytes are gone", l, len(before)-len(after), bytes)
		}
	}
	if again := h.prune(t, options).Locations[0]; again.Objects != 0 || len(again.Points) != 0 {
		t.Errorf("a second time: %+v", again)
	}
}

// TestPruneNever: the newest point and the newest verified one stay beyond every rule, whatever the points and the store say
// of the time.
func TestPruneNever(t *testing.T) {
	for name, c := range map[string]struct {
		verified []int
		restored int // a point that was put back today, by the store's clock; -1: none
		want     []int
	}{
		"nothing verified":                  {nil, -1, []int{5}},
		"the first":                         {[]int{0}, -1, []int{0, 5}},
		"several":                           {[]int{0, 2, 3}, -1, []int{3, 5}},
		"the newest":                        {[]int{0, 5}, -1, []int{5}},
		"the newest is not new":             {[]int{1}, 2, []int{1, 2, 5}},
		"an older verified one is put back": {[]int{1, 3}, 1, []int{1, 3, 5}},
	} {
		t.Run(name, func(t *testing.T) {
			h, points := oldHouse(t)
			h.now = h.now.Add(20 * day)
			if c.restored >= 0 {
				h.memories[0].Set(points[c.restored], h.memories[0].Objects()[points[c.restored]])
			}
			p := h.prune(t, backup.PruneOptions{Keep: backup.Keep{Within: time.Hour}, Remove: true, Verified: func(copyName string, f backup.Found) bool {
				return copyName == "local" && slices.ContainsFunc(c.verified, func(i int) bool { return points[i] == f.Object() })
			}})
			var want []string
			for _, i := range c.want {
				want = append(want, points[i])
			}
			if diff := cmp.Diff(want, keptPoints(p.Locations[0])); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(points[5:], keptPoints(p.Locations[1])); diff != "" { // it was verified elsewhere
				t.Error(diff)
			}
			h.wantAlone(t, h.job.Copies...)
		})
	}
	h, _ := oldHouse(t)
	if _, err := backup.Prune(t.Context(), h.job.Copies, h.job.Keys.Trusted, backup.PruneOptions{Remove: true}); !errors.Is(err, backup.ErrNoRule) {
		t.Errorf("without a rule: %v", err)
	}
}

// TestPruneByTheStoresClock: what points say of their time does not count.
func TestPruneByTheStoresClock(t *testing.T) {
	for name, says := range map[string]func(i int) time.Duration{
		"all the same time": func(int) time.Duration { return 0 },
		"backwards":         func(i int) time.Duration { return time.Duration(-i) * 100 * day },
		"far ahead":         func(i int) time.Duration { return time.Duration(i*i) * 365 * day },
		"one is ahead":      func(i int) time.Duration { return map[int]time.Duration{2: 9999 * day}[i] },
	} {
		t.Run(name, func(t *testing.T) {
			h := newAgingHouse(t)
			var points []string
			for i := range 4 {
				h.source.Clock = func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(says(i)) }
				h.now = h.now.Add(10 * day)
				h.source.Put(backuptest.Entity(gateway.Setting, "n", fmt.Sprint(i)))
				r := h.take(t)
				points = append(points, "gwdr1/"+r.Lineage+"/"+r.Point+".tar")
			}
			kept := h.pruneAll(t, backup.Keep{Daily: 15 * day})
			if diff := cmp.Diff(slices.Sorted(slices.Values(points[2:])), kept); diff != "" {
				t.Error(diff)
			}
			h.wantAlone(t, h.job.Copies...)
		})
	}
}
