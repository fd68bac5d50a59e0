//go:build linux

package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/e2e/shell"
	"gwdr/gateway"
	"gwdr/gateway/native"
)

// contender is a proxy before the backend.
type contender struct {
	name    string
	address string
	pid     int // 0: it is the backend
	routes  int // of which the load asks
	token   string
	loads   []load
	work    []time.Duration // of processors, for each of the loads
}

// track is what all contenders have in common: the backend, and the processors. Half of these are the contender's alone.
type track struct {
	*testing.B
	dir     string
	backend string
	half    int
}

func newTrack(b *testing.B) *track {
	dir := b.TempDir()
	t := &track{B: b, dir: dir, half: max(runtime.NumCPU()/2, 1)}
	t.backend, _ = t.listening(t.others(os.Args[0], "backend"))
	return t
}

// contender and others are the words that run a command on the contender's processors, or on what is left.
func (t *track) contender(words ...string) []string {
	return append([]string{"taskset", "-c", fmt.Sprintf("0-%d", t.half-1)}, words...)
}

func (t *track) others(words ...string) []string {
	return append([]string{"taskset", "-c", fmt.Sprintf("%d-%d", min(t.half, runtime.NumCPU()-1), runtime.NumCPU()-1)}, words...)
}

// listening starts a command that says on stdout where it listens.
func (t *track) listening(words []string) (address string, pid int) {
	t.Helper()
	cmd := exec.Command(words[0], words[1:]...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.begin(cmd)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line), cmd.Process.Pid
}

// begin starts a command that ends with the benchmark.
func (t *track) begin(cmd *exec.Cmd) {
	t.Helper()
	cmd.Stderr, cmd.Dir, cmd.Env = os.Stderr, t.dir, append(os.Environ(), "HOME="+t.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		err := cmd.Process.Signal(syscall.SIGTERM)
		if !errors.Is(err, os.ErrProcessDone) && err != nil {
			t.Error(err)
		}
		cmd.Wait() // by a signal is as good as any
	})
}

// direct is the backend without a proxy: no contender can be faster.
func (t *track) direct() *contender { return &contender{name: "direct", address: t.backend} }

func (t *track) bareProxy() *contender {
	address, pid := t.listening(t.contender(os.Args[0], "proxy", t.backend))
	return &contender{name: "ReverseProxy", address: address, pid: pid}
}

// gwdr is the gateway with so many routes, each of which asks for a key and has a limit that the load does not reach.
func (t *track) gwdr(routes int) *contender {
	t.Helper()
	s := serveIn(t, t.TempDir(), t.contender(binary, "serve")...)
	limit := t.limit(s)
	state := gateway.NewState(entity(gateway.Upstream, "backend", gateway.UpstreamBody{Endpoints: endpoints(t.backend)}))
	for i := range routes {
		state.Put(entity(gateway.Route, fmt.Sprint(i), fmt.Sprintf(`{"methods":["GET"],"path":%q,"upstream":"backend"%s}`, benchTemplate(i), limit)))
	}
	if _, err := s.client().ApplyBulk(t.Context(), gateway.Diff(gateway.NewState(), state), gateway.Bulk{}); err != nil {
		t.Fatal(err)
	}
	token := s.issue().Token
	s.awaits(benchPath(routes-1), token, 200)
	return &contender{name: "gwdr", address: s.Listen, pid: s.cmd.Process.Pid, routes: routes, token: token}
}

// limit is a rate limit for a route's body, or nothing if this gwdr has none.
func (t *track) limit(s *server) string {
	t.Helper()
	s.put(gateway.Upstream, "backend", gateway.UpstreamBody{Endpoints: endpoints(t.backend)})
	const limit = `,"limit":{"rate":1000000,"burst":1000000,"per":"key"}`
	_, err := s.client().Put(t.Context(), entity(gateway.Route, "0", `{"path":"/","upstream":"backend"`+limit+`}`), gateway.Condition{})
	if refused, is := errors.AsType[*native.Error](err); is && refused.Status == 422 {
		t.Logf("gwdr has no rate limit: %v", err)
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	return limit
}

func benchTemplate(route int) string {
	return fmt.Sprintf("/api%d/v1/resources%d/{id}/parts/{part}", route%100, route/100)
}

func benchPath(route int) string {
	return strings.NewReplacer("{id}", "4711", "{part}", "42").Replace(benchTemplate(route))
}

// program is a proxy that is installed, or nil and a word about that: a benchmark goes on without.
func (t *track) program(name, file, config string, words ...string) *contender {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Logf("%s is missing: %v", name, err)
		return nil
	}
	address := freeAddr(t)
	host, port, _ := net.SplitHostPort(address)
	config = strings.NewReplacer("LISTEN", address, "HOST", host, "PORT", port, "BACKEND", t.backend, "DIR", t.dir, "PROCESSORS", fmt.Sprint(t.half)).Replace(config)
	if err := os.WriteFile(filepath.Join(t.dir, file), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	words = t.contender(append([]string{name}, words...)...)
	cmd := exec.Command(words[0], words[1:]...)
	t.begin(cmd)
	shell.Eventually(t, 20*time.Second, func() error {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return err
		}
		return conn.Close()
	})
	return &contender{name: name, address: address, pid: cmd.Process.Pid}
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// nginx keeps its connections to both sides, as the others do by themselves.
func (t *track) nginx() *contender {
	return t.program("nginx", "nginx.conf", `daemon off; pid DIR/nginx.pid; error_log stderr; worker_processes PROCESSORS;
events { worker_connections 1024; }
http {
	access_log off; keepalive_requests 1000000000;
	client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
	upstream backend { server BACKEND; keepalive 256; keepalive_requests 1000000000; }
	server { listen LISTEN; location / { proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; } }
}
`, "-c", filepath.Join(t.dir, "nginx.conf"))
}

func (t *track) haproxy() *contender {
	return t.program("haproxy", "haproxy.cfg", `defaults
	mode http
	timeout connect 1s
	timeout client 1m
	timeout server 1m
frontend in
	bind LISTEN
	default_backend backend
backend backend
	server backend BACKEND
`, "-db", "-f", filepath.Join(t.dir, "haproxy.cfg"))
}

func (t *track) caddy() *contender {
	return t.program("caddy", "Caddyfile", `{
	admin off
	auto_https off
	http_port PORT
	log {
		level ERROR
	}
}
http:// {
	bind HOST
	reverse_proxy BACKEND
}
`, "run", "--adapter", "caddyfile", "--config", filepath.Join(t.dir, "Caddyfile"))
}
