package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/gateway"
)

// plane is a control plane in memory: a state, its history, and those that watch it.
type plane struct {
	mu       sync.Mutex
	store    string
	revision int64
	state    *gateway.State
	log      []gateway.Batch
	moved    chan struct{} // closed when something happens
	down     bool          // answers nothing; breaks watches
	mute     bool          // watches stay, but say nothing
	states   int           // how often the state was read
	oldest   int64         // watches from before it are compacted
}

func newPlane(entities ...gateway.Entity) *plane {
	return &plane{store: "a", revision: 1, state: gateway.NewState(entities...)}
}

// change alters the plane and wakes those that watch.
func (p *plane) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
	close(p.moved)
	p.moved = make(chan struct{})
}

func (p *plane) apply(changes ...gateway.Change) {
	p.change(func() {
		p.revision++
		for _, c := range changes {
			p.state.Apply(c)
		}
		p.log = append(p.log, gateway.Batch{Revision: p.revision, Changes: changes})
	})
}

func (p *plane) State(context.Context) (gateway.Header, *gateway.State, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.states++
	if p.down {
		return gateway.Header{}, nil, errors.New("connection refused")
	}
	return gateway.Header{Store: p.store, Revision: p.revision}, p.state.Clone(), nil
}

func (p *plane) Follow(ctx context.Context, store string, from int64, each func(gateway.Batch) error) error {
	for {
		p.mu.Lock()
		moved, down, mute, lost := p.moved, p.down, p.mute, from < p.oldest || store != p.store
		var news []gateway.Batch
		for _, b := range p.log {
			if b.Revision > from {
				news = append(news, b)
			}
		}
		heartbeat := gateway.Batch{Revision: p.revision}
		p.mu.Unlock()
		switch {
		case down:
			return errors.New("watch is over")
		case lost:
			return gateway.ErrCompacted
		}
		for _, b := range append(news, heartbeat) {
			if mute {
				break
			}
			if err := each(b); err != nil {
				return err
			}
			from = b.Revision
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-moved:
		case <-time.After(time.Second):
		}
	}
}

// follow runs Follow in a bubble of simulated time, where synctest.Wait waits until all is done.
func follow(t *testing.T, p *plane, test func(t *testing.T, g *Gateway)) {
	synctest.Test(t, func(t *testing.T) {
		p.moved = make(chan struct{}) // of this bubble
		g := newGateway(t, Options{})
		ctx, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		done.Go(func() { g.Follow(ctx, p) })
		synctest.Wait()
		test(t, g)
		cancel()
		done.Wait()
	})
}

func expectSame(t *testing.T, g *Gateway, p *plane) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := g.Status(); s.Digest != p.state.Digest() || s.Store != p.store || s.Revision != p.revision {
		t.Errorf("serves %s at %d %v %s, want %s at %d", s.Store, s.Revision, s.Counts, s.Rejected, p.store, p.revision)
	}
}

func TestFollowServesChangesAtOnceAndGathersThem(t *testing.T) {
	p := newPlane(upstreamOf("u"))
	follow(t, p, func(t *testing.T, g *Gateway) {
		expectSame(t, g, p)
		time.Sleep(time.Minute)
		p.apply(put(open("r", "/r", "u")))
		synctest.Wait()
		expectSame(t, g, p) // no time has passed
		first := g.live.Load()
		for i := range 100 {
			p.apply(put(open(fmt.Sprint(i), "/r", "u")))
			synctest.Wait()
		}
		if g.live.Load() != first {
			t.Error("changes in quick succession were not gathered")
		}
		time.Sleep(gather)
		synctest.Wait()
		expectSame(t, g, p)
		if p.states != 1 {
			t.Errorf("the whole state was read %d times", p.states)
		}
	})
}

