package lab

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"gwdr/e2e/shell"
	"gwdr/gateway"
)

// BenchmarkRestorePeers compares ways to bring a lost gateway back, in one run: from nothing, no process and no file of it,
// to traffic that is served as it should be. gwdr serves from its backup, or restores into a new gateway; etcdutl restores a
// snapshot of the store, on which a gateway starts; restic restores a file of changes, which is sent to a new gateway's
// admin API. GWDR_BENCH_SPECS as in BenchmarkBackupRestore; etcdutl is built by
// `go build go.etcd.io/etcd/etcdutl/v3` in a module that requires it.
func BenchmarkRestorePeers(b *testing.B) {
	needTools(b, "etcdutl", "restic")
	l := newLoss(b)
	l.env = append(l.env, "RESTIC_PASSWORD=x")
	l.writeChanges()
	l.tool("restic", "init", "-q", "-r", "repository")
	l.tool("restic", "backup", "-q", "-r", "repository", "changes.ndjson")
	l.end()
	l.writeSnapshot()
	figures := map[string][]float64{}
	note := func(name string, value float64) { figures[name] = append(figures[name], value) }
	for b.Loop() {
		for _, way := range []recovery{{"from-backup", l.fromBackup}, {"restore", l.restore}, {"etcdutl", l.etcdutl}, {"restic", l.restic}} {
			begun := time.Now()
			g, restoring := way.run(way.name)
			l.check(g)
			note("s/"+way.name, time.Since(begun).Seconds())
			if restoring > 0 { // the gateway itself is not in it
				note("s/"+way.name+"-command", restoring.Seconds())
			}
			l.over(g, note, way.name)
		}
	}
	report(b, figures)
}

// recovery is a way to bring the gateway back. It returns one that serves, or is about to, and how long whatever ran beside
// it took.
type recovery struct {
	name string
	run  func(dir string) (g *glass, beside time.Duration)
}

// loss is a gateway of the size of BenchmarkBackupPeers that was backed up before it went.
type loss struct {
	*shop
	state         *gateway.State
	live, revoked string // tokens of keys
	sampled       []request
}

type request struct{ host, path string }

func newLoss(b *testing.B) *loss {
	l := &loss{shop: newShop(b, "--role", "control"), state: benchState(b)} // nobody asks it for more
	upstream := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	b.Cleanup(upstream.Close)
	put := func(kind gateway.Kind, id string, body any) {
		l.state.Put(gateway.Entity{Ref: gateway.Ref{Kind: kind, ID: id}, Body: gateway.Encode(body)})
	}
	put(gateway.Upstream, "backend", gateway.UpstreamBody{Endpoints: []gateway.Endpoint{{URL: upstream.URL}}})
	for _, token := range []*string{&l.live, &l.revoked} {
		key := gateway.NewToken()
		*token = key.Reveal()
		put(gateway.Key, key.ID, gateway.KeyBody{Consumer: "bench", Hash: key.Hash(), Scopes: []string{"read"}, Created: time.Now().UTC()})
		if token == &l.revoked {
			put(gateway.Revocation, key.ID, gateway.RevocationBody{At: time.Now().UTC()})
		}
	}
	for i := range 5 { // evenly, as benchState made them
		n := i * benchRoutes / 5
		l.sampled = append(l.sampled, request{fmt.Sprintf("api-%d.test", n%50), fmt.Sprintf("/v%d/things/7/parts/%d", n%3, n)})
	}
	if err := l.client.Apply(b.Context(), gateway.Diff(gateway.NewState(), l.state)); err != nil {
		b.Fatal(err)
	}
	return l
}

// end backs the gateway up, and ends it.
func (l *loss) end() {
	l.t.Helper()
	l.settle()
	if r := l.run("backup", "-q"); r.code != 3 { // three directories on one device
		l.t.Fatalf("backup: exit code %d: %s", r.code, r.stderr)
	}
	if err := syscall.Kill(l.gateway.pid, syscall.SIGTERM); err != nil {
		l.t.Fatal(err)
	}
	if left := shell.Left(binary, 0, 10*time.Second); len(left) > 0 {
		l.t.Fatalf("gateway did not end: %v", left)
	}
}

