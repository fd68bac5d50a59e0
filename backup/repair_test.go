package backup_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"strings"
	"testing"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/backup/tree"
	"gwdr/gateway"
)

func (h *house) repair(t testing.TB) *backup.Verification {
	t.Helper()
	return h.verifyWith(t, backup.VerifyOptions{All: true, Repair: true})
}

// wantSame makes sure that the location holds exactly the objects, but for what is in quarantine.
func wantSame(t testing.TB, want map[string][]byte, m *backuptest.Memory) {
	t.Helper()
	got := emptyQuarantine(m)
	for name := range want {
		if !bytes.Equal(want[name], got[name]) {
			t.Errorf("%s is not as it was", name)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d objects, want %d", len(got), len(want))
	}
}

// TestVerifyChangesNothing: without the flag nothing is put anywhere, whatever is wrong.
func TestVerifyChangesNothing(t *testing.T) {
	h := longHouse(t)
	remove(h.memories[1], "/packs/")
	flip(t, h.memories[2], "/points/", 300)
	for _, m := range h.memories {
		m.Break(func(_ context.Context, op, name string) error {
			if op != "get" && op != "list" {
				t.Errorf("%s %s", op, name)
			}
			return nil
		})
	}
	before := h.memories[2].Objects()
	if v := h.verifyWith(t, backup.VerifyOptions{All: true}); v.Sound() || len(v.Repairs) > 0 {
		t.Errorf("verification: %+v", v)
	}
	if !maps.EqualFunc(before, h.memories[2].Objects(), bytes.Equal) {
		t.Error("something was changed")
	}
}

// TestRepairNewLocation: a location with nothing gets everything, points last.
func TestRepairNewLocation(t *testing.T) {
	h := longHouse(t)
	whole := h.memories[0].Objects()
	remove(h.memories[2], "gwdr1/")
	var order []string
	h.memories[2].Break(func(_ context.Context, op, name string) error {
		if op == "put" {
			order = append(order, strings.Split(name, "/")[2])
		}
		return nil
	})
	v := h.verifyWith(t, backup.VerifyOptions{All: true, Repair: true, Strict: true})
	if !v.Sound() || healed(v)["offsite"] != len(whole) || v.Locations[2].Objects != len(whole) || v.Locations[2].Points != 5 {
		t.Errorf("verification: %+v", v)
	}
	if n := len(order); n != len(whole) || strings.Join(order[n-5:], " ") != "points points points points points" {
		t.Errorf("it was put in the order %v", order)
	}
	wantSame(t, whole, h.memories[2])
}

// TestRepairLeavesPruned: what prune took away, or what was there before a location was added, is not put back unless every
// location should have everything.
func TestRepairLeavesPruned(t *testing.T) {
	h := longHouse(t)
	whole := h.memories[0].Objects()
	points := h.find(t)
	for _, f := range points[2:] { // the newest of the first packs stays, and so do these
		h.memories[1].Set(f.Object(), nil)
	}
	h.memories[1].Set(h.object(t, "/log/", 0), nil) // no point needs it any more
	pruned := h.memories[1].Objects()
	v := h.repair(t)
	if !v.Sound() || len(v.Repairs) > 0 || v.Locations[1].Elsewhere != 3 || v.Locations[1].Points != 2 || v.Locations[0].Elsewhere != 0 {
		t.Errorf("verification: %+v", v)
	}
	wantSame(t, pruned, h.memories[1])
	if v := h.verifyWith(t, backup.VerifyOptions{All: true, Strict: true}); v.Sound() || len(v.Locations[1].Problems) != 4 {
		t.Errorf("strict: %+v", v)
	}
	h.memories[1].Set(points[1].Object(), nil)
	h.memories[1].Set(h.object(t, "/packs/", 0), nil)
	h.memories[1].Set(points[0].Object(), nil) // the newest is due in any case
	if v := h.repair(t); !v.Sound() || healed(v)["nas"] < 2 || h.memories[1].Objects()[points[0].Object()] == nil {
		t.Errorf("without the newest: %+v", v)
	}
	v = h.verifyWith(t, backup.VerifyOptions{All: true, Strict: true, Repair: true})
	if !v.Sound() {
		t.Errorf("strict repair: %+v", v)
	}
	wantSame(t, whole, h.memories[1])
}

// TestVerifyPruned: what is left after prune is sound, everywhere.
func TestVerifyPruned(t *testing.T) {
	h := longHouse(t)
	gone := []string{h.object(t, "/log/", 1), h.object(t, "/log/", 2), h.object(t, "/log/", 3)}
	for _, f := range h.find(t)[1:4] { // of the first packs, only the full point stays
		gone = append(gone, f.Object())
	}
	for _, m := range h.memories {
		for _, object := range gone {
			m.Set(object, nil)
		}
	}
	v := h.verifyWith(t, backup.VerifyOptions{All: true})
	if !v.Sound() || v.Decrypted != 2 || len(v.Logs[0].Thinned) != 1 || v.Logs[0].Thinned[0] != (backup.SegmentRange{From: 2, To: 4}) {
		t.Errorf("verification: %+v", v)
	}
}

// TestRepairKeeps: a location that cannot move what is damaged keeps it, and a point that stands on it is not put back.
func TestRepairKeeps(t *testing.T) {
	h := longHouse(t)
	h.job.Copies[1].Location = struct{ backup.Location }{h.memories[1]}
	pack, old := h.object(t, "/packs/", 0), h.object(t, "/points/", 0)
	points := map[string]bool{}
	for _, f := range h.find(t) {
		points[f.Object()] = f.Packs[0].SHA256 == packSum(pack)
	}
	remove(h.memories[1], "/points/")
	flip(t, h.memories[1], pack, 100)
	damaged := h.memories[1].Objects()[pack]
	v := h.repair(t)
	for _, r := range v.Repairs {
		switch {
		case r.Object == pack && (r.Healed || !errors.Is(r.Err, backup.ErrKeeps)),
			points[r.Object] && (r.Healed || !strings.Contains(r.Error, "what the point needs is not whole here")),
			r.Object != pack && !points[r.Object] && !r.Healed:
			t.Errorf("repair: %+v", r)
		}
	}
	if v.Sound() || !v.Restorable() || len(v.Repairs) != 6 || healed(v)["nas"] == 0 || h.memories[1].Objects()[old] != nil && points[old] ||
		!bytes.Equal(damaged, h.memories[1].Objects()[pack]) {
		t.Errorf("verification: %+v", v)
	}
}

func packSum(object string) string {
	name := object[strings.LastIndexByte(object, '/')+1:]
	return name[:64]
}

// TestRepairFromBlocks: a pack that is damaged everywhere, but nowhere in the same MiB, is whole everywhere afterwards.
func TestRepairFromBlocks(t *testing.T) {
	h := newHouse(t, bigEntities(t)...)
	h.take(t)
	whole := h.memories[0].Objects()
	flip(t, h.memories[0], "/packs/", 100)
	flip(t, h.memories[1], "/packs/", 1<<20+100)
	flip(t, h.memories[2], "/packs/", 2<<20+100)
	v := h.repair(t)
	if !v.Sound() || len(v.Repairs) != 3 || v.Repairs[2].From != "local+nas" || v.Decrypted != 1 {
		t.Errorf("verification: %+v", v)
	}
	for _, m := range h.memories {
		wantSame(t, whole, m)
	}
	for _, m := range h.memories {
		flip(t, m, "/packs/", 100)
	}
	damaged := h.memories[0].Objects()
	if v := h.repair(t); v.Restorable() || len(v.Repairs) != 3 || len(healed(v)) > 0 {
		t.Errorf("damaged everywhere: %+v", v)
	}
	wantSame(t, damaged, h.memories[0])
}

// TestRepairNeedsSight: with less than everything read, only what was read is healed.
func TestRepairNeedsSight(t *testing.T) {
	h := longHouse(t)
	old := h.object(t, "/points/", 0)
	flip(t, h.memories[1], old, 300)
	v := h.verifyWith(t, backup.VerifyOptions{Repair: true})
	if len(v.Repairs) != 1 || v.Repairs[0].Healed || !strings.Contains(v.Repairs[0].Error, "verify with --all") {
		t.Errorf("newest only: %+v", v)
	}
	remove(h.memories[1], "/packs/")
	v = h.verifyWith(t, backup.VerifyOptions{Repair: true, Sample: &backup.Sample{Count: 1}})
	for _, r := range v.Repairs {
		if strings.Contains(r.Object, "/packs/") && !r.Healed && !strings.Contains(r.Error, "verify with --all") {
			t.Errorf("sample: %+v", r)
		}
	}
	if v := h.repair(t); !v.Sound() {
		t.Errorf("all: %+v", v)
	}
}

// TestRepairUncommitted: what only the writer may decide, which segment the log goes on with, a repair does not.
func TestRepairUncommitted(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.take(t)
	h.take(t)
	last, newest := h.object(t, "/log/", -1), h.find(t)[0].Object()
	for _, m := range h.memories {
		m.Set(newest, nil)
	}
	segment := h.memories[0].Objects()[last]
	h.memories[1].Set(last, nil)
	if v := h.repair(t); !v.Sound() || healed(v)["nas"] != 1 { // most have it
		t.Errorf("at most locations: %+v", v)
	}
	h.memories[1].Set(last, nil)
	h.memories[2].Set(last, nil)
	if v := h.repair(t); v.Sound() || len(v.Repairs) != 2 || len(healed(v)) > 0 || h.memories[1].Objects()[last] != nil {
		t.Errorf("at one location: %+v", v)
	}
	h.memories[0].Set(last, segment)
}

// flaky gives a truncated object once, as a broken connection does, and then refuses so often.
type flaky struct {
	*backuptest.Memory
	name    string
	refuses int
	reads   int
}

func (f *flaky) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	if !strings.Contains(name, f.name) {
		return f.Memory.Get(ctx, name)
	}
	switch f.reads++; {
	case f.reads == 1:
		return io.NopCloser(strings.NewReader("short")), nil
	case f.reads <= 1+f.refuses:
		return nil, errors.New("connection refused")
	}
	return f.Memory.Get(ctx, name)
}

