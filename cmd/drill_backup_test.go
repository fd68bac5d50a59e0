package cmd

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
	"gwdr/gateway/admin"
	"gwdr/gateway/native"
	"gwdr/gateway/store"
	"gwdr/restore"
)

// moving is a control plane that somebody changes just before it takes a restore, each time, and just after.
type moving struct {
	http.Handler
	before, after func()
}

func (m *moving) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("X-Gwdr-Restore") == "" {
		m.Handler.ServeHTTP(w, r)
		return
	}
	m.before()
	m.Handler.ServeHTTP(w, r)
	m.after()
}

// TestRestoreOfAMovingTarget: what a drill's ledger writes in the middle of a restore neither stops it nor is lost by it, and a restore
// after which something is not as in the backup has failed.
func TestRestoreOfAMovingTarget(t *testing.T) {
	kept, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	plane := &moving{Handler: (&admin.Server{Store: kept}).Handler(), before: func() {}, after: func() {}}
	server := httptest.NewServer(plane)
	defer server.Close()
	client := &native.Client{URL: server.URL, HTTP: server.Client()}
	put := func(id, body string) {
		e := gateway.Entity{Ref: gateway.Ref{Kind: gateway.Setting, ID: id}, Body: []byte(body)}
		if _, err := client.Put(t.Context(), e, gateway.Condition{}); err != nil {
			t.Error(err)
		}
	}
	put("config", `{"is":"good"}`)
	copies, _ := backuptest.Copies()
	b := &drillBackups{admin: client, log: slog.New(slog.DiscardHandler), job: backup.Job{
		Source: client, Gateway: "lab", Copies: copies, Keys: backuptest.NewKeys(t), Policy: backuptest.Policy(), Spool: t.TempDir()}}
	if _, err := backup.Take(t.Context(), b.job); err != nil {
		t.Fatal(err)
	}
	put("config", `{"is":"bad"}`)
	put("made", `{"version":1}`)
	plane.before = func() { put("made", `{"version":2}`) }
	if err := b.restore(t.Context(), client, nil); err != nil {
		t.Fatal(err)
	}
	after, err := client.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for id, want := range map[string]string{"config": `{"is":"good"}`, "made": `{"version":2}`} {
		if body, _ := after.State.Get(gateway.Ref{Kind: gateway.Setting, ID: id}); string(body) != want {
			t.Errorf("%s is %s, want %s", id, body, want)
		}
	}
	plane.after = func() { put("config", `{"is":"bad"}`) }
	if err := b.restore(t.Context(), client, nil); !errors.Is(err, restore.ErrDigest) {
		t.Errorf("restored, and yet it is not: %v", err)
	}
}
