package restore

import (
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"gwdr/gateway"
	"gwdr/gateway/admin"
	"gwdr/gateway/gatewaytest"
	"gwdr/gateway/native"
	"gwdr/gateway/store"
)

// controlPlane starts the bundled control plane and returns a client of it.
func controlPlane(t testing.TB, o store.Options) (*store.Store, *native.Client, func()) {
	t.Helper()
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer((&admin.Server{Store: s}).Handler())
	return s, &native.Client{URL: server.URL, HTTP: server.Client()}, func() {
		server.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestStoreWiped restores the bundled gateway after its store was taken away: it waits, blank, until the restore is done.
func TestStoreWiped(t *testing.T) {
	w := newWorld(t, gatewaytest.Sample()...)
	w.backup()
	folder := t.TempDir()
	_, client, stop := controlPlane(t, store.Options{Dir: folder})
	if err := client.Apply(t.Context(), gateway.Diff(gateway.NewState(), exportOf(t, w.gateway).State)); err != nil {
		t.Fatal(err)
	}
	before := exportOf(t, client)
	stop()
	if err := os.RemoveAll(filepath.Join(folder, "store")); err != nil {
		t.Fatal(err)
	}
	wiped, client, stop := controlPlane(t, store.Options{Dir: folder})
	defer stop()
	if mode := wiped.Role().Mode; mode != gateway.ModeBlank {
		t.Fatalf("the wiped store is %s", mode)
	}
	w.restore.Target = client
	_, res := w.run()
	if res.Actual != before.State.Digest() || res.Store == before.Store || wiped.Role().Mode != gateway.ModeLeader {
		t.Errorf("result %+v, store was %s, is now %s", res, before.Store, wiped.Role().Mode)
	}
	if p, res := w.run(); len(p.Changes) != 0 || res.Unchanged != before.State.Len() {
		t.Errorf("a second restore makes %d changes", len(p.Changes))
	}
}

// TestFollowerRefuses: a control plane that takes no writes is left as it is.
func TestFollowerRefuses(t *testing.T) {
	w := newWorld(t, gatewaytest.Sample()...)
	w.backup()
	_, client, stop := controlPlane(t, store.Options{Dir: t.TempDir(), Follower: true})
	defer stop()
	w.restore.Target = client
	p, err := w.restore.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.restore.Apply(t.Context(), p); !errors.Is(err, gateway.ErrNotLeader) || exportOf(t, client).State.Len() != 0 {
		t.Errorf("a follower was restored: %v", err)
	}
}