// TestRepairReadsAgain: what is whole at the second look, or cannot be looked at, is not moved.
func TestRepairReadsAgain(t *testing.T) {
	h := longHouse(t)
	whole := h.memories[1].Objects()
	pack := h.object(t, "/packs/", 0)
	h.job.Copies[1].Location = &flaky{Memory: h.memories[1], name: pack}
	v := h.repair(t)
	if !v.Sound() || len(v.Repairs) != 1 || !v.Repairs[0].Healed || v.Repairs[0].From != "nas" || v.Repairs[0].Moved != "" {
		t.Errorf("verification: %+v", v)
	}
	h.job.Copies[1].Location = &flaky{Memory: h.memories[1], name: pack, refuses: 9}
	v = h.repair(t)
	if v.Sound() || len(v.Repairs) != 1 || v.Repairs[0].Healed || !strings.Contains(v.Repairs[0].Error, "it cannot be read") {
		t.Errorf("verification: %+v", v)
	}
	if !maps.EqualFunc(whole, h.memories[1].Objects(), bytes.Equal) {
		t.Error("something was moved")
	}
}

// TestRepairInterrupted: who interrupts a repair never leaves nothing where something was.
func TestRepairInterrupted(t *testing.T) {
	h := longHouse(t)
	whole := h.memories[1].Objects()
	flip(t, h.memories[1], h.object(t, "/packs/", 0), 100)
	ctx, cancel := context.WithCancel(t.Context())
	h.memories[1].Break(func(_ context.Context, op, _ string) error {
		if op == "quarantine" {
			cancel()
		}
		return nil
	})
	v, err := backup.Verify(ctx, h.job.Copies, h.job.Keys, backup.VerifyOptions{All: true, Repair: true})
	if !errors.Is(err, context.Canceled) || len(v.Repairs) != 1 || !v.Repairs[0].Healed {
		t.Errorf("Verify = %+v, %v", v, err)
	}
	h.memories[1].Break(nil)
	wantSame(t, whole, h.memories[1])
}

