package backup_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
)

// line is a gateway at the end of a line that can be cut.
type line struct {
	gatewaytest.Tracked
	mu  sync.Mutex
	cut error
	hot context.CancelCauseFunc // of the watch that is under way
}

var errCut = errors.New("connection refused")

// Cut breaks the line, nil mends it.
func (l *line) Cut(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = err
	if l.hot != nil && err != nil {
		l.hot(err)
	}
}

func (l *line) broken() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cut
}

func (l *line) Changes(ctx context.Context, store string, from int64, each func(gateway.Batch) error) (gateway.Header, error) {
	if err := l.broken(); err != nil {
		return gateway.Header{}, err
	}
	return l.Tracked.Changes(ctx, store, from, each)
}

func (l *line) Follow(ctx context.Context, store string, from int64, each func(gateway.Batch) error) error {
	if err := l.broken(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l.mu.Lock()
	l.hot = cancel
	l.mu.Unlock()
	err := l.Tracked.Follow(ctx, store, from, each)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return err
}

func (l *line) Stream(ctx context.Context, begin func(gateway.Header) error, each func(gateway.Entity) error) error {
	if err := l.broken(); err != nil {
		return err
	}
	return l.Tracked.Stream(ctx, begin, each)
}

// followed is a house whose gateway is followed.
type followed struct {
	*house
	t        *testing.T
	gateway  *line
	follower *backup.Follower
	backlog  int64
	mu       sync.Mutex
	events   []backup.Event
	cancel   context.CancelFunc
	done     chan error
}

func newFollowed(t *testing.T) *followed {
	h := newHouse(t)
	g := &line{Tracked: gatewaytest.Tracked{Gateway: gatewaytest.New(gatewaytest.Sample()...)}}
	h.job.Source = g
	h.job.Patience = 3 * time.Second
	return &followed{house: h, t: t, gateway: g}
}

// start begins to follow.
func (f *followed) start() {
	f.t.Helper()
	ctx, cancel := context.WithCancel(f.t.Context())
	f.follower = &backup.Follower{Job: f.job, MaxBacklog: f.backlog, Notify: func(e backup.Event) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.events = append(f.events, e)
	}}
	f.cancel, f.done = cancel, make(chan error, 1)
	go func() { f.done <- f.follower.Run(ctx) }()
	synctest.Wait()
}

// stop ends it, and returns what came of it.
func (f *followed) stop() error {
	f.cancel()
	return <-f.done
}

func (f *followed) change(i int) {
	f.gateway.Put(backuptest.Entity(gateway.Setting, fmt.Sprintf("changed-%d", i%50), fmt.Sprintf(`{"n":%d}`, i)))
	synctest.Wait()
}

// told returns the kinds of the events, in order.
func (f *followed) told() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var kinds []string
	for _, e := range f.events {
		kinds = append(kinds, strings.TrimSpace(string(e.Kind)+" "+e.Location))
	}
	return strings.Join(kinds, ", ")
}

// check makes sure that the newest point, with the log after it, is the gateway's state, as the copies have it.
func (f *followed) check(copies ...backup.Copy) *backup.Tail {
	f.t.Helper()
	if len(copies) == 0 {
		copies = f.job.Copies
	}
	state, tail := restored(f.t, copies, f.job.Keys)
	e, err := f.gateway.Export(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	if diff := gateway.Diff(state, e.State); len(diff) > 0 || tail.Stop != "" {
		f.t.Errorf("the log leads to revision %d, %d entities from the gateway's %d: %v; %s", tail.Revision, len(diff), e.Revision, refs(diff), tail.Stop)
	}
	return tail
}

func refs(changes []gateway.Change) (refs []string) {
	for _, c := range changes[:min(5, len(changes))] {
		refs = append(refs, string(c.Op)+" "+c.Entity.Ref.String())
	}
	return refs
}

func restored(t *testing.T, copies []backup.Copy, keys backup.Keys) (*gateway.State, *backup.Tail) {
	t.Helper()
	found, problems := backup.Find(t.Context(), copies, keys.Trusted)
	if len(found) == 0 || len(problems) > 0 {
		t.Fatalf("%d points, problems %v", len(found), problems)
	}
	state, _, err := backup.Load(t.Context(), found[0], copies, keys.Identities)
	if err != nil {
		t.Fatal(err)
	}
	tail, err := backup.ReadTail(t.Context(), found[0], copies, keys.Trusted, backup.TailBound{})
	if err != nil {
		t.Fatal(err)
	}
	tail.Replay(state, keys.Identities)
	return state, tail
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollowed(t)
		f.start()
		f.check()
		for i := range 20 {
			f.change(i)
			if s := f.follower.Status(); s.Backlog != 0 || s.Committed.Revision != int64(2+i) || s.Stalled != nil {
				t.Errorf("after change %d: %+v", i, s)
			}
		}
		if tail := f.check(); tail.Changes != 20 || tail.Segments != 20 {
			t.Errorf("tail %+v", tail)
		}
		for _, c := range f.job.Copies {
			f.check(c)
		}
		if err := f.stop(); err != nil {
			t.Error(err)
		}
		f.check()
		if got, want := f.told(), "lineage, point, point"; got != want {
			t.Errorf("told %s, want %s", got, want)
		}
	})
}