func TestFollowComesBack(t *testing.T) {
	for name, c := range map[string]struct {
		fault, heal func(p *plane)
		within      time.Duration
	}{
		"down":      {func(p *plane) { p.down = true }, func(p *plane) { p.down = false }, backoffMax},
		"silent":    {func(p *plane) { p.mute = true }, func(p *plane) { p.mute = false }, 2 * time.Second},
		"compacted": {func(p *plane) { p.oldest = 100 }, func(p *plane) { p.oldest = 0 }, backoffMax},
		"wiped and restored": {func(p *plane) { p.store, p.state = "", gateway.NewState() }, func(p *plane) {
			p.store, p.revision = "b", 1
			p.state = gateway.NewState(upstreamOf("u"), open("r", "/r", "u"))
		}, backoffMax},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlane(upstreamOf("u"), open("r", "/r", "u"))
			follow(t, p, func(t *testing.T, g *Gateway) {
				before := g.Status()
				p.change(func() {
					c.fault(p)
					p.log = nil
					if name == "wiped and restored" {
						p.down = true // the process ended, too
					}
				})
				time.Sleep(100 * time.Millisecond)
				p.change(func() { p.down = p.down && name == "down" })
				time.Sleep(time.Minute)
				if s := g.Status(); s.Digest != before.Digest || !s.Ready {
					t.Errorf("meanwhile %+v is served", s)
				} else if gone := name != "compacted"; !*before.Following || *s.Following == gone {
					t.Errorf("follows: before %v, meanwhile %v", *before.Following, *s.Following)
				}
				p.change(func() { c.heal(p) })
				p.apply(put(open("late", "/late", "u")))
				time.Sleep(c.within)
				synctest.Wait()
				expectSame(t, g, p)
				if s := g.Status(); s.Rejected != "" || !*s.Following {
					t.Errorf("still says %q, follows %v", s.Rejected, *s.Following)
				}
			})
		})
	}
}

// TestFollowFillsNoLog: a control plane that is gone for long is told of once a minute.
func TestFollowFillsNoLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane()
		p.moved, p.down = make(chan struct{}), true
		var log strings.Builder
		g := newGateway(t, Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute-time.Second)
		defer cancel()
		g.Follow(ctx, p)
		if told := strings.Count(log.String(), "connection refused"); told != 10 {
			t.Errorf("told %d times in ten minutes:\n%s", told, log.String())
		}
	})
}

// TestFollowGoesOnWhereItWas: a watch that breaks costs what was changed meanwhile, and not the whole state.
func TestFollowGoesOnWhereItWas(t *testing.T) {
	p := newPlane(upstreamOf("u"), open("r", "/r", "u"))
	follow(t, p, func(t *testing.T, g *Gateway) {
		for i, f := range []func(broken bool){
			func(broken bool) { p.down = broken },
			func(broken bool) { p.mute = broken },
			func(broken bool) { p.down = broken },
		} {
			p.change(func() { f(true) })
			time.Sleep(10 * time.Second)
			p.apply(put(open(fmt.Sprint(i), "/"+fmt.Sprint(i), "u")))
			time.Sleep(10 * time.Second)
			if *g.Status().Following {
				t.Errorf("%d: it says that it follows", i)
			}
			p.change(func() { f(false) })
			time.Sleep(2 * time.Second)
			synctest.Wait()
			expectSame(t, g, p)
			if !*g.Status().Following {
				t.Errorf("%d: it says that it does not follow", i)
			}
		}
		if p.states != 1 {
			t.Errorf("the whole state was read %d times", p.states)
		}
		p.change(func() { p.oldest, p.log, p.down = p.revision+1, nil, true })
		time.Sleep(time.Second)
		p.apply(put(open("late", "/late", "u")))
		p.change(func() { p.log, p.down = nil, false })
		time.Sleep(time.Second)
		expectSame(t, g, p)
		if p.states != 2 {
			t.Errorf("compacted, the whole state was read %d times", p.states)
		}
	})
}

func TestFollowABadConfigurationUntilItIsMended(t *testing.T) {
	p := newPlane(upstreamOf("u"), open("r", "/r", "u"))
	follow(t, p, func(t *testing.T, g *Gateway) {
		before := g.Status().Digest
		p.apply(put(open("bad", "/bad", "nowhere")))
		time.Sleep(time.Minute)
		p.apply(put(open("more", "/more", "u")))
		time.Sleep(time.Minute)
		if s := g.Status(); s.Digest != before || s.Rejected == "" {
			t.Errorf("serves %+v", s)
		}
		p.apply(remove(open("bad", "", "")))
		time.Sleep(gather)
		synctest.Wait()
		expectSame(t, g, p)
		if p.states != 1 {
			t.Errorf("the whole state was read %d times", p.states)
		}
	})
}
