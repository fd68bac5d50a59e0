package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"gwdr/drills"
)

// nginx is a web server of others, that a test stops and starts.
type nginx struct {
	t       *testing.T
	program string
	env     []string
	dir     string
	url     string
	cmd     *exec.Cmd
}

func newNginx(t *testing.T) *nginx {
	t.Helper()
	env := tools(t, "nginx")
	n := &nginx{t: t, program: lookIn(t, env, "nginx"), env: env, dir: t.TempDir()}
	address := quietAddress(t)
	n.url = "http://" + address + "/"
	write(t, filepath.Join(n.dir, "nginx.conf"), fmt.Appendf(nil, `daemon off; master_process off; pid %[1]s/pid; error_log stderr;
events { worker_connections 512; }
http {
	access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
	server { listen %[2]s; location / { return 200 "ok\n"; } }
}
`, n.dir, address))
	t.Cleanup(func() {
		if n.cmd != nil {
			n.kill()
		}
	})
	return n
}

// quietAddress returns an address that is free, and whose port the system gives to no connection while it is.
func quietAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

// start starts nginx and returns once it answers.
func (n *nginx) start() {
	n.t.Helper()
	n.cmd = exec.Command(n.program, "-e", "stderr", "-p", n.dir, "-c", filepath.Join(n.dir, "nginx.conf"))
	n.cmd.Env, n.cmd.Stderr = n.env, n.t.Output()
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		response, err := http.Get(n.url)
		if err == nil {
			response.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("nginx does not answer: %v", err)
		}
	}
}

// kill stops nginx at once, and returns when it is gone.
func (n *nginx) kill() {
	n.t.Helper()
	if err := n.cmd.Process.Kill(); err != nil {
		n.t.Fatal(err)
	}
	n.cmd.Wait() // which says that it was killed
	n.cmd = nil
}

// outage is one that the test made: its length lies in [least, most].
type outage struct{ least, most time.Duration }

// stopFor stops nginx for about the length, and marks the instant before with SIGUSR1 if it is told to.
func (n *nginx) stopFor(length time.Duration, gwdr *os.Process, mark bool) outage {
	n.t.Helper()
	if mark {
		if err := gwdr.Signal(syscall.SIGUSR1); err != nil {
			n.t.Fatal(err)
		}
	}
	before := time.Now()
	n.kill()
	gone := time.Now()
	time.Sleep(length) // this is the outage
	started := time.Now()
	n.start()
	return outage{started.Sub(gone), time.Since(before)}
}

// TestProbeBracketsAnOutageOfNginx stops nginx for a known time. A measurement that says that it was itself disturbed, as on a
// busy machine, is made again.
func TestProbeBracketsAnOutageOfNginx(t *testing.T) {
	server, binary := newNginx(t), buildGWDR(t)
	server.start()
	for _, mark := range []bool{false, true} {
		for attempt := 1; ; attempt++ {
			truth, r := measureNginx(t, server, binary, mark)
			if disturbed(r) && attempt < 5 {
				t.Logf("disturbed, try %d: %v", attempt, r.Findings)
				continue
			}
			checkNginx(t, truth, r, mark)
			break
		}
	}
}

// disturbed reports whether a guard did not hold, or an answer was slow: nginx refuses or answers at once.
func disturbed(r drills.WatchResult) bool {
	slow := func(s drills.WatchedSeries) bool { return s.Requests.Slow > 0 }
	return len(r.Findings) > 0 || slices.ContainsFunc(r.Series, slow)
}

func measureNginx(t *testing.T, server *nginx, binary string, mark bool) (outage, drills.WatchResult) {
	t.Helper()
	home := t.TempDir()
	cmd := exec.Command(binary, "probe", server.url, "--baseline", "2s", "--stable-for", "2s", "--for", "9s", "--target", "6s", "--json", "--plain")
	cmd.Dir, cmd.Env = home, append(os.Environ(), "HOME="+home, "XDG_STATE_HOME=", "XDG_CONFIG_HOME=")
	var out bytes.Buffer
	cmd.Stdout = &out
	lines, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	waitForText(t, lines, "pull the plug")
	drained := make(chan struct{})
	go func() { defer close(drained); io.Copy(t.Output(), lines) }()
	truth := server.stopFor(time.Duration(1000+rand.IntN(1000))*time.Millisecond, cmd.Process, mark)
	<-drained
	if err := cmd.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	var r drills.WatchResult
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	verify := exec.Command(binary, "report", "verify", r.Evidence)
	verify.Dir, verify.Env = home, cmd.Env
	if said, err := verify.CombinedOutput(); err != nil {
		t.Errorf("report verify: %v\n%s", err, said)
	}
	return truth, r
}

func waitForText(t *testing.T, r io.Reader, text string) {
	t.Helper()
	var seen []byte
	for one := make([]byte, 1); !bytes.HasSuffix(seen, []byte(text)); seen = append(seen, one...) {
		if _, err := io.ReadFull(r, one); err != nil {
			t.Fatalf("gwdr never said %q: %v\n%s", text, err, seen)
		}
	}
}

// checkNginx wants the truth in every bracket, and the brackets not wider than 1/R and L explain.
func checkNginx(t *testing.T, truth outage, r drills.WatchResult, mark bool) {
	t.Helper()
	within := func(what string, low, high float64) {
		if low > truth.most.Seconds() || high < truth.least.Seconds() {
			t.Errorf("%s: [%.3fs, %.3fs], but nginx was down for %s to %s", what, low, high, truth.least, truth.most)
		}
		t.Logf("%s: [%.3fs, %.3fs], truth in [%s, %s]", what, low, high, truth.least, truth.most)
	}
	for _, s := range r.Series[:2] {
		if len(s.Outages) != 1 || s.Outages[0].Lasting {
			t.Fatalf("%s: %+v; want one outage that is over", s.Name, s.Outages)
		}
		o := s.Outages[0]
		within(s.Name, o.LowS, o.HighS)
		if width := o.HighS - o.LowS; width > 2*s.IntervalS+2*s.LimitS {
			t.Errorf("%s: the bracket is %.3fs wide, with 1/R %.3fs and L %.3fs", s.Name, width, s.IntervalS, s.LimitS)
		}
	}
	if r.Verdict != drills.Pass {
		t.Errorf("%s: %s", r.Verdict, r.Reason)
	}
	if !mark {
		return
	}
	if r.RTA == nil || r.RTA.Impact != "outage" {
		t.Fatalf("RTA is %+v", r.RTA)
	}
	within("RTA", r.RTA.LowS, r.RTA.HighS)
}
