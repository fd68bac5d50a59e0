package backup_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
)

// TestRepairFullDisk: a pack that only all copies together make whole is not spoiled by a repair for which there is no room.
func TestRepairFullDisk(t *testing.T) {
	h := newHouse(t, bigEntities(t)...)
	h.take(t)
	for i, m := range h.memories {
		flip(t, m, "/packs/", i<<20+100)
	}
	h.load(t, h.find(t)[0])
	full := func(after int) func(context.Context, string, string) error {
		return func(_ context.Context, op, _ string) error {
			if op == "put" {
				if after--; after < 0 {
					return errors.New("no space left on device")
				}
			}
			return nil
		}
	}
	for room := range 3 { // objects that each location has room for
		for _, m := range h.memories {
			m.Break(full(room))
		}
		h.repair(t)
		for _, m := range h.memories {
			m.Break(nil)
		}
		if room == 0 {
			h.load(t, h.find(t)[0])
		}
		kept := 0
		for _, m := range h.memories {
			kept += len(names(m, "/packs/"))
		}
		if kept < 3 {
			t.Errorf("with room for %d objects, %d packs are left", room, kept)
		}
	}
	h.repair(t)
	h.load(t, h.find(t)[0])
}

// TestPruneFuture: where a store has one time that lies in the future, nothing is old for sure.
func TestPruneFuture(t *testing.T) {
	h, _ := oldHouse(t)
	h.now = time.Now().Add(365 * day)
	h.takeAfter(t, 0, true)
	p := h.prune(t, backup.PruneOptions{Keep: backup.Keep{Within: 7 * day, Daily: 365 * day}, Remove: true})
	for _, l := range p.Locations {
		if l.Objects > 0 || !strings.Contains(l.Error, "in the future") {
			t.Errorf("%+v", l)
		}
	}
	h.wantAlone(t, h.job.Copies...)
}

// TestSignerOfAnotherTime: what nobody would trust is not taken for a backup.
func TestSignerOfAnotherTime(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.job.Keys.Trusted = signers(t, fmt.Sprintf("new valid-after=%q %s", time.Now().Add(-day).UTC().Format("20060102150405Z"), h.job.Keys.Signer.Public()))
	h.source.Clock = func() time.Time { return time.Now().Add(-400 * day) } // the gateway's clock is behind
	if r, err := backup.Take(t.Context(), h.job); err == nil || !strings.Contains(err.Error(), "nobody would trust it") {
		t.Errorf("Take = %+v, %v", r, err)
	}
}

// TestSignerOfPointsAlone: a signer has to be trusted for all that a backup is made of.
func TestSignerOfPointsAlone(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.job.Keys.Trusted = signers(t, `w namespaces="gwdr-point-v1" `+h.job.Keys.Signer.Public().String())
	if r, err := backup.Take(t.Context(), h.job); err == nil {
		t.Errorf("Take = %+v", r)
	}
}

// TestFollowUnread: a follower that could not read what the gateway acknowledged does not end as if all were well.
func TestFollowUnread(t *testing.T) {
	for name, start := range map[string]func(f *followed){
		"gone":  func(f *followed) { f.start(); pass(5 * time.Second); f.gateway.Cut(errCut) },
		"never": func(f *followed) { f.gateway.Cut(errCut); f.start() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFollowed(t)
				start(f)
				f.change(1)
				pass(5 * time.Minute)
				if err := f.stop(); !errors.Is(err, backup.ErrUncommitted) {
					t.Errorf("Run = %v, want ErrUncommitted", err)
				}
			})
		})
	}
}

// TestAwayForLong: a location that was away while much was appended gets no point without the log that it needs.
func TestAwayForLong(t *testing.T) {
	h := newHouse(t, someEntities()...)
	h.take(t)
	h.memories[2].Break(backuptest.Dead)
	for i := range 3 {
		h.source.Put(backuptest.Entity(gateway.Route, "a", fmt.Sprint(i)))
		h.take(t)
	}
	h.job.Full = true
	for range 5 {
		h.take(t)
	}
	h.job.Full = false
	takeAway(t, "/log/0000000000000003", h.memories[:2]...)
	for _, file := range h.spooled(t, "lineages/*/log/*0003*") {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	h.memories[2].Break(nil)
	h.take(t)
	for _, f := range h.find(t) {
		if !slices.Contains(f.Copies, "offsite") {
			continue
		}
		if _, _, err := backup.Load(t.Context(), f, h.job.Copies[2:], h.job.Keys.Identities); err != nil {
			t.Errorf("at offsite: segment %d, packs of %d: %v", f.Log.Seq, f.Base.Seq, err)
		}
	}
}
