package probes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// plane is a control plane in memory: what it has of each object, and how it behaves.
type plane struct {
	mu      sync.Mutex
	service time.Duration
	fault   func(ctx context.Context) error // nil is none
	objects map[objectID]int64
	revoked map[string]bool
	busy    map[string]bool
	made    []Change
	clash   []string // objects with two changes in flight
}

func newPlane(service time.Duration) *plane {
	return &plane{service: service, objects: map[objectID]int64{}, revoked: map[string]bool{}, busy: map[string]bool{}}
}

func (p *plane) Make(ctx context.Context, c Change) error {
	p.mu.Lock()
	p.made = append(p.made, c)
	if p.busy[c.ID] {
		p.clash = append(p.clash, c.ID)
	}
	p.busy[c.ID] = true
	fault := p.fault
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.busy[c.ID] = false
	}()
	time.Sleep(p.service)
	if fault != nil {
		return fault(ctx)
	}
	p.apply(c)
	return nil
}

func (p *plane) apply(c Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch key := (objectID{c.Kind, c.ID}); {
	case c.Kind == RevokeChange:
		p.revoked[c.ID] = true
	case c.Delete:
		delete(p.objects, key)
	default:
		p.objects[key] = c.Seq
	}
}

func (p *plane) set(fault func(context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = fault
}

func (p *plane) Observe(_ context.Context, region string, changes []Change) ([]Observation, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := map[objectID]Observation{}
	for _, c := range changes {
		key := objectID{c.Kind, c.ID}
		if c.Kind == RevokeChange {
			key.kind = KeyChange
		}
		v := p.objects[key]
		seen[key] = Observation{Region: region, Kind: key.kind, ID: key.id, Version: v, Data: v, Revoked: p.revoked[key.id],
			Refused: v == 0 || p.revoked[key.id]}
	}
	return slices.Collect(maps.Values(seen)), nil
}

func (p *plane) Regions(context.Context) ([]string, error)      { return []string{"us-east"}, nil }
func (p *plane) Digest(context.Context, string) (string, error) { return "", nil }
func refuse(context.Context) error                              { return syscall.ECONNREFUSED }
func follower(context.Context) error                            { return &RejectedError{errors.New("takes no writes")} }
func unavailable(context.Context) error                         { return errors.New("status is 503") }
func hung(ctx context.Context) error                            { <-ctx.Done(); return ctx.Err() }

// disk is an Intent that keeps what was synced, and takes so long to sync.
type disk struct {
	pending, safe bytes.Buffer
	sync          time.Duration
	err           error
	mu            sync.Mutex
}

func (d *disk) Write(p []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.pending.Write(p)
}

func (d *disk) Sync() error {
	time.Sleep(d.sync)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pending.WriteTo(&d.safe)
	return d.err
}

// intents returns the changes that are safe, by Seq.
func (d *disk) intents(t *testing.T) map[int64]Entry {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	all := map[int64]Entry{}
	for line := range bytes.Lines(d.safe.Bytes()) {
		var e Entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		all[e.Change.Seq] = e
	}
	return all
}

// book is a ledger at work, with what it said.
type book struct {
	*Ledger
	disk    *disk
	entries []Entry
	samples []Sample
}

func newBook(p *plane) *book {
	b := &book{disk: &disk{}}
	b.Ledger = &Ledger{
		T0: time.Now(), Admin: p, Prefix: "made-by-", Every: 40 * ms, Timeout: time.Second, Intent: b.disk,
		Out:    func(e Entry) { b.entries = append(b.entries, e) },
		Sample: func(s Sample) { b.samples = append(b.samples, s) },
	}
	return b
}

// run runs the ledger for so long; at calls the functions at their times.
func (b *book) run(t *testing.T, length time.Duration, at map[time.Duration]func()) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	for when, do := range at {
		time.AfterFunc(when, do)
	}
	if err := b.Run(ctx); err != nil {
		t.Error(err)
	}
}

func tally(entries []Entry) map[string]int {
	n := map[string]int{}
	for _, e := range entries {
		name := string(e.Change.Kind)
		if e.Change.Delete {
			name = "delete " + name
		}
		n[name+" "+string(e.Result)]++
	}
	return n
}

