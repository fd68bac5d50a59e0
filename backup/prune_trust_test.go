package backup_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
)

// keepADay keeps what is younger than a day, and only says what would go.
var keepADay = backup.PruneOptions{Keep: backup.Keep{Within: day}}

// restoredElsewhere takes a point of another gateway, restored from the first one's backups, at the same locations.
func (h *agingHouse) restoredElsewhere(t *testing.T, first *backup.Result) {
	t.Helper()
	other := h.job
	other.Gateway, other.Spool, other.Source = "staging", t.TempDir(), backuptest.NewSource("store-staging", someEntities()...)
	err := backup.RecordRestore(t.Context(), other.Spool, "staging", "store-staging", fmt.Sprintf("%s@%d", first.Lineage, first.Revision))
	if err == nil {
		_, err = backup.Take(t.Context(), other)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestPruneSibling: the newest point of a gateway stays, even if another one was restored from its backups and is younger; and
// so does what a backup needs that is under way meanwhile.
func TestPruneSibling(t *testing.T) {
	h := newAgingHouse(t)
	first := h.take(t)
	h.now = h.now.Add(10 * day)
	h.restoredElsewhere(t, first)
	h.now = h.now.Add(2 * day)
	h.source.Put(backuptest.Entity(gateway.Route, "a", "changed"))
	pruned := false
	h.memories[0].Break(func(_ context.Context, op, name string) error {
		if op == "put" && strings.Contains(name, "/points/") && !pruned {
			pruned = true
			h.prune(t, backup.PruneOptions{Keep: backup.Keep{Within: day}, Remove: true})
		}
		return nil
	})
	h.take(t)
	h.memories[0].Break(nil)
	if found := h.find(t); !pruned || !slices.ContainsFunc(found, func(f backup.Found) bool { return f.Object() == "gwdr1/"+first.Lineage+"/"+first.Point+".tar" }) {
		t.Errorf("pruned: %t; left are %v", pruned, found)
	}
	h.wantAlone(t, h.job.Copies...)
}

// attested has a point that was verified, and two younger ones.
func attested(t *testing.T) *agingHouse {
	h := newAgingHouse(t)
	h.takeAfter(t, 0, true)
	v, err := backup.Verify(t.Context(), h.job.Copies, h.job.Keys, backup.VerifyOptions{All: true, Attest: true})
	if err != nil || !v.Sound() {
		t.Fatal(err, v)
	}
	for range 2 {
		h.takeAfter(t, 10*day, true)
	}
	return h
}

// TestPruneForgedFlood: forged attestations do not push the true one out of what is read.
func TestPruneForgedFlood(t *testing.T) {
	h := attested(t)
	name := names(h.memories[0], "/attest/")[0]
	for n := range 100 {
		h.memories[0].Set(fmt.Sprintf("%s-20990101T0000%02d.%03dZ.tar", name[:strings.LastIndexByte(name, '-')], n%60, n), []byte("forged"))
	}
	if p := h.prune(t, keepADay); !strings.Contains(fmt.Sprint(p.Locations[0].Kept), "last verified") {
		t.Errorf("the verified point would go: %+v", p.Locations[0])
	}
}

// TestPruneUnreadableAttestation: where it is not known what was verified, nothing goes.
func TestPruneUnreadableAttestation(t *testing.T) {
	h := attested(t)
	h.memories[0].Break(func(_ context.Context, op, name string) error {
		if op == "get" && strings.Contains(name, "/attest/") {
			return errors.New("connection reset")
		}
		return nil
	})
	p := h.prune(t, keepADay)
	if l := p.Locations[0]; !l.Unread || l.Objects > 0 || !strings.Contains(l.Error, "attestations") {
		t.Errorf("%+v", l)
	}
	if l := p.Locations[1]; l.Error != "" || l.Objects == 0 {
		t.Errorf("%+v", l)
	}
}
