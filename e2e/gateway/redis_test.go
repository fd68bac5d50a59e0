//go:build linux

package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gwdr/e2e/shell"
)

// redisServer is a Redis that keeps nothing on disk. Started again, it is at the same address, and empty.
type redisServer struct {
	t    *testing.T
	args []string
	cmd  *exec.Cmd
	log  bytes.Buffer
}

// newRedis starts a Redis at a socket of its own, and returns its URL, too.
func newRedis(t *testing.T, args ...string) (r *redisServer, url string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "redis") // a test's own folder may have too long a name for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	r = &redisServer{t: t, args: append([]string{"--unixsocket", socket, "--dir", dir, "--save", "", "--port", "0"}, args...)}
	t.Cleanup(func() {
		r.end()
		if t.Failed() {
			t.Logf("redis-server:\n%s", r.log.String())
		}
	})
	if err := r.start(); err != nil {
		t.Fatal(err)
	}
	return r, "unix://" + socket
}

// start starts it, and waits until it is there.
func (r *redisServer) start() error {
	r.cmd = exec.Command("redis-server", r.args...)
	r.cmd.Stdout, r.cmd.Stderr, r.cmd.SysProcAttr = &r.log, &r.log, &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.cmd.Start(); err != nil {
		return err // .ci/run installs it
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("unix", r.args[1])
		if err == nil {
			return conn.Close()
		}
		if time.Now().After(deadline) || syscall.Kill(r.cmd.Process.Pid, 0) != nil {
			return err
		}
	}
}

// end kills it, and waits for its end.
func (r *redisServer) end() {
	if r.cmd.Process == nil || r.cmd.ProcessState != nil {
		return
	}
	if err := r.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		r.t.Error(err)
	}
	r.cmd.Wait() // by a signal, as it was to
}

func (r *redisServer) signal(s syscall.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

// withTLS starts a Redis that also listens on a port of TLS, and returns the URL of that.
func withTLS(t *testing.T, cert, key string, args ...string) (*redisServer, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close() // somebody else may take it before Redis does: then it ends, and the test with it
	r, _ := newRedis(t, append([]string{"--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", cert,
		"--tls-auth-clients", "no", "--bind", "127.0.0.1"}, args...)...)
	return r, fmt.Sprintf("rediss://127.0.0.1:%s/1", port)
}

// patient is for data planes on a busy machine.
const patient = "--limits-redis-timeout=10s"

// planes are a control plane and two data planes that count in the Redis at the URL.
type planes struct {
	*testing.T
	control *server
	data    [2]*server
}

func newPlanes(t *testing.T, url string, flags ...string) *planes {
	t.Helper()
	shell.New(t, binary)
	p := &planes{T: t, control: newTarget(t).server}
	for i := range p.data {
		p.data[i] = serve(t, append(flags, "--role", "data", "--control", "http://"+p.control.Admin, "--limits-redis", url)...)
	}
	return p
}

// limited makes a route for each of the policies, of which so many requests pass, and waits until the data planes have them.
func (p *planes) limited(name, limit string, policies ...string) {
	p.Helper()
	const route = `{"path":"/%s","upstream":"back","auth":"none","limit":{%s,"per":"route","shared":true,"on_loss":%q}}`
	for _, policy := range policies {
		p.control.put("route", name+policy, fmt.Sprintf(route, name+policy, limit, policy))
	}
	p.control.put("route", name+"-last", fmt.Sprintf(`{"path":"/%s-last","upstream":"back","auth":"none"}`, name))
	for _, d := range p.data {
		d.awaits("/"+name+"-last", "", 200)
	}
}

// ask sends so many requests to both data planes in turns, many at once, and returns how many had which status.
func (p *planes) ask(path string, n int) map[int]int {
	p.Helper()
	type answer struct {
		status int
		err    error
	}
	answers := make(chan answer)
	const clients = 8
	for c := range clients {
		go func() {
			for i := c; i < n; i += clients {
				status, err := p.data[i%2].get(path, "")
				answers <- answer{status, err}
			}
		}()
	}
	statuses := map[int]int{}
	for range n {
		a := <-answers
		if a.err != nil {
			p.Error(a.err)
		}
		statuses[a.status]++
	}
	return statuses
}

func (p *planes) wants(path string, n int, want map[int]int) {
	p.Helper()
	if got := p.ask(path, n); fmt.Sprint(got) != fmt.Sprint(want) {
		p.Errorf("%s: of %d requests as many had each status: %v, want %v", path, n, got, want)
	}
}

// Two data planes keep to one limit exactly; while Redis is gone each does what the limit says; and once it is back they share it again.
func TestSharedLimits(t *testing.T) {
	redis, url := newRedis(t)
	p := newPlanes(t, url, patient)
	const few = `"rate":0.001,"burst":20`
	p.limited("few-", few, "local", "allow", "deny")
	p.limited("probe-", `"rate":1000000`, "deny")
	p.limited("after-", few, "deny")
	for _, policy := range []string{"local", "allow", "deny"} {
		p.wants("/few-"+policy, 60, map[int]int{200: 20, 429: 40})
	}
	redis.end()
	p.wants("/few-deny", 20, map[int]int{503: 20})
	p.wants("/few-allow", 20, map[int]int{200: 20})
	p.wants("/few-local", 60, map[int]int{200: 40, 429: 20}) // 20 each
	if err := redis.start(); err != nil {
		t.Fatal(err)
	}
	for _, d := range p.data {
		d.awaits("/probe-deny", "", 200)
	}
	p.wants("/after-deny", 60, map[int]int{200: 20, 429: 40})
	for i, d := range p.data {
		d.end(syscall.SIGTERM)
		for _, line := range []string{"limits are not shared any more", "limits are shared again"} {
			if n := bytes.Count(d.log.Bytes(), []byte(line)); n != 1 {
				t.Errorf("data plane %d said %d times that %s:\n%s", i, n, line, d.log.String())
			}
		}
	}
}

// A Redis that does not answer costs few requests time.
func TestSilentRedis(t *testing.T) {
	redis, url := newRedis(t)
	p := newPlanes(t, url)
	p.limited("", `"rate":1000000`, "allow", "deny")
	p.wants("/deny", 10, map[int]int{200: 10})
	redis.signal(syscall.SIGSTOP)
	start := time.Now()
	p.wants("/allow", 2000, map[int]int{200: 2000}) // of 50 ms each, by eight at once: 12.5 s
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("two thousand requests took %s without Redis", took)
	}
	redis.signal(syscall.SIGCONT)
	for _, d := range p.data {
		d.awaits("/deny", "", 200)
	}
}