func TestLedgerMakesChangesOfAllKindsOnSchedule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(5 * ms)
		b := newBook(p)
		b.run(t, 20*time.Second, nil)
		got := tally(b.entries)
		for name, least := range map[string]int{
			"route acked": 90, "delete route acked": 20, "spec acked": 90, "delete spec acked": 20, "key acked": 150, "revoke acked": 70,
		} {
			if got[name] < least {
				t.Errorf("%s: %d, want at least %d of %v", name, got[name], least, got)
			}
		}
		if len(got) != 6 || len(b.entries) != 500 || len(b.samples) != 500 {
			t.Errorf("%d entries, %d samples, %v; want 500, all acked", len(b.entries), len(b.samples), got)
		}
		if e := EstimateOutage(b.Series(), b.samples, Window{Inject: 10 * time.Second, Stable: stable}); e.RTA.Impact != NoImpact || !e.RTA.Recovered {
			t.Errorf("%+v, want no impact", e.RTA)
		}
	})
}

func TestAStoppedLedgerSendsNothingMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(5 * ms)
		b := newBook(p)
		sent := 0
		b.run(t, 4*time.Second, map[time.Duration]func(){2 * time.Second: func() {
			b.Stop()
			p.mu.Lock()
			sent = len(p.made)
			p.mu.Unlock()
		}})
		if sent == 0 || len(p.made) != sent || len(b.samples) != sent {
			t.Errorf("%d changes sent until it was stopped, %d in all, %d attempts", sent, len(p.made), len(b.samples))
		}
		if last := b.entries[len(b.entries)-1]; len(b.entries) != sent+1 || !last.Unsent() {
			t.Errorf("%d entries after %d changes, the last is %+v; want one that was prepared and not sent", len(b.entries), sent, last)
		}
	})
}

func TestIntentIsSafeBeforeAChangeIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(ms)
		b := newBook(p)
		b.disk.sync = 30 * ms
		early := 0
		p.set(func(context.Context) error {
			safe := b.disk.intents(t)
			for _, c := range p.made {
				if safe[c.Seq].Change != c {
					early++
				}
			}
			return nil
		})
		b.run(t, 2*time.Second, nil)
		if early > 0 || len(p.made) != 50 {
			t.Errorf("%d of %d changes were sent before their intent was safe", early, len(p.made))
		}
		for _, s := range b.samples {
			if s.Class != OK || s.Sent != s.Due {
				t.Fatalf("%+v, want sent when due: the disk may not delay it", s)
			}
		}
	})
}

func TestAChangeWhoseIntentIsNotSafeIsNotSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(ms)
		b := newBook(p)
		b.disk.err = syscall.ENOSPC
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Run(ctx); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("err = %v, want ENOSPC", err)
		}
		slow := newBook(p)
		slow.disk.sync = 90 * ms
		slow.run(t, time.Second, nil)
		for _, e := range slices.Concat(b.entries, slow.entries) {
			if e.Result != Rejected {
				t.Fatalf("%+v, want rejected", e)
			}
		}
		for _, s := range slices.Concat(b.samples, slow.samples) {
			if s.Class != Unknown {
				t.Fatalf("%+v, want unknown", s)
			}
		}
		if len(p.made) != 0 || len(b.entries) != 25 || len(slow.entries) != 25 {
			t.Errorf("%d changes were sent of %d", len(p.made), len(b.entries)+len(slow.entries))
		}
	})
}

func TestResultsAndClassesOfChanges(t *testing.T) {
	for name, c := range map[string]struct {
		fault func(context.Context) error
		want  Result
		class Class
	}{
		"acknowledged":    {nil, Acked, OK},
		"refused":         {refuse, Indeterminate, FailRefused},
		"hung":            {hung, Indeterminate, FailTimeout},
		"unavailable":     {unavailable, Indeterminate, FailStatus},
		"a follower's":    {follower, Rejected, FailStatus},
		"wrapped reset":   {func(context.Context) error { return fmt.Errorf("put: %w", syscall.ECONNRESET) }, Indeterminate, FailReset},
		"never connected": {func(context.Context) error { return &RejectedError{syscall.ECONNREFUSED} }, Rejected, FailRefused},
	} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlane(ms)
			p.set(c.fault)
			b := newBook(p)
			b.run(t, time.Second, nil)
			if len(b.entries) != 25 {
				t.Errorf("%s: %d changes, want 25 whatever became of them", name, len(b.entries))
			}
			for i, e := range b.entries {
				if e.Result != c.want || b.samples[i].Class != c.class || b.samples[i].Seq+1 != e.Change.Seq {
					t.Fatalf("%s: %+v, %+v; want %s, %s", name, e, b.samples[i], c.want, c.class)
				}
			}
		})
	}
}

