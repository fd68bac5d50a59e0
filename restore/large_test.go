package restore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
	"gwdr/gateway/native"
	"gwdr/gateway/proxy"
	"gwdr/gateway/store"
)

// largest is a document of the size that an entity may have at most, of which nothing can be left out.
func largest(seed byte) gateway.Entity {
	e := gateway.Entity{Ref: gateway.Ref{Kind: gateway.Spec, ID: "large"}, Body: make([]byte, gateway.MaxBody)}
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(e.Body) // never fails
	return e
}

// TestLargestSpec takes the largest document through admin API, store, data plane, watch, backup and restore: not a byte is another, be it
// in the state or in a change.
func TestLargestSpec(t *testing.T) {
	w := newWorld(t)
	_, client, stop := controlPlane(t, store.Options{Dir: t.TempDir()})
	t.Cleanup(stop)
	putLarge(t, client, largest(1))
	data := following(t, client)
	awaitLarge(t, data, largest(1)) // from the state
	putLarge(t, client, largest(2))
	awaitLarge(t, data, largest(2)) // from the watch

	job := backup.Job{Source: client, Gateway: "test", Copies: w.copies, Keys: w.keys, Policy: backuptest.Policy(), Spool: w.spool, Tool: "test"}
	if _, err := backup.Take(t.Context(), job); err != nil {
		t.Fatal(err)
	}
	_, fresh, stopFresh := controlPlane(t, store.Options{Dir: t.TempDir()})
	t.Cleanup(stopFresh)
	w.restore.Target = fresh
	w.run()
	got, err := fresh.Get(t.Context(), largest(2).Ref)
	if err != nil || !bytes.Equal(got.Body, largest(2).Body) {
		t.Errorf("restored: %d bytes, SHA-256 %x, %v", len(got.Body), sha256.Sum256(got.Body), err)
	}
}

// TestLargestChange: the log of changes holds such a document, too.
func TestLargestChange(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.followed(func() { w.gateway.Put(largest(1)) })
		want := exportOf(t, w.gateway).State
		w.gateway.Wipe()
		if _, res := w.run(); res.Actual != want.Digest() {
			t.Errorf("result %+v", res)
		}
	})
}

func putLarge(t *testing.T, client *native.Client, e gateway.Entity) {
	t.Helper()
	if _, err := client.Put(t.Context(), e, gateway.Condition{}); err != nil {
		t.Fatal(err)
	}
}

// following returns a data plane of the control plane.
func following(t *testing.T, client *native.Client) *proxy.Gateway {
	t.Helper()
	data, err := proxy.New(proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { data.Follow(ctx, client) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if err := data.Close(); err != nil {
			t.Error(err)
		}
	})
	return data
}

// awaitLarge waits until the data plane has the entity.
func awaitLarge(t *testing.T, g *proxy.Gateway, e gateway.Entity) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for {
		_, state := g.State()
		got, _ := state.Get(e.Ref)
		if bytes.Equal(got, e.Body) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the data plane has %d other bytes", len(got))
		case <-time.After(10 * time.Millisecond):
		}
	}
}
