package backup_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
)

// wantNewest makes sure that the newest point is what the source holds, and returns it.
func (h *house) wantNewest(t *testing.T) backup.Found {
	t.Helper()
	export, err := h.source.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f := h.find(t)[0]
	if changes := gateway.Diff(export.State, h.load(t, f)); len(changes) > 0 || f.Revision != export.Revision {
		t.Errorf("newest point shows revision %d, want %d; it differs in %v", f.Revision, export.Revision, changes)
	}
	return f
}

// objects counts the objects at the first location by the folder that they are in.
func (h *house) objects() map[string]int {
	counts := map[string]int{}
	for name := range h.memories[0].Objects() {
		counts[strings.Split(name, "/")[2]]++
	}
	return counts
}

// TestChangesOnly: what has not changed is neither read nor sent again.
func TestChangesOnly(t *testing.T) {
	h := newHouse(t, someEntities()...)
	first := h.take(t)
	h.source.Put(backuptest.Entity(gateway.Route, "a", `{"path":"/new"}`), backuptest.Entity(gateway.Cert, "binary", "\xff\x00\xfe"))
	h.source.Put(backuptest.Entity(gateway.Route, "ä ö", "<&>\u2028\x00"))
	h.source.Delete(gateway.Ref{Kind: gateway.Route, ID: "../../etc/passwd"}, gateway.Ref{Kind: gateway.Setting, ID: "empty"})
	second := h.take(t)
	if !first.Full || second.Full || second.Changes != 5 || second.Bytes > 5000 || !second.Complete() || !second.Committed {
		t.Errorf("second backup: %+v", second)
	}
	f := h.wantNewest(t)
	if f.Base.Seq != 1 || f.Log.Seq != 2 {
		t.Errorf("point stands at %+v on %+v", f.Log, f.Base)
	}
	third := h.take(t)
	if third.Full || third.Changes != 0 {
		t.Errorf("third backup: %+v", third)
	}
	if f := h.wantNewest(t); f.Log.Seq != 3 || f.Base.Seq != 1 {
		t.Errorf("point stands at %+v on %+v", f.Log, f.Base)
	}
	if counts := h.objects(); counts["packs"] != 1 || counts["log"] != 3 || counts["points"] != 3 {
		t.Errorf("objects: %v", counts)
	}
	if n := h.source.Exports(); n != 3 { // of the first backup, and of this test
		t.Errorf("everything was read %d times", n-2)
	}
	if v := verify(t, h, true); !v.Sound() || v.Decrypted != 3 {
		t.Errorf("verification: %+v", v)
	}
	for _, m := range h.memories[1:] {
		if !maps.EqualFunc(h.memories[0].Objects(), m.Objects(), slices.Equal) {
			t.Error("locations differ")
		}
	}
}

// TestFullWhenDue: everything is read again where changes would not do.
func TestFullWhenDue(t *testing.T) {
	for name, spoil := range map[string]func(*testing.T, *house){
		"recipients": func(t *testing.T, h *house) {
			keys := backuptest.NewKeys(t)
			h.job.Keys.Recipients, h.job.Keys.RecipientIDs, h.job.Keys.Identities = keys.Recipients, keys.RecipientIDs, keys.Identities
		},
		"compacted": func(_ *testing.T, h *house) { h.source.Compact() },
		"asked for": func(_ *testing.T, h *house) { h.job.Full = true },
		"no listing": func(t *testing.T, h *house) {
			for _, file := range h.spooled(t, "lineages/*/listing-*") {
				os.Remove(file)
			}
		},
		"bad listing": func(t *testing.T, h *house) {
			for _, file := range h.spooled(t, "lineages/*/listing-*") {
				os.WriteFile(file, []byte("route\x00a\x00"+strings.Repeat("0", 64)+"\n"), 0o600)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t, someEntities()...)
			h.take(t)
			h.source.Put(backuptest.Entity(gateway.Route, "a", "{}"))
			spoil(t, h)
			if r := h.take(t); !r.Full || !r.Complete() {
				t.Errorf("second backup: %+v", r)
			}
			if f := h.wantNewest(t); f.Base.Seq != f.Log.Seq {
				t.Errorf("point stands at %+v on %+v", f.Log, f.Base)
			}
			h.job.Full = false
			h.source.Put(backuptest.Entity(gateway.Route, "b", "{}"))
			if r := h.take(t); r.Full {
				t.Error("third backup is full again")
			}
			h.wantNewest(t)
		})
	}
}

