package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/gateway"
)

// TestBreakGlass: without any control plane, the gateway serves from its backups, and says so.
func TestBreakGlass(t *testing.T) {
	d := newDoor(t)
	d.run("backup", "-q")
	d.lose()
	for name, args := range map[string][]string{
		"all":         {"--from-backup"},
		"data":        {"--from-backup=all", "--role", "data"},
		"one":         {"--from-backup", "two"},
		"url":         {"--from-backup", "file://" + filepath.Join(d.home, "three")},
		"point":       {"--from-backup", "--at", time.Now().UTC().Format("2006")},
		"one is gone": {"--from-backup=one", "--from-backup=two"},
	} {
		if name == "one is gone" {
			os.RemoveAll(filepath.Join(d.home, "one"))
		}
		g := d.serveFrom(name, args...)
		d.serves(g)
		for _, write := range [][2]string{{"PUT", "/v1/route/x"}, {"DELETE", "/v1/route/door"}, {"POST", "/v1/keys"}, {"POST", "/v1/apply"}, {"GET", "/v1/watch?from=1"}} {
			if code, text := g.ask(write[0], write[1], "{}"); code != 409 || !strings.Contains(text, "/v1/promote") {
				t.Errorf("%s: %v: %d %s", name, write, code, text)
			}
		}
		s := g.status()
		if s.Mode != gateway.ModeBackup || s.Backup == nil || s.Backup.Time.IsZero() || s.Digest != d.state.Digest() {
			t.Errorf("%s: status %+v", name, s)
		}
		for _, path := range []string{"/health", "/ready"} {
			if code, text := g.ask("GET", path, ""); code != 200 || !strings.Contains(text, s.Backup.Point) {
				t.Errorf("%s: %s: %d %s", name, path, code, text)
			}
		}
		_, metrics := g.ask("GET", "/metrics", "")
		contains(t, metrics, "\ngwdr_from_backup 1\n", "\ngwdr_from_backup_recovery_point_seconds 1.")
		if e, err := g.client().Export(t.Context()); err != nil || e.State.Digest() != d.state.Digest() || e.Store != "" {
			t.Errorf("%s: export %+v, %v", name, e, err)
		}
		g.stop()
		if _, err := os.Stat(filepath.Join(d.home, name, "store")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: there is a store: %v", name, err)
		}
	}
}