// check waits until a live key opens each of the sampled routes, and a revoked one, or none, does not.
func (l *loss) check(g *glass) {
	l.t.Helper()
	wanted := map[string]int{l.live: 200, l.revoked: 401, "": 401}
	for _, r := range l.sampled {
		for token, want := range wanted {
			eventually(l.t, time.Minute, fmt.Sprintf("%s%s answers %d", r.host, r.path, want), func() bool { return g.getAt(r, token) == want })
		}
	}
}

// getAt is get with a host.
func (g *glass) getAt(r request, token string) int {
	req, err := http.NewRequest(http.MethodGet, g.listen+r.path, nil)
	if err != nil {
		g.u.t.Fatal(err)
	}
	req.Host = r.host
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

func (l *loss) fromBackup(dir string) (*glass, time.Duration) {
	return l.serveFrom(dir, "--from-backup=all"), 0
}

func (l *loss) restore(dir string) (*glass, time.Duration) {
	g := l.serveFrom(dir)
	begun := time.Now()
	l.want(0, "restore", "--to", "gwdr+"+g.admin, "--yes", "-q")
	return g, time.Since(begun)
}

func (l *loss) etcdutl(dir string) (*glass, time.Duration) {
	begun := time.Now()
	l.tool("etcdutl", "snapshot", "restore", "etcd.snapshot", "--data-dir", filepath.Join(dir, "store"),
		"--name", "gwdr", "--initial-cluster", "gwdr=http://localhost:2380", "--initial-advertise-peer-urls", "http://localhost:2380")
	took := time.Since(begun)
	return l.serveFrom(dir), took
}

func (l *loss) restic(dir string) (*glass, time.Duration) {
	g := l.serveFrom(dir)
	begun := time.Now()
	l.tool("restic", "restore", "latest", "-q", "-r", "repository", "--target", filepath.Join(dir, "restored"))
	l.send(g, filepath.Join(l.home, dir, "restored", "changes.ndjson"))
	return g, time.Since(begun)
}

// send does what `curl --data-binary @FILE` does.
func (l *loss) send(g *glass, file string) {
	l.t.Helper()
	f, err := os.Open(file)
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close()
	req, err := http.NewRequest(http.MethodPost, g.admin+"/v1/apply", f)
	if err != nil {
		l.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	req.Header.Set("X-Gwdr-Restore", "true")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		l.t.Fatalf("import: %s: %s (%v)", resp.Status, text, err)
	}
}

// writeChanges writes what the admin API takes to make the gateway anew.
func (l *loss) writeChanges() {
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	for _, change := range gateway.Diff(gateway.NewState(), l.state) {
		if err := enc.Encode(change); err != nil {
			l.t.Fatal(err)
		}
	}
	l.write("changes.ndjson", lines.String())
}

// writeSnapshot writes what `etcdctl snapshot save` would of the store, which has ended and listens nowhere anyway: its database,
// and the hash of that.
func (l *loss) writeSnapshot() {
	database, err := os.ReadFile(filepath.Join(l.home, "gateway", "store", "member", "snap", "db"))
	if err != nil {
		l.t.Fatal(err)
	}
	sum := sha256.Sum256(database)
	l.write("etcd.snapshot", string(append(database, sum[:]...)))
}

// tool runs a peer in the home folder.
func (u *user) tool(name string, args ...string) {
	u.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = u.home, u.env
	if out, err := cmd.CombinedOutput(); err != nil {
		u.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// needTools skips a benchmark whose peers are not installed; in CI that is a failure.
func needTools(b *testing.B, names ...string) {
	b.Helper()
	missing := slices.DeleteFunc(names, func(name string) bool { _, err := exec.LookPath(name); return err == nil })
	switch {
	case len(missing) == 0:
	case os.Getenv("CI") == "true":
		b.Fatalf("not in PATH: %v", missing)
	default:
		b.Skipf("not in PATH: %v", missing)
	}
}
