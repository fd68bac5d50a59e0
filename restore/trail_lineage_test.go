package restore

import (
	"context"
	"errors"
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
)

// TestTrailRevokedAnywhere: a revocation in an older lineage counts, and a newer lineage is followed.
func TestTrailRevokedAnywhere(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := pursue(t, w)
		p.follower()
		p.follower = func() {}
		dead := revocation("0123456789abcdef")
		other := gatewaytest.New(append(gatewaytest.Sample(), dead)...)
		lacking, _, err := older(t, w, other)
		if err != nil || lacking == 0 {
			t.Fatalf("%d objects, %v", lacking, err)
		}
		p.later()
		if !p.serves(dead.Ref) {
			t.Error("a revocation of another lineage is unknown")
		}
		time.Sleep(time.Minute)
		w.spool = t.TempDir()
		w.put("new")()
		p.follower = p.followOn(w.keys, w.copies)
		p.later()
		p.later(w.put("newer"))
		if !p.serves(setting("new")) || !p.serves(setting("newer")) || !p.serves(dead.Ref) {
			t.Errorf("the new lineage is not followed: %+v", p.trail.Progress())
		}
	})
}

// older puts a point of another gateway to the locations, as if it had been there for long.
func older(t *testing.T, w *world, g *gatewaytest.Gateway) (objects int, lineage string, err error) {
	before := map[string]bool{}
	for name := range w.memories[0].Objects() {
		before[name] = true
	}
	res, err := backup.Take(t.Context(), backup.Job{Source: backdated{g}, Gateway: "other", Copies: w.copies, Keys: w.keys, Policy: backuptest.Policy(),
		Spool: t.TempDir(), Tool: "test"})
	if err != nil {
		return 0, "", err
	}
	for name := range w.memories[0].Objects() {
		if !before[name] {
			objects++
		}
	}
	return objects, res.Lineage, nil
}

// backdated is a gateway whose state is of a day before.
type backdated struct{ gateway.Source }

func (b backdated) Export(ctx context.Context) (*gateway.Export, error) {
	e, err := b.Source.Export(ctx)
	if err == nil {
		e.Time = e.Time.Add(-24 * time.Hour)
	}
	return e, err
}

// TestTrailPinned: who wants a certain point keeps it, but for revocations.
func TestTrailPinned(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.restore.At = At{Time: time.Now().Add(time.Second)}
		p := pursue(t, w)
		dead := revocation("0123456789abcdef")
		p.later(p.put("a"), func() { p.gateway.Put(dead) })
		time.Sleep(time.Minute)
		p.later()
		if p.serves(setting("a")) || !p.serves(dead.Ref) {
			t.Errorf("pinned: %+v", p.trail.Progress())
		}
	})
}

// TestTrailNothingYet: it starts with what comes, but not below what is served already.
func TestTrailNothingYet(t *testing.T) {
	for name, c := range map[string]struct {
		floor int64
		steps int
	}{"nothing is served": {0, 1}, "older is served": {1, 1}, "newer is served": {100, 0}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				steps := 0
				trail := &Trail{Source: w.restore.Source, Take: func(Reached) error { steps++; return nil }}
				if err := trail.Start(t.Context()); !errors.Is(err, ErrNothing) {
					t.Fatalf("start: %v", err)
				}
				trail.Floor = gateway.Header{Store: exportOf(t, w.gateway).Store, Revision: c.floor}
				trail.Look(t.Context())
				w.backup()
				time.Sleep(2 * maxPause)
				trail.Look(t.Context())
				if steps != c.steps || (trail.Snapshot() != nil) != (c.steps > 0) {
					t.Errorf("%d steps, %+v", steps, trail.Progress())
				}
			})
		})
	}
}
