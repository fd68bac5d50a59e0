package lab

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gwdr/drills"
	"gwdr/fleet/link"
)

const agentToken = "s3cr3t-token-of-the-agents"

// agent is a gwdr probe agent in a process of its own.
type agent struct {
	*exec.Cmd
	url  string
	said string // file of its stderr
}

// inside makes the command see another /etc/hosts.
func inside(hosts string, cmd *exec.Cmd) {
	args := append([]string{"unshare", "-rm", "sh", "-c", `mount --bind "$0" /etc/hosts && exec "$@"`, hosts, cmd.Path}, cmd.Args[1:]...)
	path, err := exec.LookPath("unshare")
	if err != nil {
		path = "unshare"
	}
	cmd.Path, cmd.Args = path, args
}

// agent starts one, and returns once controllers can connect. hosts is its /etc/hosts; empty leaves it alone.
func (u *user) agent(name, hosts string, args ...string) *agent {
	u.t.Helper()
	u.env = append(u.env, "GWDR_VANTAGE_TOKEN="+agentToken)
	ready := filepath.Join(u.home, name+".ready")
	a := &agent{said: filepath.Join(u.home, name+".log"), Cmd: u.command(append([]string{"probe", "agent", "--listen", "127.0.0.1:0",
		"--token-file", u.write("token", agentToken+"\n"), "--ready-file", ready, "--log-level", "debug"}, args...)...)}
	if hosts != "" {
		inside(hosts, a.Cmd)
	}
	log, err := os.Create(a.said)
	if err != nil {
		u.t.Fatal(err)
	}
	defer log.Close()
	a.Stderr = log
	if err := a.Start(); err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() {
		if a.ProcessState == nil {
			a.Process.Kill()
			a.Wait()
		}
	})
	eventually(u.t, 20*time.Second, "agent "+name, func() bool {
		b, err := os.ReadFile(ready)
		var r struct{ Listen string }
		if err != nil || json.Unmarshal(b, &r) != nil {
			return false
		}
		a.url = "http://" + r.Listen
		return true
	})
	return a
}

func (a *agent) saying(text string) bool {
	b, err := os.ReadFile(a.said)
	return err == nil && strings.Contains(string(b), text)
}

// end ends the agent by a signal, and returns its exit code.
func (a *agent) end(t *testing.T, s os.Signal) int {
	t.Helper()
	if err := a.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	return ended(t, a.Cmd)
}

// series returns the series of that name, which must be there.
func series(t *testing.T, r drills.WatchResult, name string) drills.WatchedSeries {
	t.Helper()
	i := slices.IndexFunc(r.Series, func(s drills.WatchedSeries) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("no series %q among %d", name, len(r.Series))
	}
	return r.Series[i]
}

// forked is a target with one name and two ways to it: each is a link on a loopback address of its own, with the same port.
type forked struct {
	url    string
	links  [2]*link.Link
	hosts  [2]string // files that lead to either
	server *httptest.Server
}

func newForked(u *user) *forked {
	f := &forked{server: httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))}
	u.t.Cleanup(f.server.Close)
	to := strings.TrimPrefix(f.server.URL, "http://")
	open := func(listen string) (*link.Link, error) {
		return link.Listen(link.Spec{ID: listen, Listen: listen, To: to}, nil)
	}
	for f.links[1] == nil { // until a port is free on both
		first, err := open("127.0.0.1:0")
		if err != nil {
			u.t.Fatal(err)
		}
		u.t.Cleanup(func() { first.Close() })
		_, port, _ := strings.Cut(first.Addr(), ":")
		second, err := open("127.0.0.2:" + port)
		if err != nil {
			continue
		}
		u.t.Cleanup(func() { second.Close() })
		f.links, f.url = [2]*link.Link{first, second}, "http://target.test:"+port+"/"
	}
	for i := range f.hosts {
		f.hosts[i] = u.write(fmt.Sprintf("hosts.%d", i), fmt.Sprintf("127.0.0.1 localhost\n127.0.0.%d target.test\n", i+1))
	}
	return f
}

