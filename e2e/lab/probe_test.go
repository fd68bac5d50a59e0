package lab

import (
	"errors"
	"io"
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
	"gwdr/probes"
)

// flaky is a server that answers as it is told.
type flaky struct {
	*httptest.Server
	status  atomic.Int64
	headers atomic.Value // of the last request
	host    atomic.Value // that the last request was for
}

func newFlaky(t *testing.T) *flaky {
	t.Helper()
	f := &flaky{}
	f.status.Store(http.StatusOK)
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.headers.Store(r.Header.Clone())
		f.host.Store(r.Host)
		w.WriteHeader(int(f.status.Load()))
	}))
	t.Cleanup(f.Close)
	return f
}

// probing starts gwdr probe, and returns it once it has flushed attempts to its evidence.
func (u *user) probing(args ...string) (cmd *exec.Cmd, dir string, out *strings.Builder) {
	u.t.Helper()
	out = &strings.Builder{}
	cmd = u.command(append([]string{"probe", "--baseline", "1s", "--stable-for", "1s", "--json"}, args...)...)
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	eventually(u.t, 20*time.Second, "attempts on record", func() bool {
		found, _ := filepath.Glob(filepath.Join(u.home, "evidence", "probe-*", drills.SamplesFile))
		if len(found) != 1 {
			return false
		}
		dir = filepath.Dir(found[0])
		facts, err := drills.ReadWatch(dir)
		late := func(s probes.Sample) bool { return s.Series == "control" && s.Due > 3*time.Second } // long after the baseline
		return err == nil && slices.ContainsFunc(facts.Samples, late)
	})
	return cmd, dir, out
}

func ended(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	if err := cmd.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

// TestProbeKilled kills gwdr without a warning: what it had measured is on record, and can be judged.
func TestProbeKilled(t *testing.T) {
	u, server := newUser(t), newFlaky(t)
	cmd, dir, _ := u.probing(server.URL)
	if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ended(t, cmd)
	r := decode[drills.WatchResult](t, u.want(0, "report", dir, "--json").stdout)
	if r.Schema != drills.WatchSchema || r.Verdict != drills.Errored || len(r.Series) != 3 || r.Series[0].Requests.OK < 20 {
		t.Errorf("%+v", r)
	}
	contains(t, u.want(0, "report", dir).stdout, "the record has no end: gwdr was killed")
	v := decode[struct{ Incomplete, Verified bool }](t, u.want(8, "report", "verify", dir, "--json").stdout)
	if !v.Incomplete || v.Verified {
		t.Errorf("%+v", v)
	}
	contains(t, u.want(2, "drill", "show", "1").stderr, "no run 1") // a probe is none
}

// TestProbeInterrupted: without --for an interrupt is the end that was asked for, with it the measurement is cut short.
func TestProbeInterrupted(t *testing.T) {
	for _, c := range []struct {
		code int
		args []string
	}{{0, nil}, {130, []string{"--for", "1h"}}} {
		u, server := newUser(t), newFlaky(t)
		cmd, dir, out := u.probing(append(c.args, server.URL)...)
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if code := ended(t, cmd); code != c.code {
			t.Errorf("%v: exit code %d, want %d", c.args, code, c.code)
		}
		if r := decode[drills.WatchResult](t, out.String()); r.Evidence != dir || r.Interrupted != (c.code == 130) {
			t.Errorf("%v: %+v", c.args, r)
		}
		u.want(0, "report", "verify", dir)
	}
}

// TestProbeMissed has a server that fails for longer than was promised, and goes on failing: there is nothing to wait for.
func TestProbeMissed(t *testing.T) {
	u, server := newUser(t), newFlaky(t)
	cmd, dir, out := u.probing(server.URL, "--target", "2s", "--rate", "20")
	server.status.Store(http.StatusBadGateway)
	eventually(t, 30*time.Second, "an outage of 3 s", func() bool {
		facts, err := drills.ReadWatch(dir)
		if err != nil {
			return false
		}
		outages := drills.JudgeWatch(facts).Series[0].Outages
		return len(outages) > 0 && outages[len(outages)-1].LowS > 3
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	code := ended(t, cmd)
	r := decode[drills.WatchResult](t, out.String())
	if len(r.Findings) > 0 { // the machine was too busy to measure, and says so
		if code != 4 {
			t.Errorf("exit code %d, want 4: %v", code, r.Findings)
		}
		return
	}
	if code != 3 || r.Verdict != drills.Fail || !r.Series[0].Outages[0].Lasting || r.Series[0].Classes["fail:status"] < 60 {
		t.Errorf("exit code %d: %+v", code, r)
	}
}

// TestProbeSecrets looks for the secrets wherever gwdr writes: on its streams and in the evidence.
func TestProbeSecrets(t *testing.T) {
	u, server := newUser(t), newFlaky(t)
	u.env = append(u.env, "TOKEN=s3cr3t-in-env")
	file := u.write("key", "s3cr3t-in-file\n")
	r := u.want(0, "probe", server.URL+"/?api_key=s3cr3t-in-query", "--for", "2s", "--baseline", "1s", "--log-level", "debug", "--host", "api.example.com",
		"--header", "authorization: Bearer env:TOKEN", "--header", "X-Api-Key: @"+file)
	got := server.headers.Load().(http.Header)
	if got.Get("Authorization") != "Bearer s3cr3t-in-env" || got.Get("X-Api-Key") != "s3cr3t-in-file" {
		t.Errorf("sent %v", got)
	}
	if host := server.host.Load(); host != "api.example.com" {
		t.Errorf("asked for %v", host)
	}
	contains(t, r.stdout, "api_key=***")
	texts := map[string]string{"stdout": r.stdout, "stderr": r.stderr}
	for _, pattern := range []string{"*.json", "*.jsonl"} {
		files, _ := filepath.Glob(filepath.Join(u.home, "evidence", "probe-*", pattern))
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			texts[file] = string(content)
		}
	}
	if len(texts) != 6 {
		t.Errorf("looked at %d texts, want journal, report, manifest, attestation and two streams", len(texts))
	}
	for name, text := range texts {
		if strings.Contains(text, "s3cr3t") {
			t.Errorf("%s holds a secret:\n%s", name, text)
		}
	}
}

// TestProbeDiskFull: without room for evidence there is no result, and an error that says so.
func TestProbeDiskFull(t *testing.T) {
	u, server := newUser(t), newFlaky(t)
	u.want(0, "version")
	small := filepath.Join(u.home, "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "-rm", "sh", "-c", `mount -t tmpfs -o size=24k tmpfs "$0" && exec "$@"`, small,
		binary, "probe", server.URL, "--rate", "200", "--for", "2m", "--evidence", small, "--json")
	cmd.Dir, cmd.Env = u.home, u.env
	var errs strings.Builder
	cmd.Stderr = &errs
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(stdout)
	if code := ended(t, cmd); code != 1 || err != nil || len(out) > 0 || time.Since(began) > time.Minute {
		t.Errorf("exit code %d after %s, %v: %s", code, time.Since(began), err, out)
	}
	contains(t, errs.String(), "no space left on device", "write evidence in "+small, "hint: ")
}
