package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gwdr/gateway"
	"gwdr/gateway/native"
)

// served is a gwdr serve that runs in this process.
type served struct {
	t             *testing.T
	Listen, Admin string
	ready         string // file
	stdin         *io.PipeWriter
	done          chan int
	stderr        *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serveUntilEnd starts gwdr serve on free ports and waits until it is ready.
func serveUntilEnd(t *testing.T, dir string, args ...string) *served {
	t.Helper()
	s := startServing(t, dir, args...)
	s.awaitReady()
	return s
}

// startServing starts gwdr serve on free ports.
func startServing(t *testing.T, dir string, args ...string) *served {
	t.Helper()
	r, w := io.Pipe()
	s := &served{t: t, stdin: w, done: make(chan int, 1), stderr: &lockedBuffer{}, ready: filepath.Join(t.TempDir(), "ready.json")}
	args = append([]string{"serve", "--data", dir, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ready-file", s.ready, "--exit-on-stdin-eof"}, args...)
	go func() { s.done <- Main(args, r, io.Discard, s.stderr, homeIn(dir)) }()
	t.Cleanup(func() { s.end() })
	return s
}

func (s *served) awaitReady() {
	s.t.Helper()
	eventuallyServed(s.t, "ready file", func() bool {
		b, err := os.ReadFile(s.ready)
		if err == nil {
			err = json.Unmarshal(b, s)
		}
		select {
		case code := <-s.done:
			s.t.Fatalf("serve ended with %d: %s", code, s.stderr)
		default:
		}
		return err == nil
	})
}

// end closes stdin and expects a clean stop.
func (s *served) end() {
	s.t.Helper()
	s.stdin.Close()
	select {
	case code := <-s.done:
		if code != exitDone {
			s.t.Errorf("serve ended with %d: %s", code, s.stderr)
		}
		s.done <- exitDone // for a second end
	case <-time.After(20 * time.Second):
		s.t.Fatal("serve does not end")
	}
}

func homeIn(dir string) func(string) string {
	return func(name string) string {
		switch {
		case name == "HOME":
			return dir
		case strings.HasPrefix(name, "OTEL_"): // the exporter reads these by itself
			return os.Getenv(name)
		}
		return ""
	}
}

func eventuallyServed(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func (s *served) client(token string) *native.Client {
	return &native.Client{URL: "http://" + s.Admin, Token: token}
}

// status returns the status of a request at the data plane.
func (s *served) status(path string) int {
	s.t.Helper()
	resp, err := http.Get("http://" + s.Listen + path)
	if err != nil {
		s.t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// fill puts an upstream and an open route to it.
func fillGateway(t *testing.T, c *native.Client) {
	t.Helper()
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "{}") }))
	t.Cleanup(echo.Close)
	for kind, body := range map[gateway.Kind]any{
		gateway.Upstream: gateway.UpstreamBody{Endpoints: []gateway.Endpoint{{URL: echo.URL}}},
	} {
		putEntity(t, c, gateway.Entity{Ref: gateway.Ref{Kind: kind, ID: "echo"}, Body: gateway.Encode(body)})
	}
	putEntity(t, c, gateway.Entity{Ref: gateway.Ref{Kind: gateway.Route, ID: "open"},
		Body: gateway.Encode(gateway.RouteBody{Path: "/open", Upstream: "echo", Auth: gateway.AuthNone})})
}

func putEntity(t *testing.T, c *native.Client, e gateway.Entity) {
	t.Helper()
	if _, err := c.Put(t.Context(), e, gateway.Condition{}); err != nil {
		t.Fatal(err)
	}
}

func TestServeAll(t *testing.T) {
	dir := t.TempDir()
	s := serveUntilEnd(t, dir, "--instance", "i1", "--region", "east")
	fillGateway(t, s.client(""))
	eventuallyServed(t, "route is served", func() bool { return s.status("/open") == 200 })
	if got := s.status("/none"); got != 404 {
		t.Errorf("unknown route: %d", got)
	}
	for _, path := range []string{"/ready", "/leader", "/metrics"} {
		if resp, err := http.Get("http://" + s.Admin + path); err != nil || resp.StatusCode != 200 {
			t.Errorf("%s: %v %v", path, resp, err)
		}
	}
	second := serveFails(t, exitRefused, "serve", "--data", dir, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	if !strings.Contains(second, "in use by another process") || !strings.Contains(second, "hint: ") {
		t.Errorf("second serve: %s", second)
	}
	s.end()
	s = serveUntilEnd(t, dir)
	if got := s.status("/open"); got != 200 {
		t.Errorf("after a restart: %d", got)
	}
}

// A store that was emptied while the gateway was down: traffic goes on from the last good configuration, the control plane
// waits for a restore.
func TestServeWipedStore(t *testing.T) {
	dir := t.TempDir()
	s := serveUntilEnd(t, dir)
	fillGateway(t, s.client(""))
	eventuallyServed(t, "route is served", func() bool { return s.status("/open") == 200 })
	backup, err := s.client("").Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.end()
	if err := os.RemoveAll(filepath.Join(dir, "store")); err != nil {
		t.Fatal(err)
	}
	s = serveUntilEnd(t, dir)
	status, err := s.client("").Status(t.Context())
	if err != nil || status.Mode != gateway.ModeBlank || s.status("/open") != 200 {
		t.Fatalf("wiped: %+v, %v, route answers %d", status, err, s.status("/open"))
	}
	if err := s.client("").Apply(t.Context(), gateway.Diff(gateway.NewState(), backup.State)); err != nil {
		t.Fatal(err)
	}
	status, err = s.client("").Status(t.Context())
	if err != nil || status.Mode != gateway.ModeLeader || status.Digest != backup.State.Digest() {
		t.Errorf("restored: %+v, %v", status, err)
	}
	putEntity(t, s.client(""), gateway.Entity{Ref: gateway.Ref{Kind: gateway.Route, ID: "new"},
		Body: gateway.Encode(gateway.RouteBody{Path: "/new", Upstream: "echo", Auth: gateway.AuthNone})})
	eventuallyServed(t, "data plane follows the restored store", func() bool { return s.status("/new") == 200 })
}

func TestServeControlAndData(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{"tokens": "admin:admin-token-0123456789\nreplica:replica-token-0123456789\n", "replica": "replica-token-0123456789\n"}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tokens, replica := filepath.Join(dir, "tokens"), filepath.Join(dir, "replica")
	a := serveUntilEnd(t, filepath.Join(dir, "a"), "--role", "control", "--token-file", tokens, "--replication", "async", "--leader")
	b := serveUntilEnd(t, filepath.Join(dir, "b"), "--role", "control", "--token-file", tokens, "--replication", "async",
		"--peer", "http://"+a.Admin, "--control-token-file", replica)
	data := serveUntilEnd(t, filepath.Join(dir, "d"), "--role", "data", "--token-file", tokens, "--control", "http://"+b.Admin, "--control-token-file", replica)
	admin := a.client("admin-token-0123456789")
	fillGateway(t, admin)
	eventuallyServed(t, "route came through the follower", func() bool { return data.status("/open") == 200 })
	if _, err := data.client("wrong").Status(t.Context()); err == nil {
		t.Error("data plane's admin listener takes any token")
	}
	a.end()
	if _, err := b.client("admin-token-0123456789").Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	status, err := data.client("admin-token-0123456789").Status(t.Context())
	if err != nil || status.Role != "data" || status.Counts[gateway.Route] != 1 {
		t.Errorf("%+v, %v", status, err)
	}
	b.end()
	data.end()
	edge := serveUntilEnd(t, filepath.Join(dir, "d"), "--role", "data") // from disk alone
	second := serveFails(t, exitRefused, "serve", "--role", "data", "--data", filepath.Join(dir, "d"), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	if !strings.Contains(second, "in use by another process") || !strings.Contains(second, "choose another --data") {
		t.Errorf("second data plane in the same directory: %s", second)
	}
	if got := edge.status("/open"); got != 200 {
		t.Errorf("without a control plane: %d", got)
	}
}

// TestReadinessFailsFirst: a stop serves on for its notice, while both planes say that they are not ready.
func TestReadinessFailsFirst(t *testing.T) {
	s := serveUntilEnd(t, t.TempDir(), "--drain-notice", "3s")
	fillGateway(t, s.client(""))
	eventuallyServed(t, "the route", func() bool { return s.status("/open") == 200 })
	s.stdin.Close()
	eventuallyServed(t, "not ready", func() bool { return s.status("/.gwdr/ready") == 503 })
	resp, err := http.Get("http://" + s.Admin + "/ready")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if a, b := s.status("/open"), s.status("/.gwdr/health"); resp.StatusCode != 503 || a != 200 || b != 200 {
		t.Errorf("admin API ready %d, a request %d, healthy %d", resp.StatusCode, a, b)
	}
	s.end()
}

// serveFails runs gwdr and returns what it says on stderr.
func serveFails(t *testing.T, want int, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	if code := Main(args, strings.NewReader(""), io.Discard, &stderr, homeIn(t.TempDir())); code != want {
		t.Errorf("%v: exit %d, want %d: %s", args, code, want, &stderr)
	}
	return stderr.String()
}

func TestServeRefuses(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	dir := t.TempDir()
	bad := filepath.Join(dir, "tokens")
	if err := os.WriteFile(bad, []byte("admin:short"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{exitUsage, "none of all, control, data", []string{"--role", "edge"}},
		{exitUsage, "none of none, async, sync", []string{"--replication", "semisync"}},
		{exitUsage, "--control is for", []string{"--control", "http://x"}},
		{exitUsage, "for control planes", []string{"--role", "data", "--peer", "http://x"}},
		{exitUsage, "--audit-log is for control planes", []string{"--role", "data", "--audit-log", "x"}},
		{exitUsage, "is for data planes", []string{"--role", "control", "--upstreams-at", "127.0.0.1:9"}},
		{exitUsage, "not of the form host:port", []string{"--upstreams-at", "nowhere"}},
		{exitUsage, "needs --replication", []string{"--peer", "http://x"}},
		{exitUsage, "not of the form http://host:port", []string{"--replication", "async", "--peer", "localhost:8081"}},
		{exitUsage, "not of the form http://host:port", []string{"--role", "data", "--control", "other"}},
		{exitUsage, `--listen "foo" is not of the form host:port`, []string{"--listen", "foo"}},
		{exitUsage, `--listen "127.0.0.1:99999" is not of the form host:port`, []string{"--listen", "127.0.0.1:99999"}},
		{exitUsage, `--admin "127.0.0.1" is not of the form host:port`, []string{"--admin", "127.0.0.1"}},
		{exitUsage, "--drain -5s is less than nothing", []string{"--drain=-5s"}},
		{exitUsage, "--drain-notice -1s is less", []string{"--drain-notice=-1s"}},
		{exitUsage, "--poll -1s is less", []string{"--poll=-1s"}},
		{exitUsage, "--cluster-election -1s is less", []string{"--cluster-election=-1s"}},
		{exitUsage, "go together", []string{"--tls-cert", "x"}},
		{exitUsage, "reachable from other machines", []string{"--admin", ":0"}},
		{exitUsage, "reachable from other machines", []string{"--admin", "0.0.0.0:0", "--token-file", bad}},
		{exitUsage, "unknown flag", []string{"--nonsense"}},
		{exitUsage, "line 1", []string{"--token-file", bad}},
		{exitError, "no such file", []string{"--token-file", filepath.Join(dir, "none")}},
		{exitError, "open --audit-log", []string{"--audit-log", dir}},
		{exitError, "open --access-log", []string{"--admin", "127.0.0.1:0", "--access-log", dir}},
		{exitError, "choose another address by --admin", []string{"--admin", busy.Addr().String()}},
		{exitError, "choose another address by --listen", []string{"--admin", "127.0.0.1:0", "--listen", busy.Addr().String()}},
		{exitError, "name a control plane by --control", []string{"--role", "data"}},
		{exitError, "must be a directory that can be written: mkdir " + bad + ": not a directory", []string{"--data", filepath.Join(bad, "x")}},
		{exitError, "--data " + bad + " must be a directory", []string{"--role", "data", "--data", bad}},
	} {
		args := append([]string{"serve", "--data", t.TempDir()}, c.args...)
		if says := serveFails(t, c.code, args...); !strings.Contains(says, c.says) {
			t.Errorf("%v: %s", c.args, says)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "store")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("something was left behind")
	}
}