// Two data planes have one queue.
func TestSharedQueue(t *testing.T) {
	_, url := newRedis(t)
	p := newPlanes(t, url, patient)
	p.limited("queue-", `"rate":20,"burst":8,"mode":"delay"`, "deny")
	start := time.Now()
	p.wants("/queue-deny", 8, map[int]int{200: 8})
	if took := time.Since(start); took < 7*50*time.Millisecond {
		t.Errorf("eight requests of which twenty pass in a second took %s", took)
	}
}

// The password comes from a file, goes over TLS, and is in no log, also where it is wrong.
func TestRedisWithPassword(t *testing.T) {
	shell.New(t, binary)
	cert, key := certificate(t)
	_, url := withTLS(t, cert, key, "--requirepass", "correct-horse")
	target := newTarget(t)
	target.put("route", "r", `{"path":"/r","upstream":"back","auth":"none",
		"limit":{"rate":0.001,"burst":2,"per":"route","shared":true,"on_loss":"deny"}}`)
	data := func(password, trusted string) *server {
		file := filepath.Join(t.TempDir(), "password")
		if err := os.WriteFile(file, []byte(password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return serveIn(t, t.TempDir(), "env", "SSL_CERT_FILE="+trusted, binary, "serve", "--role", "data", "--control", "http://"+target.Admin,
			"--limits-redis", url, "--limits-redis-password-file", file, patient)
	}
	wrong, stranger := data("battery-staple", cert), data("correct-horse", "/dev/null")
	wrong.awaits("/r", "", 503)
	stranger.awaits("/r", "", 503)
	right := data("correct-horse", cert)
	right.awaits("/r", "", 200)
	right.awaits("/r", "", 429)
	for _, s := range []*server{wrong, stranger, right} {
		for range 3 {
			s.get("/r", "")
		}
		s.end(syscall.SIGTERM)
		if log := s.log.Bytes(); bytes.Contains(log, []byte("correct-horse")) || bytes.Contains(log, []byte("battery-staple")) {
			t.Errorf("it is in the log:\n%s", log)
		}
	}
	if !bytes.Contains(wrong.log.Bytes(), []byte("WRONGPASS")) || !bytes.Contains(stranger.log.Bytes(), []byte("certificate")) {
		t.Errorf("the logs do not say why:\n%s\n%s", wrong.log.String(), stranger.log.String())
	}
}