func (h *house) spooled(t testing.TB, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(h.job.Spool, filepath.FromSlash(pattern)))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %v", pattern, files, err)
	}
	return files
}

// TestFullOnceADay: and when the clock went back behind the last one.
func TestFullOnceADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, someEntities()...)
		for i, full := range []bool{true, false, true, false} {
			if r := h.take(t); r.Full != full {
				t.Errorf("backup %d: full is %v", i, r.Full)
			}
			time.Sleep(12*time.Hour + time.Second)
		}
		h.wantNewest(t)
	})
}

// TestFullWhenLogIsLong: replaying must not become longer than reading.
func TestFullWhenLogIsLong(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.take(t)
	random := rand.NewChaCha8([32]byte{})
	for i := range 4 {
		body := make([]byte, 2<<20)
		random.Read(body)
		h.source.Put(backuptest.Entity(gateway.Spec, fmt.Sprint(i), string(body)))
		r := h.take(t)
		if full := i == 2; r.Full != full { // 4 MiB of log do in any case; the third begins with more
			t.Errorf("backup %d: full is %v", i, r.Full)
		}
	}
	h.wantNewest(t)
}

// TestPacksAreReused: a full backup sends only the packs in which something has changed.
func TestPacksAreReused(t *testing.T) {
	h := newHouse(t)
	random := rand.NewChaCha8([32]byte{})
	for i := range 1000 {
		body := make([]byte, 50<<10)
		random.Read(body)
		h.source.Put(backuptest.Entity(gateway.Spec, fmt.Sprintf("%04d", i), string(body)))
	}
	first := h.take(t)
	h.source.Put(backuptest.Entity(gateway.Spec, "0500", "changed"))
	h.source.Compact()
	second := h.take(t)
	packs := len(h.wantNewest(t).Packs)
	if packs < 6 || !second.Full || second.Bytes > first.Bytes/2 || second.Bytes == 0 {
		t.Errorf("%d packs; of %d bytes %d were sent again", packs, first.Bytes, second.Bytes)
	}
	if counts := h.objects(); counts["packs"] != packs+1 {
		t.Errorf("%d packs for two points of %d", counts["packs"], packs)
	}
}

// TestSplitBrain: two writers with spools of their own never continue one log together.
func TestSplitBrain(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.take(t)
	mine := h.job.Spool
	h.job.Spool = t.TempDir()
	h.take(t) // adopts the lineage
	h.source.Put(backuptest.Entity(gateway.Route, "a", "{}"))
	before := h.memories[0].Objects()
	h.job.Spool = mine
	for range 2 { // it stays that way
		result, err := backup.Take(t.Context(), h.job)
		if !errors.Is(err, backup.ErrSplitBrain) || result.Stored() != 0 || result.Committed {
			t.Fatalf("Take = %+v, %v; want ErrSplitBrain", result, err)
		}
	}
	if !maps.EqualFunc(before, h.memories[0].Objects(), slices.Equal) {
		t.Error("the writer that has to stop wrote something")
	}
	if err := backup.NewLineage(h.job.Spool, h.job.Gateway, time.Now()); err != nil {
		t.Fatal(err)
	}
	result := h.take(t)
	if old := h.find(t)[1]; result.Parent != old.Lineage+"@2" || !result.Full || !result.Complete() {
		t.Errorf("after a new lineage: %+v", result)
	}
	h.wantNewest(t)
}

// TestForkAtOneLocation: who is at most of the locations goes on; the one with the foreign segment is told of.
func TestForkAtOneLocation(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.take(t)
	mine := h.job.Spool
	h.memories[0].Break(backuptest.Dead)
	h.memories[1].Break(backuptest.Dead)
	h.job.Spool = t.TempDir()
	if r := h.take(t); r.Stored() != 1 || r.Committed {
		t.Errorf("a backup at one of three locations: %+v", r)
	}
	h.memories[0].Break(nil)
	h.memories[1].Break(nil)
	h.job.Spool = mine
	r := h.take(t)
	if !r.Committed || r.Stored() != 2 || !errors.Is(r.Locations[2].Err, backup.ErrSplitBrain) || r.Complete() {
		t.Errorf("a backup beside a fork: %+v", r)
	}
	h.wantNewest(t)
}

