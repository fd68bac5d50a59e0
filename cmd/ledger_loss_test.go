package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
	"gwdr/probes"
)

// told is a change that reached a gateway, and whether it was acknowledged.
type told struct {
	gateway.Change
	acked, doomed bool // doomed: it is rolled back later
}

// rolled is a gateway that goes down once it has acknowledged so many changes after its snapshot, and comes back as that
// snapshot. Some of its answers are lost on the way, with or without the change. Its journal is the truth, which gwdr never sees.
type rolled struct {
	*gatewaytest.Gateway
	mu       sync.Mutex
	random   *rand.Rand
	before   int // changes until the snapshot
	doomed   int // acknowledged changes that are left until it goes down
	down     int // changes that it is down for
	snapshot *gateway.State
	journal  []told
	unknown  map[gateway.Ref]bool // deletes without a clear answer: what is absent after one is no loss that anybody can know
	inject   time.Time
}

func (r *rolled) Apply(ctx context.Context, changes []gateway.Change) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.snapshot == nil && r.before == 0 {
		r.snapshot = export(r.Gateway).State
	}
	t := told{Change: changes[0], doomed: r.snapshot != nil && r.down > 0}
	take := r.take
	if t.doomed && r.doomed == 0 {
		take = r.refuse
	}
	err := take(ctx, t)
	if t.Op == gateway.Delete && err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
		r.unknown[t.Entity.Ref] = true
	}
	return err
}

// refuse answers nothing, and rolls back in the end.
func (r *rolled) refuse(ctx context.Context, t told) error {
	if r.inject.IsZero() {
		r.inject = time.Now()
	}
	if r.random.IntN(4) == 0 { // made, and nobody knows
		if err := r.Gateway.Apply(ctx, []gateway.Change{t.Change}); err != nil {
			return err
		}
		r.journal = append(r.journal, t)
		if r.down > 1 {
			r.down--
			return syscall.ECONNRESET
		}
	}
	if r.down--; r.down == 0 {
		if err := r.Gateway.Apply(ctx, gateway.Diff(export(r.Gateway).State, r.snapshot)); err != nil {
			return err
		}
	}
	return [...]error{syscall.ECONNREFUSED, syscall.ECONNRESET, errors.New("status is 503")}[r.random.IntN(3)]
}

func (r *rolled) take(ctx context.Context, t told) error {
	fate := r.random.IntN(400) // seldom: whatever is not acknowledged makes the ledger leave its objects alone
	if fate == 0 {
		return syscall.ECONNRESET // on the way to the gateway
	}
	if err := r.Gateway.Apply(ctx, []gateway.Change{t.Change}); err != nil {
		return err
	}
	if t.acked = fate != 1; t.acked && t.doomed {
		r.doomed--
	} else if t.acked && r.before > 0 {
		r.before--
	}
	r.journal = append(r.journal, t)
	if !t.acked {
		return syscall.ECONNRESET // on the way back
	}
	return nil
}

func export(g *gatewaytest.Gateway) *gateway.Export {
	e, err := g.Export(context.Background())
	if err != nil {
		panic(err) // nobody told it to fail
	}
	return e
}

// lost says what became of each acknowledged change that was rolled back, by what the gateway holds in the end.
func (r *rolled) lost() (all []string) {
	final := export(r.Gateway).State
	ids := map[string]string{} // of keys: the ledger's, by the gateway's
	last := map[gateway.Ref]told{}
	for _, t := range r.journal {
		if mark, ok := readLedgerMark(t.Entity.Kind, t.Entity.Body); ok && t.Entity.Kind == gateway.Key {
			ids[t.Entity.ID] = mark.ID
		}
		if t.acked {
			last[t.Entity.Ref] = t
		}
	}
	for _, t := range r.journal {
		body, there := final.Get(t.Entity.Ref)
		end := last[t.Entity.Ref]
		intact := (end.Op == gateway.Delete || r.unknown[t.Entity.Ref]) && !there || end.Op != gateway.Delete && there && bytes.Equal(body, end.Entity.Body)
		if !t.acked || !t.doomed || intact {
			continue
		}
		class, kind, id := "stale", string(t.Entity.Kind), t.Entity.ID
		if !there {
			class = "lost"
		}
		if t.Entity.Kind == gateway.Revocation {
			kind, id = "revoke", ids[id]
			if _, alive := final.Get(gateway.Ref{Kind: gateway.Key, ID: t.Entity.ID}); alive {
				class = "resurrected"
			}
		}
		if t.Entity.Kind == gateway.Key {
			id = ids[id]
		}
		mark, _ := readLedgerMark(t.Entity.Kind, t.Entity.Body) // a delete has none
		all = append(all, fmt.Sprint(class, " ", kind, " ", id, " ", mark.Version))
	}
	slices.Sort(all)
	return all
}

