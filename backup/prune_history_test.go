package backup_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
)

// TestPruneAnyHistory: whatever came before, each location has each point that it keeps, whole.
func TestPruneAnyHistory(t *testing.T) {
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			h := newAgingHouse(t)
			h.take(t)
			for range 3 {
				for range 6 {
					h.randomStep(t, random)
				}
				h.randomPrune(t, random)
			}
		})
	}
}

// randomStep takes a backup of some change after some time, at which a location may be away.
func (h *agingHouse) randomStep(t *testing.T, random *rand.Rand) {
	h.now = h.now.Add([]time.Duration{time.Minute, time.Hour, day, 9 * day}[random.IntN(4)])
	h.source.Put(backuptest.Entity(gateway.Setting, "n", fmt.Sprint(random.Int())))
	switch random.IntN(8) {
	case 0, 1:
		h.source.Compact()
	case 2:
		h.source.Wipe(fmt.Sprint("store-", random.Int()))
	case 3, 4:
		away := h.memories[random.IntN(3)]
		away.Break(backuptest.Dead)
		defer away.Break(nil)
	}
	h.take(t)
}

// randomPrune prunes by random rules, perhaps with a location that fails on the way.
func (h *agingHouse) randomPrune(t *testing.T, random *rand.Rand) {
	span := func() time.Duration {
		return time.Duration(random.IntN(3)) * time.Duration(random.IntN(400)) * time.Hour
	}
	keep := backup.Keep{Within: time.Hour, Hourly: span(), Daily: span(), Weekly: span(), Monthly: span(), Yearly: span()}
	newest := h.find(t)[0]
	failing := random.IntN(6)
	if failing < 3 {
		h.memories[failing].Break(refuseRemovals(random.IntN(10)))
	}
	said := h.prune(t, backup.PruneOptions{Keep: keep})
	did := h.prune(t, backup.PruneOptions{Keep: keep, Remove: true})
	for i, l := range did.Locations {
		h.memories[i].Break(nil)
		if diff := cmp.Diff(keptPoints(l), names(h.memories[i], "/points/")); diff != "" {
			t.Errorf("%s: what is said to be kept is not what is there: %s", l.Name, diff)
		}
		if diff := cmp.Diff(said.Locations[i], l); diff != "" && l.Err == nil {
			t.Errorf("%s: what was said did not happen: %s", l.Name, diff)
		}
		held := slices.Contains(newest.Copies, l.Name)
		if there := slices.Contains(keptPoints(l), newest.Object()); there != held {
			t.Errorf("%s: has the newest point: %t, before %t", l.Name, there, held)
		}
	}
	h.wantAlone(t, h.job.Copies...)
	h.pruneAll(t, keep)
	h.wantAlone(t, h.job.Copies...)
	again := maps.Clone(h.memories[0].Objects())
	h.pruneAll(t, keep)
	if diff := cmp.Diff(again, h.memories[0].Objects()); diff != "" {
		t.Errorf("a second run removes more: %s", diff)
	}
}