// TestRepairBadSource: bytes that changed since they were verified go nowhere.
func TestRepairBadSource(t *testing.T) {
	h := longHouse(t)
	h.job.Copies, h.memories = h.job.Copies[:2], h.memories[:2]
	segment := h.object(t, "/log/", 1)
	h.memories[1].Set(segment, nil)
	reads := 0
	h.memories[0].Break(func(_ context.Context, op, name string) error {
		if op == "get" && name == segment {
			if reads++; reads == 3 { // to verify, to decrypt, to heal
				flip(t, h.memories[0], segment, 600)
			}
		}
		return nil
	})
	v := h.repair(t)
	if len(v.Repairs) == 0 || v.Repairs[0].Healed || !strings.Contains(v.Repairs[0].Error, "it has changed since it was read") || h.memories[1].Objects()[segment] != nil {
		t.Errorf("verification: %+v", v)
	}
}

// TestRepairFails: what could not be put is said, with where the damaged object is.
func TestRepairFails(t *testing.T) {
	h := longHouse(t)
	pack := h.object(t, "/packs/", 0)
	flip(t, h.memories[1], pack, 100)
	h.memories[1].Break(func(_ context.Context, op, _ string) error {
		if op == "put" {
			return errors.New("read-only")
		}
		return nil
	})
	v := h.repair(t)
	if v.Sound() || len(v.Repairs) != 1 || !strings.HasPrefix(v.Repairs[0].Moved, tree.QuarantineDir+"/"+pack) || v.Repairs[0].Error != "read-only" {
		t.Errorf("verification: %+v", v)
	}
	h.memories[1].Break(nil)
	if v := h.repair(t); !v.Sound() || healed(v)["nas"] != 1 {
		t.Errorf("second time: %+v", v)
	}
}