// TestWhatTheLedgerNeverDoes runs it through faults and checks its promises over all that it did: when changes overlap,
// and when each fails alone.
func TestWhatTheLedgerNeverDoes(t *testing.T) {
	for _, service := range []time.Duration{ms, 70 * ms} {
		synctest.Test(t, func(t *testing.T) {
			p := newPlane(service)
			b := newBook(p)
			faults := map[time.Duration]func(){}
			for i, fault := range []func(context.Context) error{hung, follower, unavailable, refuse, unavailable, follower} {
				begin := time.Duration(6*i+2) * time.Second
				faults[begin] = func() { p.set(fault) }
				faults[begin+time.Second] = func() { p.set(nil) }
				faults[begin+5*time.Second] = func() { p.set(failOnce(p, fault)) }
			}
			b.run(t, 40*time.Second, faults)
			if len(p.clash) > 0 {
				t.Errorf("two changes in flight of %v", p.clash)
			}
			checkLives(t, b.entries)
			if n := tally(b.entries); n["revoke acked"] < 20 || n["delete route acked"] < 5 {
				t.Errorf("%v: the faults stopped it", n)
			}
		})
	}
}

// failOnce fails one change, and is over.
func failOnce(p *plane, fault func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		p.set(nil)
		return fault(ctx)
	}
}

// checkLives checks that each object begins by being made, and ends with its delete, its revocation or the first change
// that was not acknowledged.
func checkLives(t *testing.T, entries []Entry) {
	t.Helper()
	type life struct{ created, over bool }
	lives := map[string]*life{}
	slices.SortFunc(entries, func(a, b Entry) int { return int(a.Change.Seq - b.Change.Seq) })
	for _, e := range entries {
		l := lives[e.Change.ID]
		if l == nil {
			l = &life{}
			lives[e.Change.ID] = l
		}
		if l.over {
			t.Errorf("%+v: its object was deleted, revoked or not known to be as it was", e)
		}
		if !l.created && (e.Change.Delete || e.Change.Kind == RevokeChange) {
			t.Errorf("%+v: its object was never acknowledged", e)
		}
		l.created = true
		l.over = e.Result != Acked || e.Change.Delete || e.Change.Kind == RevokeChange
	}
}

func TestObjectsAreLeftAloneAfterACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(70 * ms)
		b := newBook(p)
		var cut, returned time.Duration
		b.run(t, 10*time.Second, map[time.Duration]func(){5 * time.Second: func() {
			cut = time.Since(b.T0)
			if err := b.Cut(t.Context()); err != nil {
				t.Error(err)
			}
			returned = time.Since(b.T0)
		}})
		before, later := map[string]bool{}, 0
		for _, e := range b.entries {
			if e.Sent < cut+freeze {
				before[e.Change.ID] = true
			} else if e.Change.Delete {
				later++
			}
		}
		for _, e := range b.entries {
			if e.Sent > returned && before[e.Change.ID] && e.Change.ID != fmt.Sprint("made-by-", e.Change.Seq) {
				t.Errorf("%+v changes an object from before the cut", e)
			}
		}
		if returned <= cut || later == 0 {
			t.Errorf("cut at %v returned at %v, %d deletes later", cut, returned, later)
		}
	})
}

func TestCutEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(ms)
		p.set(hung)
		b := newBook(p)
		b.run(t, time.Second, map[time.Duration]func(){500 * ms: func() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*ms)
			defer cancel()
			if err := b.Cut(ctx); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("err = %v, want the deadline", err)
			}
		}})
	})
}

func TestLedgerThroughAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlane(2 * ms)
		b := newBook(p)
		inject := 5 * time.Second
		b.run(t, 12*time.Second, map[time.Duration]func(){
			inject:          func() { p.set(refuse) },
			7 * time.Second: func() { p.set(nil) },
		})
		e := EstimateOutage(b.Series(), b.samples, Window{Inject: inject, Stable: stable})
		if truth := 2 * time.Second; !e.RTA.Recovered || truth < e.RTA.Low || truth > e.RTA.High {
			t.Errorf("RTA %+v, want 2s inside", e.RTA)
		}
		var changes []Change
		for _, i := range b.disk.intents(t) {
			changes = append(changes, i.Change)
		}
		observations, err := p.Observe(t.Context(), "us-east", changes)
		if err != nil {
			t.Fatal(err)
		}
		l := EstimateLoss(b.entries, observations, inject)
		want := "0 of 187 acknowledged changes lost (loss fraction < 3/187 = 1.6% at 95 %); 63 more made and deleted again, which leaves nothing to see"
		if l.Statement != want || l.Indeterminate != 50 || l.RPA != (RPA{}) || l.Items != nil {
			t.Errorf("%s\n%+v", cmp.Diff(want, l.Statement), l)
		}
	})
}

func TestUnusableLedger(t *testing.T) {
	if err := (&Ledger{Every: time.Second}).Run(t.Context()); err == nil {
		t.Error("a ledger without admin and intent ran")
	}
}