// TestSpoolLostBesideFork: a writer on a new machine goes on with what most of the locations have, not with the longer log that
// another writer left at one of them.
func TestSpoolLostBesideFork(t *testing.T) {
	h := newHouse(t, someEntities()...)
	first := h.take(t)
	dead := h.job
	dead.Spool, dead.Copies = t.TempDir(), h.job.Copies[2:]
	for i := range 3 {
		h.source.Put(backuptest.Entity(gateway.Route, "theirs", fmt.Sprint(i)))
		if _, err := backup.Take(t.Context(), dead); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 2 {
		h.source.Put(backuptest.Entity(gateway.Route, "ours", fmt.Sprint(i)))
		if r := h.take(t); !r.Committed || r.Stored() != 2 {
			t.Fatalf("a backup beside a fork: %+v", r)
		}
	}
	h.job.Spool = t.TempDir()
	h.source.Put(backuptest.Entity(gateway.Route, "ours", "2"))
	r := h.take(t)
	if r.Lineage != first.Lineage || !r.Committed || r.Stored() != 2 || !errors.Is(r.Locations[2].Err, backup.ErrSplitBrain) {
		t.Errorf("the first backup of a new spool: %+v", r)
	}
	found := h.find(t)
	ours := found[slices.IndexFunc(found, func(f backup.Found) bool { return f.Name == r.Point })]
	if stray, against := backup.NewForks(h.job.Copies, h.job.Keys.Trusted).Stray(t.Context(), ours); stray || !slices.Equal(against, []string{"offsite"}) {
		t.Errorf("its point: stray %v, against it %v", stray, against)
	}
}

// TestNewLocation: a location that comes later gets what the newest point needs, as the others have it.
func TestNewLocation(t *testing.T) {
	h := newHouse(t, someEntities()...)
	all := h.job.Copies
	h.job.Copies = all[:2]
	h.take(t)
	h.source.Put(backuptest.Entity(gateway.Route, "a", "{}"))
	h.take(t)
	h.job.Copies = all
	if r := h.take(t); !r.Complete() || r.Full {
		t.Errorf("backup: %+v", r)
	}
	f := h.wantNewest(t)
	if _, _, err := backup.Load(t.Context(), f, all[2:], h.job.Keys.Identities); err != nil {
		t.Errorf("the new location alone does not do: %v", err)
	}
	for name, content := range h.memories[2].Objects() {
		if !slices.Equal(content, h.memories[0].Objects()[name]) {
			t.Errorf("%s has bytes of its own", name)
		}
	}
}

// TestBacklogIsNotLoaded: what waits for a location that was away for long is not read into memory at once.
func TestBacklogIsNotLoaded(t *testing.T) {
	h := newHouse(t)
	h.memories[2].Break(backuptest.Dead)
	random := rand.NewChaCha8([32]byte{})
	const backups, each = 20, 4 << 20
	for range backups {
		body := make([]byte, each)
		random.Read(body)
		h.source.Put(backuptest.Entity(gateway.Spec, "a", string(body)))
		h.take(t)
	}
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what pools hold goes with the second
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before, held := heap(), int64(0)
	var once sync.Once
	h.memories[2].Break(func(_ context.Context, op, name string) error {
		if op == "put" && strings.Contains(name, "/log/") {
			once.Do(func() { held = heap() - before })
		}
		return nil
	})
	if r := h.take(t); !r.Complete() {
		t.Errorf("backup: %+v", r)
	}
	if held <= 0 || held > backups*each/2 {
		t.Errorf("%d bytes are held when %d wait", held, backups*each)
	}
	h.wantNewest(t)
}

// TestStoreWentBack: an older copy of the store in its place is not what the log counts.
func TestStoreWentBack(t *testing.T) {
	h := newHouse(t, someEntities()...)
	for i := range 3 {
		h.source.Put(backuptest.Entity(gateway.Route, "a", fmt.Sprint(i)))
	}
	first := h.take(t)
	h.source.Wipe("store-1")
	h.source.Put(backuptest.Entity(gateway.Route, "a", "old"))
	second := h.take(t)
	if want := fmt.Sprintf("%s@%d", first.Lineage, first.Revision); second.Lineage == first.Lineage || second.Parent != want {
		t.Errorf("lineage %s of %s, want a new one of %s", second.Lineage, second.Parent, want)
	}
	h.wantNewest(t)
}

// TestClockWentBack: the newest point is the last one that was made, whatever the clock said.
func TestClockWentBack(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.source.Clock = func() time.Time { return time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC) }
	h.take(t)
	h.source.Clock = func() time.Time { return time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC) }
	h.source.Put(backuptest.Entity(gateway.Route, "a", "{}"))
	h.take(t)
	h.wantNewest(t)
	h.source.Wipe("store-2")
	h.source.Put(backuptest.Entity(gateway.Route, "b", "{}"))
	h.take(t)
	h.wantNewest(t)
}