// TestHeartbeats: where nothing changes the log says so each minute, and there is a point a day.
func TestHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollowed(t)
		f.start()
		before := f.follower.Status().Log
		pass(10*time.Minute + time.Second)
		after := f.follower.Status()
		if n := after.Log.Seq - before.Seq; n != 10 || after.Lag > time.Second || after.Log.Time.Sub(before.Time) < 10*time.Minute {
			t.Errorf("%d segments in 10 minutes, lag %s", n, after.Lag)
		}
		if tail := f.check(); tail.Changes != 0 || tail.Segments != 10 || time.Since(tail.Time) > 2*time.Second {
			t.Errorf("tail %+v", tail)
		}
		pass(24 * time.Hour)
		if s := f.follower.Status(); s.Points != 2 {
			t.Errorf("%d points in a day without changes", s.Points)
		}
		if err := f.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestPointEvery: there is a point each quarter of an hour in which something changed.
func TestPointEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollowed(t)
		f.start()
		for i := range 8 {
			f.change(i)
			pass(7*time.Minute + 30*time.Second)
		}
		pass(time.Second)
		if s := f.follower.Status(); s.Points != 5 {
			t.Errorf("%d points in an hour, want 5", s.Points)
		}
		f.check()
		for _, p := range f.find(t) {
			f.load(t, p) // each is what its digest says
		}
		if err := f.stop(); err != nil {
			t.Error(err)
		}
	})
}

// TestGatewayAway: a gateway that is gone is tried again, and nothing is missed.
func TestGatewayAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollowed(t)
		f.gateway.Cut(errCut)
		f.start()
		pass(time.Hour)
		f.gateway.Cut(nil)
		pass(10 * time.Second)
		f.check()
		f.change(1)
		f.gateway.Cut(errCut)
		for i := range 10 {
			f.change(i)
		}
		pass(5 * time.Minute)
		if s := f.follower.Status(); s.Stalled == nil || s.Lag < 4*time.Minute {
			t.Errorf("a gateway is gone for 5 minutes: %+v", s)
		}
		f.gateway.Cut(nil)
		pass(6 * time.Second)
		if s := f.follower.Status(); s.Stalled != nil || s.Lag > 2*time.Second {
			t.Errorf("the gateway is back: %+v", s)
		}
		f.check()
		if err := f.stop(); err != nil {
			t.Error(err)
		}
		if got, want := f.told(), "stalled, lineage, resumed, point, stalled, resumed, point"; got != want {
			t.Errorf("told %s, want %s", got, want)
		}
	})
}

// TestForgotten: what the gateway does not remember is marked in the log, and a full point closes the gap.
func TestForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollowed(t)
		f.start()
		f.change(1)
		f.gateway.Cut(errCut)
		f.change(2)
		f.gateway.Forget()
		f.change(3)
		f.gateway.Cut(nil)
		pass(10 * time.Second)
		f.check()
		f.change(4)
		f.check()
		if err := f.stop(); err != nil {
			t.Error(err)
		}
		if got, want := f.told(), "lineage, point, stalled, gap, resumed, point, point"; got != want {
			t.Errorf("told %s, want %s", got, want)
		}
		found := f.find(t)
		first, err := backup.ReadTail(t.Context(), found[len(found)-1], f.job.Copies, f.job.Keys.Trusted, backup.TailBound{})
		if err != nil || !strings.Contains(first.Stop, "gap") || first.Revision != 2 {
			t.Errorf("the log crosses a gap: %+v, %v", first, err)
		}
	})
}

// TestNewStore: another store is another lineage.
func TestNewStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFollowed(t)
		f.start()
		f.change(1)
		first := f.follower.Status().Lineage
		f.gateway.Wipe()
		for i := range 5 {
			f.change(i)
			pass(2 * time.Second)
		}
		second := f.follower.Status().Lineage
		if first == second {
			t.Error("the lineage is the same")
		}
		f.check()
		f.change(7)
		f.check()
		if err := f.stop(); err != nil {
			t.Error(err)
		}
		if p := f.find(t)[0]; !strings.HasPrefix(p.Parent, first+"@") {
			t.Errorf("the parent is %s, not %s", p.Parent, first)
		}
	})
}

// pass lets the time pass, and then what is due by that moment happen.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