// TestBreakGlassFollows: what the original gateway backs up appears; a forged segment does not.
func TestBreakGlassFollows(t *testing.T) {
	d := newDoor(t)
	d.run("backup", "-q")
	f := d.follow()
	g := d.serveFrom("glass", "--from-backup", "--poll", "20ms")
	d.serves(g)
	put := func(id string) {
		t.Helper()
		e := gateway.Entity{Ref: gateway.Ref{Kind: gateway.Route, ID: id}, Body: gateway.Encode(gateway.RouteBody{Path: "/" + id, Upstream: "door"})}
		if _, err := d.client.Put(t.Context(), e, gateway.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	put("late")
	eventually(t, time.Minute, "a change is served", func() bool { return g.get("/late", d.token) == 200 })
	f.stop(syscall.SIGTERM)
	forge(t, d)
	eventually(t, time.Minute, "the forged segment is named", func() bool {
		return strings.Contains(strings.Join(g.status().Backup.Findings, " "), "does not lead on")
	})
	g.wants(200, "/late", d.token)
	contains(t, g.stderr(), "does not lead on")
	put("later")
	d.run("backup", "-q", "--new-lineage") // the forger has the place of the next segment
	eventually(t, time.Minute, "a point of a new lineage is served", func() bool { return g.get("/later", d.token) == 200 })
	id, _, _ := strings.Cut(strings.TrimPrefix(d.token, "gwk_"), "_")
	if _, err := d.client.Put(t.Context(), gateway.Entity{Ref: gateway.Ref{Kind: gateway.Revocation, ID: id}, Body: []byte(`{"at":"2026-02-03T04:05:06Z"}`)}, gateway.Condition{}); err != nil {
		t.Fatal(err)
	}
	d.run("backup", "-q")
	eventually(t, time.Minute, "the key is revoked", func() bool { return g.get("/door", d.token) == 401 })
}

// forge puts a segment after the last one to every location: that one, with its number changed, as nobody can sign another.
func forge(t *testing.T, d *door) {
	t.Helper()
	for _, location := range []string{"one", "two", "three"} {
		names, err := filepath.Glob(filepath.Join(d.home, location, "gwdr1", "*", "log", "*.tar"))
		if err != nil || len(names) == 0 {
			t.Fatalf("no segments: %v", err)
		}
		last := names[len(names)-1]
		content, err := os.ReadFile(last)
		if err != nil {
			t.Fatal(err)
		}
		var seq int64
		fmt.Sscanf(filepath.Base(last), "%x.tar", &seq)
		content = bytes.Replace(content, fmt.Appendf(nil, `"seq": %d,`, seq), fmt.Appendf(nil, `"seq": %d,`, seq+1), 1)
		if err := os.WriteFile(filepath.Join(filepath.Dir(last), fmt.Sprintf("%016x.tar", seq+1)), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBreakGlassPromote: clients notice nothing of a promotion; afterwards it is an ordinary gateway, also after a restart.
func TestBreakGlassPromote(t *testing.T) {
	d := newDoor(t, manyKeys(5_000)...)
	d.run("backup", "-q")
	d.lose()
	g := d.serveFrom("glass", "--from-backup")
	ask := d.traffic(g)
	_, text := g.ask("POST", "/v1/promote", "")
	answer := decode[struct{ Epoch, Store, Parent, Note any }](t, text)
	if answer.Epoch != 1. || answer.Note != nil {
		t.Fatalf("promotion: %s", text)
	}
	e := gateway.Entity{Ref: gateway.Ref{Kind: gateway.Route, ID: "new"}, Body: gateway.Encode(gateway.RouteBody{Path: "/new", Upstream: "door"})}
	if _, err := g.client().Put(t.Context(), e, gateway.Condition{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "a change is served", func() bool { return g.get("/new", d.token) == 200 })
	if sent, failed := ask(); len(failed) > 0 || sent == 0 {
		t.Errorf("%d requests, failed: %v", sent, failed)
	}
	d.state.Put(e)
	if s := g.status(); s.Mode != gateway.ModeLeader || s.Store != answer.Store || s.Digest != d.state.Digest() || s.Backup != nil {
		t.Errorf("status %+v", s)
	}
	if _, text := g.ask("POST", "/v1/promote", ""); !strings.Contains(text, `"epoch":1`) {
		t.Errorf("promoted again: %s", text)
	}
	g.stop()
	g = d.serveFrom("glass", "--from-backup") // the same command
	d.serves(g)
	g.wants(200, "/new", d.token)
	contains(t, g.stderr(), "holds the store that was promoted from backup")
	d.env = append(d.env, "GWDR_GATEWAY=gwdr+"+g.admin)
	d.run("backup", "-q")
	contains(t, d.run("backup", "list", "--json").stdout, fmt.Sprintf(`"parent": %q`, answer.Parent))
	r := d.want(7, "serve", "--from-backup", "--data", filepath.Join(d.home, "gateway"), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	contains(t, r.stderr, "holds the store of a gateway already", "another --data")
}

// TestBreakGlassKilled: a promotion that ends by kill -9, wherever it was, leaves either none or all of it.
func TestBreakGlassKilled(t *testing.T) {
	d := newDoor(t, manyKeys(20_000)...)
	d.run("backup", "-q")
	d.lose()
	dir := filepath.Join(d.home, "glass")
	halves := 0
	for _, file := range []string{"from-backup.json", "store", "store-id", "store/member/wal", ""} {
		g := d.serveFrom("glass", "--from-backup")
		if s := g.status(); s.Mode != gateway.ModeBackup {
			t.Fatalf("it serves half a store: %+v", s)
		}
		asked := make(chan error, 1)
		go func() {
			_, err := g.client().Promote(t.Context())
			asked <- err
		}()
		if file != "" {
			eventually(t, time.Minute, file+" is there", func() bool { _, err := os.Stat(filepath.Join(dir, file)); return err == nil })
			g.kill()
		}
		err := <-asked
		if err == nil { // done, or so quick
			g.kill()
			break
		}
		halves++
	}
	g := d.serveFrom("glass", "--from-backup")
	d.serves(g)
	if s := g.status(); s.Mode != gateway.ModeLeader || s.Digest != d.state.Digest() {
		t.Errorf("after all: %+v", s)
	}
	if halves == 0 {
		t.Errorf("%d promotions were killed", halves)
	}
}