// TestTwoWritersAtOnce: of two writers with spools of their own one goes on, and no point is made of the changes of both.
func TestTwoWritersAtOnce(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.take(t)
	jobs := []backup.Job{h.job, h.job}
	jobs[1].Spool = t.TempDir()
	split := 0
	for round := range 30 {
		h.source.Put(backuptest.Entity(gateway.Route, "a", fmt.Sprint(round)))
		errs := make([]error, len(jobs))
		var both sync.WaitGroup
		for i := range jobs {
			both.Go(func() { _, errs[i] = backup.Take(t.Context(), jobs[i]) })
		}
		both.Wait()
		for i, err := range errs {
			if errors.Is(err, backup.ErrSplitBrain) {
				split++
				jobs[i].Spool = t.TempDir() // as one who knows what he does
			} else if err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range h.find(t) {
			h.load(t, f)
		}
	}
	if split == 0 {
		t.Error("both writers continued one log all the time")
	}
}

// TestRandomHistory: whatever changes, whichever locations fail and whatever the spool loses, the newest point is what the
// gateway held, at every location that took it.
func TestRandomHistory(t *testing.T) {
	for seed := range uint64(15) {
		random := rand.New(rand.NewPCG(seed, 1))
		h := newHouse(t)
		for range 12 {
			for range random.IntN(5) {
				ref := gateway.Ref{Kind: gateway.Kinds()[random.IntN(8)], ID: fmt.Sprint(random.IntN(9))}
				if random.IntN(4) == 0 {
					h.source.Delete(ref)
					continue
				}
				h.source.Put(gateway.Entity{Ref: ref, Body: fmt.Append(nil, random.Int())})
			}
			switch random.IntN(8) {
			case 0:
				h.source.Compact()
			case 1:
				h.job.Spool = t.TempDir()
			}
			dead := random.IntN(6)
			if dead < 3 {
				h.memories[dead].Break(backuptest.Dead)
			}
			r := h.take(t)
			if dead < 3 {
				h.memories[dead].Break(nil)
			}
			f := h.wantNewest(t)
			for i, l := range r.Locations {
				if !l.OK {
					continue
				}
				if _, _, err := backup.Load(t.Context(), f, h.job.Copies[i:i+1], h.job.Keys.Identities); err != nil {
					t.Fatalf("seed %d: %s alone does not do: %v", seed, l.Name, err)
				}
			}
		}
	}
}

// TestManyChanges: much that has changed makes several segments, of one time; too much makes a gap, and no harm.
func TestManyChanges(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.take(t)
	body := strings.Repeat("0123456789abcdef", 1<<16)
	for i := range 12 {
		h.source.Put(backuptest.Entity(gateway.Spec, fmt.Sprint(i), body+fmt.Sprint(i)))
	}
	if r := h.take(t); r.Full || r.Changes != 12 {
		t.Errorf("second backup: %+v", r)
	}
	if f := h.wantNewest(t); f.Log.Seq != 4 {
		t.Errorf("12 MiB of changes made %d segments", f.Log.Seq-1)
	}
	for i := range 140 {
		h.source.Put(backuptest.Entity(gateway.Spec, fmt.Sprint(i%3), body+fmt.Sprint(i)))
	}
	if r := h.take(t); !r.Full {
		t.Errorf("third backup: %+v", r)
	}
	if f := h.wantNewest(t); f.Log.Seq != 5 {
		t.Errorf("the gap has the position %d", f.Log.Seq)
	}
}
