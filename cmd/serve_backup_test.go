package cmd

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gwdr/gateway"
)

// glasshouse is a gateway with two locations, one of which is to be broken.
type glasshouse struct {
	cli
	t        *testing.T
	file     string // gwdr.yaml
	disks    string
	original *served
}

func newGlasshouse(t *testing.T) *glasshouse {
	t.Helper()
	g := &glasshouse{cli: cli{t.TempDir()}, t: t, disks: t.TempDir(), original: serveUntilEnd(t, t.TempDir())}
	g.file = filepath.Join(g.home, "gwdr.yaml")
	g.cli.run(t, exitDone, nil, "init", "--file", g.file, "--gateway", "gwdr+http://"+g.original.Admin,
		"--location", "local=file://"+g.disks+"/local", "--location", "nas=file://"+g.disks+"/nas")
	fillGateway(t, g.original.client(""))
	return g
}

func (g *glasshouse) backup() {
	g.t.Helper()
	g.cli.run(g.t, exitMissed, nil, "--config", g.file, "backup") // two copies on one disk
}

func (g *glasshouse) serve(dir string, args ...string) *served {
	g.t.Helper()
	return serveUntilEnd(g.t, dir, append([]string{"--config", g.file, "--poll", "10ms"}, args...)...)
}

// apply makes changes as they are, as a restore does.
func (g *glasshouse) apply(changes ...gateway.Change) {
	g.t.Helper()
	if _, err := g.original.client("").ApplyBulk(g.t.Context(), changes, gateway.Bulk{Restore: true}); err != nil {
		g.t.Fatal(err)
	}
}

func routeTo(upstream, id string) gateway.Entity {
	return gateway.Entity{Ref: gateway.Ref{Kind: gateway.Route, ID: id},
		Body: gateway.Encode(gateway.RouteBody{Path: "/" + id, Upstream: upstream, Auth: gateway.AuthNone})}
}