// found is what gwdr says, in the same words.
func found(l probes.Loss, entries []probes.Entry) (all []string) {
	deletes := map[int64]bool{}
	for _, e := range entries {
		deletes[e.Change.Seq] = e.Change.Delete
	}
	for _, i := range l.Items {
		if i.Class == probes.Recovered {
			continue
		}
		version := i.Seq
		if deletes[i.Seq] {
			version = 0
		}
		all = append(all, fmt.Sprint(i.Class, " ", i.Kind, " ", i.ID, " ", version))
	}
	slices.Sort(all)
	return all
}

// byKind counts lines of lost and found by kind.
func byKind(lines []string) string {
	n := map[string]int{}
	for _, line := range lines {
		n[strings.Fields(line)[1]]++
	}
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(n)) {
		parts = append(parts, fmt.Sprint(n[kind], " ", kind))
	}
	return strings.Join(parts, " ")
}

// TestForcedLossThroughAnyDriver rolls a gateway back by a known number of acknowledged changes, of every kind, and finds
// exactly those: by count, by id, and by what became of them. Changes without an answer are never among them.
func TestForcedLossThroughAnyDriver(t *testing.T) {
	for seed := range uint64(16) {
		random := rand.New(rand.NewPCG(seed, 5))
		forced := random.IntN(150)
		if seed == 0 {
			forced = 0
		}
		synctest.Test(t, func(t *testing.T) {
			r := &rolled{Gateway: gatewaytest.New(), random: random, unknown: map[gateway.Ref]bool{}, before: 400 + random.IntN(400), doomed: forced, down: 20}
			r.Put(gateway.Entity{Ref: gateway.Ref{Kind: gateway.Upstream, ID: "echo"}, Body: []byte(`{"endpoints":[]}`)})
			entries, l := runLedger(t, r)
			truth, got := r.lost(), found(l, entries)
			if diff := cmp.Diff(truth, got); diff != "" {
				t.Errorf("seed %d, forced %d (-truth +found):\n%s", seed, forced, diff)
			}
			if n := l.Lost + l.Stale + l.Resurrected; n != len(truth) || l.Corrupt+l.Phantom+l.Duplicate+l.Unread > 0 {
				t.Errorf("seed %d: %+v, want %d", seed, l, len(truth))
			}
			acked, doomed := 0, 0
			for _, j := range r.journal {
				if j.acked {
					acked++
				}
				if j.acked && j.doomed {
					doomed++
				}
			}
			if doomed != forced || acked != l.Acked {
				t.Errorf("seed %d: rolled back %d of %d acknowledged, want %d of %d", seed, doomed, acked, forced, l.Acked)
			}
			if forced == 0 && !strings.HasPrefix(l.Statement, "0 of ") {
				t.Error(l.Statement)
			}
			t.Logf("forced %d lost of %d acknowledged, %d of them made and deleted again (%s): found %d, ids equal; indeterminate %d, rejected %d",
				forced, acked, forced-len(truth), byKind(truth), len(got), l.Indeterminate, l.Rejected)
		})
	}
}

// runLedger runs a ledger of all kinds against the target, and reads it back.
func runLedger(t *testing.T, r *rolled) ([]probes.Entry, probes.Loss) {
	t.Helper()
	admin := &ledgerAdmin{writer: &targetWriter{target: r}, upstream: "echo",
		regions: func(context.Context) (map[string]*ledgerRegion, error) {
			return map[string]*ledgerRegion{"here": {control: r}}, nil
		}}
	var entries []probes.Entry
	l := &probes.Ledger{T0: time.Now(), Admin: admin, Every: 20 * time.Millisecond, Kinds: probes.ChangeKinds(), Prefix: "ledger-test-",
		Intent: safe{}, Out: func(e probes.Entry) { entries = append(entries, e) }}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	var changes []probes.Change
	for _, e := range entries {
		changes = append(changes, e.Change)
	}
	seen, err := admin.Observe(t.Context(), "here", changes)
	if err != nil {
		t.Fatal(err)
	}
	return entries, probes.EstimateLoss(entries, seen, r.inject.Sub(l.T0))
}

// safe takes intents, and nothing can go wrong.
type safe struct{}

func (safe) Write(p []byte) (int, error) { return len(p), nil }
func (safe) Sync() error                 { return nil }
