package backup_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
)

var errLocked = errors.New("the object is locked")

// refuseRemovals is a fault: after the first n, no removal is allowed.
func refuseRemovals(n int) func(context.Context, string, string) error {
	var mu sync.Mutex
	return func(_ context.Context, op, _ string) error {
		mu.Lock()
		defer mu.Unlock()
		if op != "remove" {
			return nil
		}
		if n--; n < 0 {
			return errLocked
		}
		return nil
	}
}

// TestPruneFaults: a location that is away, or lets nothing go, does not keep the others; later it catches up.
func TestPruneFaults(t *testing.T) {
	h, points := oldHouse(t)
	keep := backup.Keep{Within: 5 * day}
	before := h.memories[1].Objects()
	h.memories[1].Break(backuptest.Dead)
	h.memories[2].Break(refuseRemovals(0))
	p := h.prune(t, backup.PruneOptions{Keep: keep, Remove: true})
	local, nas, offsite := p.Locations[0], p.Locations[1], p.Locations[2]
	if local.Err != nil || len(local.Kept) != 1 || len(local.Points) != 5 {
		t.Errorf("local: %+v", local)
	}
	if nas.Err == nil || !nas.Unread || nas.Objects != 0 || !strings.Contains(nas.Error, "refused") || nas.Kept == nil || nas.Points == nil {
		t.Errorf("nas: %+v", nas)
	}
	if !errors.Is(offsite.Err, errLocked) || offsite.Unread || offsite.Objects != 0 || len(offsite.Kept) != 6 || len(offsite.Points) != 0 {
		t.Errorf("offsite: %+v", offsite)
	}
	h.memories[1].Break(nil)
	h.memories[2].Break(nil)
	for _, m := range h.memories[1:] {
		if diff := cmp.Diff(before, m.Objects()); diff != "" {
			t.Error(diff)
		}
	}
	if diff := cmp.Diff(points[5:], h.pruneAll(t, keep)); diff != "" {
		t.Error(diff)
	}
	for _, m := range h.memories[1:] {
		if diff := cmp.Diff(h.memories[0].Objects(), m.Objects()); diff != "" {
			t.Error(diff)
		}
	}
	h.wantAlone(t, h.job.Copies...)
}

// TestPruneUnread: what cannot be read of a location, or is not whole there, keeps whatever it may need.
func TestPruneUnread(t *testing.T) {
	h, points := oldHouse(t)
	h.memories[1].Break(func(_ context.Context, op, name string) error {
		if op == "get" && name == points[0] {
			return errors.New("read error")
		}
		return nil
	})
	flip(t, h.memories[2], points[1], 700)
	before := h.memories[1].Objects()
	p := h.prune(t, backup.PruneOptions{Keep: backup.Keep{Within: day}, Remove: true})
	if nas := p.Locations[1]; nas.Err == nil || !nas.Unread || len(before) != len(h.memories[1].Objects()) {
		t.Errorf("nas: %+v", nas)
	}
	offsite := p.Locations[2]
	if diff := cmp.Diff([]string{points[1], points[5]}, keptPoints(offsite)); diff != "" || offsite.Err != nil {
		t.Errorf("%s%+v", diff, offsite)
	}
	flip(t, h.memories[2], points[1], 700)
	h.memories[1].Break(nil)
	h.wantAlone(t, h.job.Copies...)

	h.job.Copies = h.job.Copies[2:] // what is damaged everywhere: its lineage keeps what it may need
	flip(t, h.memories[2], points[5], 700)
	packs := names(h.memories[2], "/packs/")
	p = h.prune(t, backup.PruneOptions{Keep: backup.Keep{Within: day}, Remove: true})
	if l := p.Locations[0]; len(l.Notes) != 1 || !strings.Contains(l.Notes[0], points[5]+" does not verify anywhere") || len(l.Points) != 0 {
		t.Errorf("offsite: %+v", l)
	}
	if diff := cmp.Diff(packs, names(h.memories[2], "/packs/")); diff != "" {
		t.Error(diff)
	}
}

// TestPruneInterrupted: wherever it ends, each point that is still listed is whole, and a later run finishes.
func TestPruneInterrupted(t *testing.T) {
	keep := backup.Keep{Within: 25 * day}
	whole, _ := oldHouse(t)
	total := whole.prune(t, backup.PruneOptions{Keep: keep, Remove: true}).Locations[1].Objects
	if total < 5 {
		t.Fatalf("%d removals", total)
	}
	for n := range total {
		h, _ := oldHouse(t)
		h.memories[1].Break(refuseRemovals(n))
		if l := h.prune(t, backup.PruneOptions{Keep: keep, Remove: true}).Locations[1]; !errors.Is(l.Err, errLocked) || l.Objects != n {
			t.Errorf("after %d removals: %+v", n, l)
		}
		h.memories[1].Break(nil)
		h.wantAlone(t, h.job.Copies[1])
		h.pruneAll(t, keep)
		if diff := cmp.Diff(h.memories[0].Objects(), h.memories[1].Objects()); diff != "" {
			t.Errorf("after %d removals and another run: %s", n, diff)
		}
		h.wantAlone(t, h.job.Copies[1])
	}
}

