package restore

import (
	"context"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
)

// pursuit is a Trail that runs, beside a follower that backs its gateway up.
type pursuit struct {
	*world
	trail    *Trail
	steps    []Reached
	packs    atomic.Int64 // reads of packs
	follower func()       // ends it
}

// pursue starts both.
func pursue(t *testing.T, w *world) *pursuit {
	p := &pursuit{world: w}
	p.follower = p.followOn(w.keys, w.copies)
	synctest.Wait()
	p.count()
	p.trail = &Trail{Source: w.restore.Source, Take: func(r Reached) error {
		p.steps = append(p.steps, r)
		return nil
	}}
	if err := p.trail.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.trail.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		p.follower()
	})
	synctest.Wait()
	return p
}

// followOn runs a follower until the returned function is called.
func (p *pursuit) followOn(keys backup.Keys, copies []backup.Copy) func() {
	ctx, cancel := context.WithCancel(context.Background())
	f := &backup.Follower{Job: backup.Job{Source: gatewaytest.Tracked{Gateway: p.gateway}, Gateway: "test", Copies: copies, Keys: keys,
		Spool: p.spool, Tool: "test"}}
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	return func() {
		cancel()
		<-done
	}
}

// count has the reads of packs counted.
func (p *pursuit) count() {
	for _, m := range p.memories {
		m.Break(func(_ context.Context, op, name string) error {
			if op == "get" && strings.Contains(name, "/packs/") {
				p.packs.Add(1)
			}
			return nil
		})
	}
}

// later waits for the follower, and then for a look at the locations.
func (p *pursuit) later(changes ...func()) {
	for _, change := range changes {
		change()
	}
	synctest.Wait()
	time.Sleep(8 * time.Second)
	synctest.Wait()
}

func (p *pursuit) serves(ref gateway.Ref) bool {
	_, ok := p.trail.Snapshot().State.Get(ref)
	return ok
}

func (p *pursuit) wants(revision int64, steps int) {
	p.t.Helper()
	if at := p.trail.Progress(); at.Revision != revision || len(p.steps) != steps {
		p.t.Errorf("revision %d after %d steps, want %d after %d: %v", at.Revision, len(p.steps), revision, steps, at.Findings)
	}
}

func revocation(id string) gateway.Entity {
	return backuptest.Entity(gateway.Revocation, id, `{"at":"2026-02-03T04:05:06Z"}`)
}

// TestTrail: changes are followed along the log, without reading everything again, and what time it shows grows with it.
func TestTrail(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := pursue(t, w)
		read := p.packs.Load()
		dead := revocation("0123456789abcdef")
		p.later(p.put("a"), p.put("b"), func() { p.gateway.Put(dead) })
		p.wants(4, 2)
		if last := p.steps[1]; len(last.Changes) != 3 || !p.serves(setting("b")) || !p.serves(dead.Ref) {
			t.Errorf("step %+v", last)
		}
		p.later(p.remove(setting("a")))
		p.wants(5, 3)
		if p.serves(setting("a")) {
			t.Error("a deletion was not followed")
		}
		time.Sleep(time.Hour) // heartbeats, and points
		p.wants(5, 3)
		if at := p.trail.Progress(); time.Since(at.Time) > 2*time.Minute || len(at.Findings) > 0 {
			t.Errorf("an hour later: %+v", at)
		}
		if n := p.packs.Load(); n != read {
			t.Errorf("packs were read %d times more", n-read)
		}
	})
}

// TestTrailLocationsDie: one that refuses, and one that hangs, are in nobody's way; they are followed when they are back.
func TestTrailLocationsDie(t *testing.T) {
	for name, fault := range map[string]func(context.Context, string, string) error{
		"dead": backuptest.Dead,
		"hangs": func(ctx context.Context, _, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *world) {
				p := pursue(t, w)
				p.memories[0].Break(fault)
				p.later(p.put("a"))
				p.later()
				p.wants(2, 2)
				w.wantFinding(p.trail.Progress().Findings, "local", "")
				p.memories[0].Break(nil)
				time.Sleep(time.Minute)
				p.later(p.put("b"))
				p.wants(3, 3)
				if at := p.trail.Progress(); len(at.Findings) > 0 {
					t.Errorf("findings %v", at.Findings)
				}
			})
		})
	}
}

// TestTrailForged: a segment that is damaged everywhere, or a stranger's, changes nothing and is said, once; when it is
// mended, it is followed.
func TestTrailForged(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := pursue(t, w)
		p.later(p.put("a"))
		p.follower()
		p.follower = func() {}
		name := p.segments()[len(p.segments())-1]
		lineage := path.Dir(path.Dir(name))
		var genuine []byte
		end := p.followOn(w.keys, w.copies)
		p.put("b")()
		synctest.Wait()
		end()
		left := p.segments()
		next := left[slices.Index(left, name)+1]
		if !strings.HasPrefix(next, lineage) {
			t.Fatalf("segment %s does not follow %s", next, name)
		}
		for _, m := range p.memories {
			genuine = m.Objects()[next]
			forged := slices.Clone(genuine)
			forged[len(forged)/3] ^= 1
			m.Set(next, append(forged, 0)) // another size, as the fake's clock stands
		}
		p.later()
		p.wants(2, 2)
		w.wantFinding(p.trail.Progress().Findings, "log", "does not lead on")
		for _, m := range p.memories {
			m.Set(next, genuine)
		}
		time.Sleep(time.Minute)
		p.later()
		p.wants(3, 3)
	})
}

// TestTrailNeverBack: whatever is deleted at the locations, what is served stays.
func TestTrailNeverBack(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := pursue(t, w)
		p.later(p.put("a"), p.put("b"))
		p.follower()
		p.follower = func() {}
		for _, m := range p.memories {
			for name := range m.Objects() {
				if strings.Contains(name, "/log/") {
					m.Set(name, nil)
				}
			}
		}
		p.later()
		time.Sleep(5 * time.Minute)
		p.wants(3, 2)
		if !p.serves(setting("b")) {
			t.Error("it went back")
		}
	})
}

// TestTrailEmptied: a gateway that lost all its routes is not followed there, but what it revoked is.
func TestTrailEmptied(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		p := pursue(t, w)
		refs := exportOf(t, w.gateway).State.Refs()
		dead := revocation("0123456789abcdef")
		p.later(func() { p.gateway.Put(dead) }, p.remove(refs...))
		for _, ref := range refs {
			if !p.serves(ref) {
				t.Errorf("%s is gone", ref)
			}
		}
		if !p.serves(dead.Ref) {
			t.Error("a revocation is unknown")
		}
		w.wantFinding(p.trail.Progress().Findings, "log", "without routes")
		time.Sleep(time.Hour) // and points of it
		p.later()
		if !hasRoutes(p.trail.Snapshot().State) {
			t.Error("routes are gone an hour later")
		}
	})
}
