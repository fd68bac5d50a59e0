package lab

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gwdr/gateway"
	"gwdr/gateway/native"
)

// glass is a `gwdr serve` that a test starts, watches, and ends as it likes.
type glass struct {
	served
	u     *user
	cmd   *exec.Cmd
	stdin io.Closer
	log   string
	ended chan struct{} // closed when the process has
}

// serveFrom starts a gateway in a directory of its own, with further arguments, and returns once it serves.
func (u *user) serveFrom(name string, args ...string) *glass {
	u.t.Helper()
	ready := filepath.Join(u.home, name+".ready")
	os.Remove(ready)
	log := u.log(name)
	defer log.Close()
	cmd := exec.Command(binary, append([]string{"serve", "--data", filepath.Join(u.home, name), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
		"--ready-file", ready, "--exit-on-stdin-eof"}, args...)...)
	cmd.Dir, cmd.Env, cmd.Stderr = u.home, u.env, log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		u.t.Fatal(err)
	}
	g := &glass{u: u, cmd: cmd, stdin: stdin, log: log.Name(), ended: make(chan struct{})}
	if err := cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	go func() {
		defer close(g.ended)
		cmd.Wait()
	}()
	u.t.Cleanup(g.stop)
	for {
		raw, err := os.ReadFile(ready)
		var at struct{ Listen, Admin string }
		if err == nil && json.Unmarshal(raw, &at) == nil {
			g.served = served{cmd.Process.Pid, "http://" + at.Listen, "http://" + at.Admin}
			return g
		}
		select {
		case <-g.ended:
			u.t.Fatalf("gateway %s ended: %s", name, g.stderr())
		case <-time.After(time.Millisecond):
		}
	}
}

// stop ends the gateway, and waits for that.
func (g *glass) stop() {
	g.stdin.Close()
	<-g.ended
}

func (g *glass) stderr() string {
	raw, _ := os.ReadFile(g.log)
	return string(raw)
}

// get returns the status of a request at the data plane, or 0.
func (g *glass) get(path, token string) int {
	req, err := http.NewRequest(http.MethodGet, g.listen+path, nil)
	if err != nil {
		g.u.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	resp.Body.Close()
	return resp.StatusCode
}

// client reaches its admin API.
func (g *glass) client() *native.Client {
	return &native.Client{URL: g.admin, HTTP: native.NewHTTP()}
}

// ask returns the status and the body of a request to the admin API.
func (g *glass) ask(method, path, body string) (int, string) {
	g.u.t.Helper()
	req, err := http.NewRequest(method, g.admin+path, strings.NewReader(body))
	if err != nil {
		g.u.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.u.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		g.u.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (g *glass) status() gateway.Status {
	g.u.t.Helper()
	_, text := g.ask(http.MethodGet, "/v1/status", "")
	return decode[gateway.Status](g.u.t, text)
}

// wants fails the test unless the path is answered so with the token.
func (g *glass) wants(status int, path, token string) {
	g.u.t.Helper()
	if got := g.get(path, token); got != status {
		g.u.t.Errorf("%s answers %d, want %d: %s", path, got, status, g.stderr())
	}
}

// kill ends the gateway without notice.
func (g *glass) kill() {
	g.u.t.Helper()
	if err := g.cmd.Process.Kill(); err != nil {
		g.u.t.Fatal(err)
	}
	<-g.ended
}

// door is a shop with a route to a living upstream, a key for it, and one that is revoked.
type door struct {
	*shop
	token, revoked string
	state          *gateway.State
}

func newDoor(t testing.TB, more ...gateway.Entity) *door {
	d := &door{shop: newShop(t), state: gateway.NewState(more...)}
	d.token = openDoor(t, d.state)
	dead := gateway.NewToken()
	d.revoked = dead.Reveal()
	d.state.Put(gateway.Entity{Ref: gateway.Ref{Kind: gateway.Key, ID: dead.ID}, Body: gateway.Encode(gateway.KeyBody{Hash: dead.Hash()})})
	d.state.Put(gateway.Entity{Ref: gateway.Ref{Kind: gateway.Revocation, ID: dead.ID}, Body: []byte(`{"at":"2026-02-03T04:05:06Z"}`)})
	if err := d.client.Apply(t.Context(), gateway.Diff(gateway.NewState(), d.state)); err != nil {
		t.Fatal(err)
	}
	return d
}

// lose ends the gateway, with its store.
func (d *door) lose() {
	d.t.Helper()
	if err := syscall.Kill(d.gateway.pid, syscall.SIGKILL); err != nil {
		d.t.Fatal(err)
	}
}

// serves checks what every client relies on.
func (d *door) serves(g *glass) {
	d.t.Helper()
	g.wants(200, "/door", d.token)
	g.wants(401, "/door", "")
	g.wants(401, "/door", d.revoked)
	g.wants(404, "/none", d.token)
}

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

// traffic sends requests until the returned function is called, which says how many, and what else than 200 came.
func (d *door) traffic(g *glass) func() (sent int64, failed []int) {
	var count atomic.Int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	stop, others := make(chan struct{}), map[int]bool{}
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if status := g.get("/door", d.token); status != 200 {
					mu.Lock()
					others[status] = true
					mu.Unlock()
				}
				count.Add(1)
			}
		})
	}
	return func() (int64, []int) {
		close(stop)
		wg.Wait()
		return count.Load(), slices.Sorted(maps.Keys(others))
	}
}

func manyKeys(n int) (keys []gateway.Entity) {
	for range n {
		token := gateway.NewToken()
		keys = append(keys, gateway.Entity{Ref: gateway.Ref{Kind: gateway.Key, ID: token.ID}, Body: gateway.Encode(gateway.KeyBody{Hash: token.Hash()})})
	}
	return keys
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