func (s *served) backupOf() *gateway.Backup {
	s.t.Helper()
	status, err := s.client("").Status(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return status.Backup
}

// TestServeFromBackupBadNewest: where the newest state cannot be served, an older point is, until a change heals it.
func TestServeFromBackupBadNewest(t *testing.T) {
	g := newGlasshouse(t)
	g.backup()
	g.apply(gateway.Change{Op: gateway.Create, Entity: routeTo("nowhere", "bad")}, gateway.Change{Op: gateway.Create, Entity: routeTo("echo", "good")})
	g.backup()
	s := g.serve(t.TempDir(), "--from-backup")
	if s.status("/open") != 200 || s.status("/good") != 404 || !strings.Contains(s.stderr.String(), "an older point is") {
		t.Errorf("/open %d, /good %d: %s", s.status("/open"), s.status("/good"), s.stderr)
	}
	g.apply(gateway.Change{Op: gateway.Delete, Entity: gateway.Entity{Ref: gateway.Ref{Kind: gateway.Route, ID: "bad"}}})
	g.backup()
	eventuallyServed(t, "healed", func() bool { return s.status("/good") == 200 })
}

// TestServeFromBackupLastGood: what a directory served before is served when no location answers, and what was revoked there
// stays revoked when they do.
func TestServeFromBackupLastGood(t *testing.T) {
	g := newGlasshouse(t)
	token := gateway.NewToken()
	g.apply(gateway.Change{Op: gateway.Create, Entity: gateway.Entity{Ref: gateway.Ref{Kind: gateway.Key, ID: token.ID}, Body: gateway.Encode(gateway.KeyBody{Hash: token.Hash()})}},
		gateway.Change{Op: gateway.Create, Entity: gateway.Entity{Ref: gateway.Ref{Kind: gateway.Route, ID: "guarded"}, Body: gateway.Encode(gateway.RouteBody{Path: "/guarded", Upstream: "echo"})}})
	g.backup()
	dir := t.TempDir()
	data := serveUntilEnd(t, dir, "--role", "data", "--control", "http://"+g.original.Admin)
	if err := g.original.client("").RevokeKey(t.Context(), token.ID, "leaked"); err != nil {
		t.Fatal(err)
	}
	eventuallyServed(t, "revoked", func() bool { return data.withKey("/guarded", token.Reveal()) == 401 })
	data.end()

	s := g.serve(dir, "--from-backup")
	if got := s.withKey("/guarded", token.Reveal()); got != 401 || s.status("/open") != 200 {
		t.Errorf("a key that was revoked after the backup: %d", got)
	}
	s.end()
	away := g.disks + "-away"
	if err := os.Rename(g.disks, away); err != nil {
		t.Fatal(err)
	}
	s = g.serve(dir, "--from-backup")
	if b := s.backupOf(); s.status("/open") != 200 || b == nil || b.Point != "" || len(b.Findings) == 0 {
		t.Errorf("without any location: %d, %+v", s.status("/open"), b)
	}
	if _, err := s.client("").Promote(t.Context()); err == nil || !strings.Contains(err.Error(), "nothing to promote") {
		t.Errorf("promote: %v", err)
	}
	if err := os.Rename(away, g.disks); err != nil {
		t.Fatal(err)
	}
	eventuallyServed(t, "the locations are back", func() bool { return s.backupOf().Point != "" })
	if got := s.withKey("/guarded", token.Reveal()); got != 401 {
		t.Errorf("a key that was revoked: %d", got)
	}
}

// withKey is status with a key.
func (s *served) withKey(path, key string) int {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodGet, "http://"+s.Listen+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("X-Api-Key", key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// TestPromoteRefused: a promotion that cannot be leaves what is there alone, and the backup is served and followed further.
func TestPromoteRefused(t *testing.T) {
	g := newGlasshouse(t)
	g.backup()
	dir := t.TempDir()
	s := g.serve(dir, "--from-backup")
	other := filepath.Join(dir, "store", "somebody's")
	if err := os.MkdirAll(other, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.client("").Promote(t.Context()); !errors.Is(err, gateway.ErrConflict) || !strings.Contains(err.Error(), "holds the store of a gateway") {
		t.Errorf("promote: %v", err)
	}
	if _, err := os.Stat(other); err != nil {
		t.Error(err)
	}
	if b := s.backupOf(); b == nil || !strings.Contains(b.Promotion, "failed") {
		t.Errorf("status %+v", b)
	}
	putEntity(t, g.original.client(""), routeTo("echo", "late"))
	g.backup()
	eventuallyServed(t, "a change", func() bool { return s.status("/late") == 200 })
	if err := os.RemoveAll(filepath.Join(dir, "store")); err != nil {
		t.Fatal(err)
	}
	if epoch, err := s.client("").Promote(t.Context()); err != nil || epoch != 1 {
		t.Errorf("promote: %d, %v", epoch, err)
	}
	data := g.serve(t.TempDir(), "--from-backup=all", "--role", "data")
	if _, err := data.client("").Promote(t.Context()); !errors.Is(err, gateway.ErrConflict) {
		t.Errorf("promote a data plane: %v", err)
	}
}

// TestPromoteRoles: only an admin promotes; a token that may not read everything gets no state.
func TestPromoteRoles(t *testing.T) {
	g := newGlasshouse(t)
	g.backup()
	tokens := filepath.Join(g.home, "tokens")
	if err := os.WriteFile(tokens, []byte("admin:admin-token-0123456789\noperator:operator-token-0123456789\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := g.serve(t.TempDir(), "--from-backup", "--token-file", tokens)
	for _, token := range []string{"", "operator-token-0123456789"} {
		c := s.client(token)
		_, promoted := c.Promote(t.Context())
		_, exported := c.Export(t.Context())
		if promoted == nil || exported == nil {
			t.Errorf("%q: promote %v, export %v", token, promoted, exported)
		}
	}
	if _, err := s.client("admin-token-0123456789").Promote(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestServeFromBackupRefuses(t *testing.T) {
	g := newGlasshouse(t)
	g.backup()
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "store-id"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	half := t.TempDir()
	if err := (mark{Parent: "lineage@1"}).write(half); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{exitUsage, "come after --from-backup", []string{"local"}},
		{exitUsage, "no location is named \"tape\"; there are local, nas", []string{"--from-backup", "tape"}},
		{exitUsage, "no location is named \"tape\"", []string{"--from-backup=local", "--from-backup=tape"}},
		{exitUsage, "--at is for --from-backup", []string{"--at", "1h"}},
		{exitUsage, "is no time", []string{"--from-backup", "--at", "yesterday"}},
		{exitUsage, "serves traffic", []string{"--from-backup", "--role", "control"}},
		{exitUsage, "does not go with --control", []string{"--from-backup", "--role", "data", "--control", "http://127.0.0.1:1"}},
		{exitUsage, "does not go with --control", []string{"--from-backup", "--replication", "async"}},
		{exitUsage, "--poll must be positive", []string{"--from-backup", "--poll", "0s"}},
		{exitUsage, "its URL is none of", []string{"--from-backup", "ftp://user:secret@host/x"}},
		{exitIntegrity, "the oldest", []string{"--from-backup", "--at", "1h"}},
		{exitIntegrity, "no location holds a valid point", []string{"--from-backup", "file://" + full}},
		{exitRefused, "holds the store of a gateway already", []string{"--from-backup", "--data", full}},
		{exitRefused, "the half of a store", []string{"--data", half}},
		{exitError, "choose another address by --admin", []string{"--from-backup", "--admin", g.original.Admin}},
	} {
		args := append([]string{"--config", g.file, "serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, c.args...)
		if says := serveFails(t, c.code, args...); !strings.Contains(says, c.says) || strings.Contains(says, "secret") {
			t.Errorf("%v: %s", c.args, says)
		}
	}
	says := serveFails(t, exitUsage, "serve", "--data", t.TempDir(), "--from-backup", "file://"+g.disks+"/local")
	if !strings.Contains(says, "GWDR_KEYS_IDENTITY") {
		t.Errorf("without keys: %s", says)
	}
}