// TestPruneDuringBackup: what a point needs that comes while prune is at work stays, also if it needs what is old.
func TestPruneDuringBackup(t *testing.T) {
	for name, change := range map[string]func(h *agingHouse){
		"a point of changes":   func(h *agingHouse) { h.source.Put(backuptest.Entity(gateway.Setting, "new", "1")) },
		"a point of no change": func(*agingHouse) {},
		"a full point":         func(h *agingHouse) { h.job.Full = true },
		"a new lineage":        func(h *agingHouse) { h.source.Wipe("store-2") },
	} {
		t.Run(name, func(t *testing.T) {
			h, points := oldHouse(t)
			h.now = h.now.Add(10 * day)
			var once sync.Once
			var took string
			h.memories[0].Break(func(_ context.Context, op, _ string) error {
				if op == "remove" {
					once.Do(func() {
						change(h)
						took = h.take(t).Point
					})
				}
				return nil
			})
			p := h.prune(t, backup.PruneOptions{Keep: backup.Keep{Within: day}, Remove: true})
			if l := p.Locations[0]; took == "" || l.Err != nil || l.Objects < 7 {
				t.Errorf("took %q; %+v", took, l)
			}
			if diff := cmp.Diff(2, len(names(h.memories[0], "/points/"))); diff != "" {
				t.Error(diff)
			}
			if len(names(h.memories[0], points[5])) == 0 {
				t.Error("the point that was the newest is gone")
			}
			h.wantAlone(t, h.job.Copies...)
			h.job.Full = false
			if r := h.take(t); !r.Complete() || r.Full {
				t.Errorf("next backup: %+v", r)
			}
		})
	}
}

// TestPruneGrace: what no point needs yet may be of a backup that is on its way, unless it is a day older than the newest object.
func TestPruneGrace(t *testing.T) {
	for age, stays := range map[time.Duration]bool{0: true, day - time.Second: true, day: false, 9 * day: false} {
		h, points := oldHouse(t)
		sum := strings.Repeat("ab", 32)
		pack := strings.Split(points[0], "points/")[0] + "packs/ab/" + sum + ".tar.zst.age"
		latest := h.now
		h.now = latest.Add(-age)
		h.memories[0].Set(pack, []byte("a pack"))
		h.pruneAll(t, backup.Keep{Within: day})
		if there := names(h.memories[0], pack) != nil; there != stays {
			t.Errorf("a pack %s older than the newest object stays: %t", age, there)
		}
	}
}

// TestPruneOnTheWay: packs of a point that has not arrived yet stay, however long it takes.
func TestPruneOnTheWay(t *testing.T) {
	h, _ := oldHouse(t)
	h.memories[0].Break(func(_ context.Context, op, name string) error {
		if op == "put" && strings.Contains(name, "/points/") {
			return errors.New("no more space")
		}
		return nil
	})
	before := names(h.memories[0], "/packs/")
	h.takeAfter(t, 10*day, true)
	if diff := cmp.Diff(len(before)+1, len(names(h.memories[0], "/packs/"))); diff != "" {
		t.Fatal(diff)
	}
	arrived := slices.DeleteFunc(names(h.memories[0], "/packs/"), func(p string) bool { return slices.Contains(before, p) })
	h.now = h.now.Add(10 * day)
	h.verifyWith(t, backup.VerifyOptions{Attest: true}) // so that something there is new
	h.pruneAll(t, backup.Keep{Within: day})
	if names(h.memories[0], arrived[0]) == nil {
		t.Error("the pack of the point that is on its way is gone")
	}
	if n := len(names(h.memories[0], "/packs/")); n != 2 {
		t.Errorf("%d packs, want that and the newest point's", n)
	}
	h.memories[0].Break(nil)
	h.take(t)
	h.wantAlone(t, h.job.Copies...)
}

// TestPruneLogTail: the log beyond the newest point stays.
func TestPruneLogTail(t *testing.T) {
	h, points := oldHouse(t)
	takeAway(t, points[4], h.memories...)
	takeAway(t, points[5], h.memories...)
	newest := h.find(t)[0]
	tail := func() int {
		read, err := backup.ReadTail(t.Context(), newest, h.job.Copies, h.job.Keys.Trusted, backup.TailBound{})
		if err != nil || read.Stop != "" {
			t.Fatalf("%+v, %v", read, err)
		}
		state := h.load(t, newest)
		read.Replay(state, h.job.Keys.Identities)
		export, err := h.source.Export(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(gateway.Diff(export.State, state))
	}
	if n := tail(); n != 0 {
		t.Fatalf("before: %d differences", n)
	}
	if diff := cmp.Diff(points[3:4], h.pruneAll(t, backup.Keep{Within: day})); diff != "" {
		t.Error(diff)
	}
	if n := tail(); n != 0 {
		t.Errorf("after: %d differences", n)
	}
	if n := len(names(h.memories[0], "/log/")); n != 3 {
		t.Errorf("%d segments, want that of the point and the two after it", n)
	}
	h.wantAlone(t, h.job.Copies...)
}

// TestPruneKeepsScrubs: when a location was read back last is known even if the newest point of then is gone.
func TestPruneKeepsScrubs(t *testing.T) {
	h, points := oldHouse(t)
	h.verifyWith(t, backup.VerifyOptions{All: true, Attest: true})
	h.takeAfter(t, 10*day, true)
	before := backup.Scrubs(t.Context(), h.job.Copies, h.job.Keys.Trusted)
	h.prune(t, backup.PruneOptions{Keep: backup.Keep{Within: day}, Remove: true, Verified: func(string, backup.Found) bool { return false }})
	if len(names(h.memories[0], points[5])) > 0 {
		t.Fatal("the point that was verified is still there")
	}
	after := backup.Scrubs(t.Context(), h.job.Copies, h.job.Keys.Trusted)
	if diff := cmp.Diff(before, after); diff != "" || len(before) != 3 {
		t.Errorf("%d scrubs before; %s", len(before), diff)
	}
}