// TestOnlyOneVantagePointIsCutOff is a partition: eu loses the target for a while, us and the controller do not. Where the
// machine was too busy to measure, it is made again.
func TestOnlyOneVantagePointIsCutOff(t *testing.T) {
	u := newUser(t)
	f := newForked(u)
	eu, us := u.agent("eu", f.hosts[1]), u.agent("us", f.hosts[0])
	for try := 1; ; try++ {
		r, truth := partition(t, u, f, eu, us)
		if slow(r) && try < 8 {
			t.Logf("disturbed, try %d: %v", try, r.Findings)
			continue
		}
		if !slow(r) { // else the machine was too busy to measure all along
			checkPartition(t, r, truth)
		}
		u.want(0, "report", "verify", r.Evidence)
		text := u.want(0, "report", r.Evidence).stdout
		contains(t, text, "eu: fresh", "us: keepalive", "its clock known to ±", "control of eu")
		break
	}
	for _, a := range []*agent{eu, us} {
		if code := a.end(t, syscall.SIGTERM); code != 0 {
			t.Errorf("agent: exit code %d", code)
		}
	}
}

// slow reports whether a guard did not hold, or an answer took long: the target answers at once or not at all.
func slow(r drills.WatchResult) bool {
	return len(r.Findings) > 0 || slices.ContainsFunc(r.Series, func(s drills.WatchedSeries) bool { return s.Requests.Slow > 0 })
}

// partitioned is when eu was cut off, and when it no longer was: between two instants each.
type partitioned struct{ cutting, cut, healing, healed time.Time }

func (p partitioned) least() float64 { return p.healing.Sub(p.cut).Seconds() }
func (p partitioned) most() float64  { return p.healed.Sub(p.cutting).Seconds() }

