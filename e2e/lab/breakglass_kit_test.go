package lab

import (
	"encoding/json"
	"io"
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