// TestRepairOtherWriter: packs and points of a branch that the log does not go through stay where they are.
func TestRepairOtherWriter(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.take(t)
	mine := h.job.Spool
	for _, m := range h.memories[:2] {
		m.Break(backuptest.Dead)
	}
	h.job.Spool, h.job.Full = t.TempDir(), true
	h.source.Put(backuptest.Entity(gateway.Route, "theirs", "{}"))
	h.take(t) // a full point on a branch of its own, with packs of its own
	for _, m := range h.memories[:2] {
		m.Break(nil)
	}
	h.job.Spool, h.job.Full = mine, false
	h.source.Put(backuptest.Entity(gateway.Route, "mine", "{}"))
	h.take(t)
	before := []map[string][]byte{h.memories[0].Objects(), h.memories[1].Objects()}
	for _, o := range []backup.VerifyOptions{{Repair: true}, {All: true, Repair: true}} {
		v := h.verifyWith(t, o)
		if v.Sound() || !v.Restorable() || len(v.Locations[0].Problems)+len(v.Locations[1].Problems) > 0 || len(v.Locations[2].Problems) == 0 {
			t.Errorf("verification: %+v", v)
		}
		for i := range before {
			wantSame(t, before[i], h.memories[i])
		}
	}
	h.source.Put(backuptest.Entity(gateway.Route, "mine", "again"))
	if r := h.take(t); !r.Committed {
		t.Errorf("the writer was led astray: %+v", r)
	}
}
