package backup_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
)

// dated is a location whose store has a clock of its own.
type dated struct {
	*backuptest.Memory
	now *time.Time

	mu   *sync.Mutex
	seen map[string]time.Time // when an object was listed first
}

// List dates the objects.
func (d dated) List(ctx context.Context, prefix string) ([]backup.Object, error) {
	objects, err := d.Memory.List(ctx, prefix)
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, o := range objects {
		if _, ok := d.seen[o.Name]; !ok {
			d.seen[o.Name] = *d.now
		}
		objects[i].Created = d.seen[o.Name]
	}
	return objects, err
}

const day = 24 * time.Hour

// grow lets the stores' clocks go on, with all that is there now as old as it is.
func grow(t *testing.T, h *house, now *time.Time, by time.Duration) {
	t.Helper()
	for _, c := range h.job.Copies {
		if _, err := c.Location.List(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
	}
	*now = now.Add(by)
}

// datedHouse is a house whose stores have the clock that is returned.
func datedHouse(t *testing.T) (*house, *time.Time) {
	h := newHouse(t, someEntities()...)
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range h.job.Copies {
		h.job.Copies[i].Location = dated{h.memories[i], &now, new(sync.Mutex), map[string]time.Time{}}
	}
	return h, &now
}

// prune keeps what lies so far back.
func prune(t *testing.T, h *house, keep time.Duration, remove bool) *backup.Pruning {
	t.Helper()
	p, err := backup.Prune(t.Context(), h.job.Copies, h.job.Keys.Trusted, backup.PruneOptions{Keep: backup.Keep{Within: keep}, Remove: remove})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wantWhole wants every point whole at each location that has it, alone, and nothing wrong anywhere.
func wantWhole(t *testing.T, h *house) {
	t.Helper()
	for _, f := range h.find(t) {
		for i, c := range h.job.Copies {
			if !slices.Contains(f.Copies, c.Name) {
				continue
			}
			if _, _, err := backup.Load(t.Context(), f, h.job.Copies[i:i+1], h.job.Keys.Identities); err != nil {
				t.Errorf("%s alone: %v", h.job.Copies[i].Name, err)
			}
		}
	}
	if v, err := backup.Verify(t.Context(), h.job.Copies, h.job.Keys, backup.VerifyOptions{All: true}); err != nil || !v.Sound() {
		t.Errorf("verify: %+v, %v", v, err)
	}
}

// aged has five points, two days apart; the fourth is full.
func aged(t *testing.T) (*house, *time.Time) {
	h, now := datedHouse(t)
	for i := range 5 {
		h.source.Put(backuptest.Entity(gateway.Route, "a", fmt.Sprint(i)))
		h.job.Full = i == 3
		h.take(t)
		grow(t, h, now, 2*day)
	}
	return h, now
}

// TestPrune: what goes is what was said to go, and all that stays is whole at each location alone.
func TestPrune(t *testing.T) {
	h, _ := aged(t)
	dry := prune(t, h, time.Hour, false)
	var before []int
	for _, m := range h.memories {
		before = append(before, len(m.Objects()))
	}
	real := prune(t, h, time.Hour, true)
	for i, m := range h.memories {
		said, done := dry.Locations[i], real.Locations[i]
		if n := before[i] - len(m.Objects()); n != said.Objects || n != done.Objects || said.Bytes != done.Bytes {
			t.Errorf("%d objects went; said %+v, done %+v", n, said, done)
		}
		if !slices.Equal(said.Points, done.Points) || len(done.Points) != 4 || len(done.Kept) != 1 {
			t.Errorf("said %+v, done %+v", said, done)
		}
	}
	if again := prune(t, h, time.Hour, true); again.Locations[0].Objects != 0 {
		t.Errorf("again: %+v", again.Locations[0])
	}
	wantWhole(t, h)
}

// TestPruneKilled: after any number of removals every point that is left is whole, and the next run finishes.
func TestPruneKilled(t *testing.T) {
	for n := range 12 {
		h, _ := aged(t)
		for _, m := range h.memories {
			left := n
			m.Break(func(_ context.Context, op, _ string) error {
				if op == "remove" {
					if left--; left < 0 {
						return fmt.Errorf("killed")
					}
				}
				return nil
			})
		}
		prune(t, h, time.Hour, true)
		wantWhole(t, h)
		for _, m := range h.memories {
			m.Break(nil)
		}
		prune(t, h, time.Hour, true)
		wantWhole(t, h)
		if len(h.find(t)) != 1 {
			t.Errorf("after %d: not finished", n)
		}
	}
}

// TestPruneSibling: the newest point of a gateway stays, even if another one was restored from its backups and is younger.
func TestPruneSibling(t *testing.T) {
	h, now := datedHouse(t)
	first := h.take(t)
	grow(t, h, now, 10*day)
	other := h.job
	other.Gateway, other.Spool, other.Source = "staging", t.TempDir(), backuptest.NewSource("store-staging", someEntities()...)
	if err := backup.RecordRestore(t.Context(), other.Spool, "staging", "store-staging", fmt.Sprintf("%s@%d", first.Lineage, first.Revision)); err != nil {
		t.Fatal(err)
	}
	if _, err := backup.Take(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	grow(t, h, now, 2*day)
	prune(t, h, day, true)
	for _, f := range h.find(t) {
		if f.Lineage == first.Lineage {
			return
		}
	}
	t.Error("the newest point of a gateway that still lives went, for one of its restored copy")
}

// TestPruneForgedFlood: forged attestations do not push the true one out of what is read.
func TestPruneForgedFlood(t *testing.T) {
	for _, flood := range []bool{false, true} {
		h, now := datedHouse(t)
		h.take(t)
		v, err := backup.Verify(t.Context(), h.job.Copies, h.job.Keys, backup.VerifyOptions{All: true, Attest: true})
		if err != nil || !v.Sound() {
			t.Fatal(err, v)
		}
		for range 2 {
			grow(t, h, now, 10*day)
			h.source.Put(backuptest.Entity(gateway.Route, "a", fmt.Sprint(*now)))
			h.take(t)
		}
		for name := range h.memories[0].Objects() {
			if i := strings.Index(name, "/attest/"); flood && i > 0 {
				for n := range 64 {
					h.memories[0].Set(fmt.Sprintf("%s-20990101T0000%02d.%03dZ.tar", name[:strings.LastIndexByte(name, '-')], n%60, n), []byte("forged"))
				}
			}
		}
		p := prune(t, h, day, false)
		if !strings.Contains(fmt.Sprint(p.Locations[0].Kept), "last verified") {
			t.Errorf("flood %v: the verified point would go: %+v", flood, p.Locations[0])
		}
	}
}

// TestPruneUnreadableAttestation: where it is not known what was verified, nothing goes.
func TestPruneUnreadableAttestation(t *testing.T) {
	h, now := datedHouse(t)
	h.take(t)
	if _, err := backup.Verify(t.Context(), h.job.Copies, h.job.Keys, backup.VerifyOptions{All: true, Attest: true}); err != nil {
		t.Fatal(err)
	}
	grow(t, h, now, 10*day)
	h.take(t)
	h.memories[0].Break(func(_ context.Context, op, name string) error {
		if op == "get" && strings.Contains(name, "/attest/") {
			return fmt.Errorf("connection reset")
		}
		return nil
	})
	if p := prune(t, h, day, true); len(p.Locations[0].Points) > 0 && p.Locations[0].Error == "" {
		t.Errorf("the verified point went in silence: %+v", p.Locations[0])
	}
}

// TestPruneForeign: what is not of the format is somebody's.
func TestPruneForeign(t *testing.T) {
	h, now := aged(t)
	root := h.object(t, "/repo.tar", 0)
	root = strings.TrimSuffix(root, "repo.tar")
	foreign := []string{"notes.txt", root + "notes.txt", root + "packs/notes.txt", root + "log/notes.txt", root + "attest/notes.txt", "gwdr1/canary"}
	for _, name := range foreign {
		h.memories[0].Set(name, []byte("foreign"))
	}
	grow(t, h, now, 3*day)
	h.source.Put(backuptest.Entity(gateway.Route, "a", "last"))
	h.take(t)
	prune(t, h, time.Hour, true)
	left := slices.Collect(maps.Keys(h.memories[0].Objects()))
	for _, name := range foreign {
		if !slices.Contains(left, name) {
			t.Errorf("foreign %s was removed", name)
		}
	}
}

// TestPruneWhileTaking: prune runs between the listing of a backup that uses an old pack again and its point.
func TestPruneWhileTaking(t *testing.T) {
	for _, sibling := range []bool{false, true} {
		h, now := datedHouse(t)
		first := h.take(t)
		grow(t, h, now, 10*day)
		if sibling {
			other := h.job
			other.Gateway, other.Spool, other.Source = "staging", t.TempDir(), backuptest.NewSource("store-staging", someEntities()...)
			if err := backup.RecordRestore(t.Context(), other.Spool, "staging", "store-staging", fmt.Sprintf("%s@%d", first.Lineage, first.Revision)); err != nil {
				t.Fatal(err)
			}
			if _, err := backup.Take(t.Context(), other); err != nil {
				t.Fatal(err)
			}
			grow(t, h, now, 2*day)
		}
		h.source.Put(backuptest.Entity(gateway.Route, "a", "changed"))
		done := false
		h.memories[0].Break(func(_ context.Context, op, name string) error {
			if op == "put" && strings.Contains(name, "/points/") && !done {
				done = true
				prune(t, h, day, true)
			}
			return nil
		})
		h.take(t)
		h.memories[0].Break(nil)
		if !done {
			t.Fatal("prune did not run")
		}
		for _, f := range h.find(t) {
			for i, c := range h.job.Copies {
				if !slices.Contains(f.Copies, c.Name) {
					continue
				}
				if _, _, err := backup.Load(t.Context(), f, h.job.Copies[i:i+1], h.job.Keys.Identities); err != nil {
					t.Errorf("sibling %v: %s alone: %v", sibling, c.Name, err)
				}
			}
		}
	}
}

// TestPruneLyingTimes: the store's clock counts, and not what a point says of itself.
func TestPruneLyingTimes(t *testing.T) {
	h, now := datedHouse(t)
	var taken []string
	for i, says := range []time.Duration{-9000 * day, 0, 9000 * day, 0, 0} {
		h.source.Put(backuptest.Entity(gateway.Route, "a", fmt.Sprint(i)))
		h.source.Clock = func() time.Time { return time.Now().Add(says) }
		taken = append(taken, h.take(t).Point)
		grow(t, h, now, day)
	}
	p := prune(t, h, 2*day, true)
	var kept []string
	for _, k := range p.Locations[0].Kept {
		kept = append(kept, "points/"+strings.TrimSuffix(path.Base(k.Point), ".tar"))
	}
	slices.Reverse(kept)
	if !slices.Equal(kept, taken[2:]) {
		t.Errorf("kept %v of %v", kept, taken)
	}
	wantWhole(t, h)
}

// TestPruneRefused: a location that is down, or lets nothing go, does not keep the others from being pruned; later it is.
func TestPruneRefused(t *testing.T) {
	h, _ := aged(t)
	h.memories[0].Break(backuptest.Dead)
	h.memories[1].Break(func(_ context.Context, op, name string) error {
		if op == "remove" {
			return fmt.Errorf("%s is locked", name)
		}
		return nil
	})
	p := prune(t, h, time.Hour, true)
	if p.Locations[0].Error == "" || !strings.Contains(p.Locations[1].Error, "is locked") || p.Locations[2].Error != "" || len(p.Locations[2].Points) != 4 {
		t.Errorf("%+v", p.Locations)
	}
	if n := len(p.Locations[1].Points); n > 0 {
		t.Errorf("%d points are said to be gone where nothing goes", n)
	}
	for _, m := range h.memories[:2] {
		m.Break(nil)
	}
	wantWhole(t, h)
	prune(t, h, time.Hour, true)
	if found := h.find(t); len(found) != 1 || len(found[0].Copies) != 3 {
		t.Errorf("left are %v", found)
	}
	wantWhole(t, h)
}

// TestPruneHistory: whatever is backed up and pruned when, all points that are left are whole at each location alone.
func TestPruneHistory(t *testing.T) {
	for seed := range uint64(25) {
		r := rand.New(rand.NewPCG(seed, 0))
		h, now := datedHouse(t)
		for i := range 2 + r.IntN(5) {
			h.source.Put(backuptest.Entity(gateway.Route, fmt.Sprint(r.IntN(3)), fmt.Sprint(i)))
			h.job.Full = r.IntN(2) == 0
			h.take(t)
			grow(t, h, now, time.Duration(1+r.IntN(60))*time.Hour)
			if r.IntN(2) == 0 {
				prune(t, h, time.Duration(1+r.IntN(100))*time.Hour, true)
			}
		}
		if wantWhole(t, h); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}
