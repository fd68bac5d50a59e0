package lab

import (
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/drills"
	"gwdr/e2e/shell"
)

// stall stops the process for so long, and lets it go on.
func stall(t *testing.T, pid int, length time.Duration) {
	t.Helper()
	shell.Freeze(t, pid)
	time.Sleep(length) // the stall itself
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// measuredUntil ends a probe once so much more is on record, and returns what it found.
func measuredUntil(t *testing.T, cmd *exec.Cmd, dir string, out *strings.Builder, more time.Duration) (int, drills.WatchResult) {
	t.Helper()
	last := func() time.Duration {
		facts, err := drills.ReadWatch(dir)
		if err != nil || len(facts.Samples) == 0 {
			return 0
		}
		return facts.Samples[len(facts.Samples)-1].Due
	}
	from := last()
	eventually(t, 30*time.Second, "more attempts on record", func() bool { return last() > from+more })
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	return ended(t, cmd), decode[drills.WatchResult](t, out.String())
}

// TestProbeStopped stops gwdr for 2 s, in which the server is well, or down. What it did not see it does not judge.
func TestProbeStopped(t *testing.T) {
	for name, status := range map[string]int64{"well": http.StatusOK, "down": http.StatusBadGateway} {
		t.Run(name, func(t *testing.T) {
			u, server := newUser(t), newFlaky(t)
			cmd, dir, out := u.probing(server.URL, "--target", "1500ms")
			server.status.Store(status)
			stall(t, cmd.Process.Pid, 2*time.Second)
			server.status.Store(http.StatusOK)
			code, r := measuredUntil(t, cmd, dir, out, 4*time.Second)
			if code != inconclusive || r.Verdict != drills.Inconclusive {
				t.Errorf("exit code %d, %s: %s", code, r.Verdict, r.Reason)
			}
			if !slices.ContainsFunc(r.Findings, func(f string) bool { return strings.HasPrefix(f, "control: ") }) {
				t.Errorf("findings %q, want the control target", r.Findings)
			}
			for _, s := range r.Series {
				if s.Requests.Unknown < 30 {
					t.Errorf("%s: %+v, want the attempts of 2 s at 20/s to be unknown", s.Name, s.Requests)
				}
			}
			u.want(0, "report", "verify", dir)
		})
	}
}

// TestDrillStopped stops a drill for 2 s while its region is down. It is inconclusive, for its prober was blind; or aborted, if its
// guard got there first. Its fault is reverted either way.
func TestDrillStopped(t *testing.T) {
	u := newUser(t)
	r := u.reach(calm(), "observing")
	stall(t, r.Process.Pid, 2*time.Second)
	end := r.result()
	d := decode[drill](t, end.stdout)
	t.Logf("exit code %d, %s: %s; findings %q", end.code, d.Verdict, d.Reason, d.Findings)
	if verdict := map[int]string{inconclusive: "inconclusive", 5: "aborted"}[end.code]; verdict == "" || d.Verdict != verdict || !d.Clean {
		t.Errorf("exit code %d, %s: %s, clean %v", end.code, d.Verdict, d.Reason, d.Clean)
	}
	if !slices.ContainsFunc(d.Findings, func(f string) bool { return strings.HasPrefix(f, "lag: ") }) {
		t.Errorf("findings %q, want lag", d.Findings)
	}
	u.want(0, "drill", "revert")
	u.want(0, "report", "verify", d.Evidence)
}

// TestDrillStarved gives a drill one processor, which it shares with others that come first while its region is down: the prober,
// and what has to find out and promote. The promise is kept with seconds to spare, so that a verdict is pass, and what cannot be
// trusted is none.
func TestDrillStarved(t *testing.T) {
	u := newUser(t)
	r := u.reach(calm(), "observing")
	pin(t, r.Process.Pid)
	hog(t, "0", 1500*time.Millisecond)
	end := r.result()
	d := decode[drill](t, end.stdout)
	t.Logf("exit code %d, %s: %s; findings %q", end.code, d.Verdict, d.Reason, d.Findings)
	switch {
	case end.code == 0 && d.Verdict == "pass", end.starved() && d.Verdict == "inconclusive", end.code == 5 && d.Verdict == "aborted":
	default:
		t.Errorf("exit code %d, %s: %s\n%s", end.code, d.Verdict, d.Reason, end.stderr)
	}
	u.sound(d)
}

// pin leaves the process one processor.
func pin(t *testing.T, pid int) {
	t.Helper()
	if said, err := exec.Command("taskset", "-a", "-p", "-c", "0", strconv.Itoa(pid)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
}

// hog keeps the processor busy for so long, before everybody else where this user may.
func hog(t *testing.T, cpu string, length time.Duration) {
	t.Helper()
	for range 3 {
		c := exec.Command("taskset", "-c", cpu, "sh", "-c", "while :; do :; done")
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		_ = syscall.Setpriority(syscall.PRIO_PROCESS, c.Process.Pid, -20) // as an equal, if not
		defer c.Wait()
		defer c.Process.Kill()
	}
	time.Sleep(length)
}

// TestProbeStarved gives gwdr one processor, which it shares with others that come first, and takes the server down meanwhile. Its
// result is right, or no verdict.
func TestProbeStarved(t *testing.T) {
	u, server := newUser(t), newFlaky(t)
	cmd, dir, out := u.probing(server.URL, "--target", "30s", "--rate", "50")
	pin(t, cmd.Process.Pid)
	before := time.Now()
	server.status.Store(http.StatusBadGateway)
	down := time.Now()
	hog(t, "0", 1500*time.Millisecond)
	up := time.Now()
	server.status.Store(http.StatusOK)
	after := time.Now()
	code, r := measuredUntil(t, cmd, dir, out, 4*time.Second)
	t.Logf("exit code %d, %s: %s; findings %q", code, r.Verdict, r.Reason, r.Findings)
	if len(r.Findings) > 0 {
		if code != inconclusive || r.Verdict != drills.Inconclusive {
			t.Errorf("exit code %d, %s: %s", code, r.Verdict, r.Reason)
		}
		return
	}
	least, most := up.Sub(down).Seconds(), after.Sub(before).Seconds()
	for _, s := range r.Series[:2] {
		if len(s.Outages) != 1 || s.Outages[0].LowS > most || s.Outages[0].HighS < least {
			t.Errorf("%s: %+v, but the server was down for %.3f to %.3f s", s.Name, s.Outages, least, most)
		}
	}
}