// partition measures while eu is cut off for a while.
func partition(t *testing.T, u *user, f *forked, eu, us *agent) (r drills.WatchResult, truth partitioned) {
	u.t.Helper()
	cmd := u.command("probe", f.url, "--vantage", "eu="+eu.url, "--vantage", "us="+us.url, "--baseline", "2s", "--stable-for", "2s", "--for", "10s",
		"--rate", "10", "--target", "6s", "--json", "--plain")
	inside(f.hosts[0], cmd)
	var out strings.Builder
	cmd.Stdout = &out
	said := filepath.Join(u.home, "controller.log")
	log, err := os.Create(said)
	if err != nil {
		u.t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	eventually(u.t, 20*time.Second, "the end of the baseline", func() bool {
		b, err := os.ReadFile(said)
		return err == nil && strings.Contains(string(b), "pull the plug")
	})
	if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil { // the mark
		u.t.Fatal(err)
	}
	truth.cutting = time.Now()
	if err := f.links[1].Set(link.State{Mode: link.Refuse, Lease: time.Minute}); err != nil {
		u.t.Fatal(err)
	}
	truth.cut = time.Now()
	eventually(u.t, time.Minute, "1.5 s", func() bool { return time.Since(truth.cut) > 1500*time.Millisecond })
	truth.healing = time.Now()
	if err := f.links[1].Set(link.State{Mode: link.Pass}); err != nil {
		u.t.Fatal(err)
	}
	truth.healed = time.Now()
	ended(t, cmd)
	return decode[drills.WatchResult](u.t, out.String()), truth
}

// checkPartition wants the outage in the series of eu alone, and its true length and recovery inside their brackets.
func checkPartition(t *testing.T, r drills.WatchResult, truth partitioned) {
	t.Helper()
	if r.Mark == nil {
		t.Fatal("the mark is lost")
	}
	for _, name := range []string{"eu: fresh", "eu: keepalive"} {
		s := series(t, r, name)
		if len(s.Outages) != 1 || s.Outages[0].LowS > truth.most() || s.Outages[0].HighS < truth.least() {
			t.Errorf("%s: %+v, was down for %vs to %vs", name, s.Outages, truth.least(), truth.most())
		}
		if s.RTA == nil || s.RTA.HighS < truth.healing.Sub(*r.Mark).Seconds() || s.RTA.LowS > truth.healed.Sub(*r.Mark).Seconds() {
			t.Errorf("%s: %+v, was back between %s and %s after the mark", name, s.RTA, truth.healing.Sub(*r.Mark), truth.healed.Sub(*r.Mark))
		}
	}
	for _, name := range []string{"fresh", "keepalive", "us: fresh", "us: keepalive", "eu: control", "us: control"} {
		if s := series(t, r, name); len(s.Outages) > 0 {
			t.Errorf("%s: %+v, want none", name, s.Outages)
		}
	}
	if len(r.Findings) == 0 && (r.Verdict != drills.Pass || !strings.HasPrefix(r.RTA.Series, "eu: ")) {
		t.Errorf("%s: %s, RTA %+v", r.Verdict, r.Reason, r.RTA)
	}
	for _, v := range r.Vantages {
		if v.Readings < 9 || v.OffsetLowS > v.OffsetHighS || v.HalfWidthS <= 0 || !v.Whole || v.Unknown > 0 {
			t.Errorf("%+v", v)
		}
	}
}

// TestVantageAgentKilled: of what was due after its death nothing is known, and nothing can be promised.
func TestVantageAgentKilled(t *testing.T) {
	u, server := newUser(t), newFlaky(t)
	eu := u.agent("eu", "")
	cmd, dir, out := u.probing(server.URL, "--vantage", "eu="+eu.url, "--target", "10s")
	eu.end(t, syscall.SIGKILL)
	told := samplesOf(t, dir, "fresh") // here it goes on
	eventually(t, 30*time.Second, "a second without eu", func() bool { return samplesOf(t, dir, "fresh") > told+30 })
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	code := ended(t, cmd)
	r := decode[drills.WatchResult](t, out.String())
	if code != 4 || r.Verdict != drills.Inconclusive {
		t.Errorf("exit code %d, %s: %s", code, r.Verdict, r.Reason)
	}
	s := series(t, r, "eu: fresh")
	if s.Requests.Unknown < 20 || s.Requests.OK < 20 || r.Vantages[0].Whole || r.Vantages[0].Cuts == 0 || r.Vantages[0].Unknown < 60 {
		t.Errorf("%+v, %+v", s.Requests, r.Vantages)
	}
	lost := func(f string) bool { return strings.HasPrefix(f, "vantage: eu: nothing was heard of") }
	if !slices.ContainsFunc(r.Findings, lost) {
		t.Errorf("findings %q", r.Findings)
	}
	u.want(0, "report", "verify", dir)
}

func samplesOf(t *testing.T, dir, name string) (n int) {
	t.Helper()
	facts, err := drills.ReadWatch(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range facts.Samples {
		if s.Series == name {
			n++
		}
	}
	return n
}

// TestVantageAgentStalled: a target that seems slow from there is not to blame, for the agent's own was slow as well.
func TestVantageAgentStalled(t *testing.T) {
	u, server := newUser(t), newFlaky(t)
	eu := u.agent("eu", "")
	cmd, _, out := u.probing(server.URL, "--vantage", "eu="+eu.url, "--target", "10s")
	if err := eu.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	eventually(t, time.Minute, "a second", func() bool { return time.Since(began) > time.Second })
	if err := eu.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "a second", func() bool { return time.Since(began) > 2500*time.Millisecond })
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := ended(t, cmd); code != 4 {
		t.Errorf("exit code %d, want 4", code)
	}
	r := decode[drills.WatchResult](t, out.String())
	found := func(f string) bool { return strings.HasPrefix(f, "control: eu: ") }
	if !slices.ContainsFunc(r.Findings, found) || !r.Vantages[0].Whole {
		t.Errorf("%q, %+v", r.Findings, r.Vantages)
	}
	if s := series(t, r, "eu: fresh"); s.Requests.Unknown < 5 {
		t.Errorf("%+v, want what was not sent in time unknown", s.Requests)
	}
}

// TestVantageControllerKilled: the agent stops by its lease, and what came until then can be judged.
func TestVantageControllerKilled(t *testing.T) {
	u := newUser(t)
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer server.Close()
	eu := u.agent("eu", "", "--lease", "3s")
	cmd, dir, _ := u.probing(server.URL, "--vantage", "eu="+eu.url)
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ended(t, cmd)
	eventually(t, 20*time.Second, "the end of the lease", func() bool { return eu.saying("why=lapsed") })
	before := asked.Load()
	r := decode[drills.WatchResult](t, u.want(0, "report", dir, "--json").stdout)
	if r.Verdict != drills.Errored || series(t, r, "eu: fresh").Requests.OK < 20 || r.Vantages[0].Readings < 8 {
		t.Errorf("%s: %+v", r.Verdict, r.Vantages)
	}
	u.want(8, "report", "verify", dir)
	if after := asked.Load(); after != before {
		t.Errorf("%d requests came without an owner", after-before)
	}
	r = decode[drills.WatchResult](t, u.want(0, "probe", server.URL, "--vantage", "eu="+eu.url, "--for", "1s", "--baseline", "500ms", "--json").stdout)
	if !r.Vantages[0].Whole {
		t.Errorf("the agent serves nobody any more: %+v", r.Vantages)
	}
}

// TestVantageAgentEnded: SIGTERM is a clean end, and the controller is told.
func TestVantageAgentEnded(t *testing.T) {
	u, server := newUser(t), newFlaky(t)
	eu := u.agent("eu", "")
	cmd, dir, out := u.probing(server.URL, "--vantage", "eu="+eu.url, "--slo", "1")
	if code := eu.end(t, syscall.SIGTERM); code != 0 {
		t.Errorf("agent: exit code %d", code)
	}
	told := samplesOf(t, dir, "fresh")
	eventually(t, 30*time.Second, "a second without eu", func() bool { return samplesOf(t, dir, "fresh") > told+30 })
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := ended(t, cmd); code != 4 {
		t.Errorf("exit code %d, want 4", code)
	}
	r := decode[drills.WatchResult](t, out.String())
	if !strings.Contains(r.Vantages[0].Reason, "terminated") {
		t.Errorf("%+v", r.Vantages)
	}
}

// TestVantageRefused has nothing measured, and no evidence of nothing.
func TestVantageRefused(t *testing.T) {
	u, server := newUser(t), newFlaky(t)
	eu := u.agent("eu", "", "--allow", "api.example.com", "--max-rate", "100")
	args := []string{"probe", server.URL, "--vantage", "eu=" + eu.url, "--for", "1s", "--baseline", "500ms"}
	contains(t, u.want(7, args...).stderr, "vantage point eu: ", "127.0.0.1", "is none of the hosts that it may probe")
	contains(t, u.want(7, append(args, "--rate", "60")...).stderr, "120 attempts a second, 100 is the most")
	wrong := u.write("wrong", "s3cr3t-of-somebody-else")
	r := u.want(7, append(args, "--vantage-token-file", wrong)...)
	contains(t, r.stderr, "vantage point eu: ", "the token is not the agent's", "hint: ")
	if found, _ := filepath.Glob(filepath.Join(u.home, "evidence", "*")); len(found) > 0 || strings.Contains(r.stderr, "s3cr3t") {
		t.Errorf("evidence %v\n%s", found, r.stderr)
	}
	if code := eu.end(t, syscall.SIGKILL); code != -1 {
		t.Errorf("exit code %d", code)
	}
	contains(t, u.want(1, args...).stderr, "vantage point eu: ", "connection refused", "hint: ")
}

// TestVantageSecrets: what a header holds is sent from there, and is nowhere else: not in the agent's log, and not here.
func TestVantageSecrets(t *testing.T) {
	u, server := newUser(t), newFlaky(t)
	eu := u.agent("eu", "")
	u.env = append(u.env, "TOKEN=s3cr3t-in-env")
	r := u.want(0, "probe", server.URL+"/?api_key=s3cr3t-in-query", "--for", "2s", "--baseline", "1s", "--log-level", "debug", "--vantage", "eu="+eu.url,
		"--vantage-only", "--header", "authorization: Bearer env:TOKEN", "--json")
	if got := server.headers.Load().(http.Header).Get("Authorization"); got != "Bearer s3cr3t-in-env" {
		t.Errorf("sent %q", got)
	}
	result := decode[drills.WatchResult](t, r.stdout)
	if len(result.Series) != 4 || series(t, result, "eu: fresh").Requests.OK == 0 {
		t.Errorf("%d series, want the control target and three of eu", len(result.Series))
	}
	eu.end(t, syscall.SIGTERM)
	files, _ := filepath.Glob(filepath.Join(u.home, "evidence", "probe-*", "*.json*"))
	texts := map[string]string{"stdout": r.stdout, "stderr": r.stderr}
	for _, file := range append(files, eu.said) {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts[file] = string(b)
	}
	for name, text := range texts {
		if strings.Contains(text, "s3cr3t") {
			t.Errorf("%s holds a secret:\n%s", name, text)
		}
	}
	if !eu.saying("session has ended") {
		t.Error("the agent logs nothing at all")
	}
}
