package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/e2e/shell"
)

func TestStopFile(t *testing.T) {
	u := newUser(t)
	r := u.reach(calm(), "observing")
	stop := u.write("evidence/STOP", "")
	if code := r.code(); code != 5 {
		t.Errorf("exit code %d, want 5", code)
	}
	again := u.want(7, "drill", "run", "region-loss")
	contains(t, again.stderr, "STOP blocks all drills")
	if err := os.Remove(stop); err != nil {
		t.Fatal(err)
	}
	list := u.want(0, "drill", "list")
	contains(t, list.stdout, "aborted")
}

func TestGuardKilled(t *testing.T) {
	u := newUser(t)
	r := u.reach(calm(), "observing")
	shell.Kill(t, binary, "drill guard")
	if code := r.code(); code != 5 {
		t.Errorf("exit code %d, want 5", code)
	}
	u.want(0, "drill", "revert")
}

// TestOrphan kills the drill and its guard, so that nobody is left to revert.
func TestOrphan(t *testing.T) {
	u := newUser(t)
	run := u.reach(calm(), "observing")
	shell.Orphan(t, binary)
	run.code()
	if left := shell.Left(binary, 0, 15*time.Second); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
	for _, command := range []string{"drill list", "backup list", "version"} {
		r := u.run(strings.Fields(command)...)
		contains(t, r.stderr, "ORPHANED", "power-cut", "gwdr drill revert")
	}
	r := u.want(7, "drill", "run", "region-loss")
	contains(t, r.stderr, "power-cut")
	u.want(0, "drill", "revert")
	if r = u.want(0, "drill", "list"); strings.Contains(r.stderr, "ORPHANED") {
		t.Errorf("still an orphan: %s", r.stderr)
	}
}

// TestLeaseHeals kills the drill and its guard in a lab that lives on: its faults end with their lease.
func TestLeaseHeals(t *testing.T) {
	u := newUser(t)
	u.want(0, "lab", "up", "--regions", "us-east,us-west", "--instances", "1")
	t.Cleanup(func() { u.run("lab", "down") })
	before := len(shell.Processes(binary, ""))
	run := u.reach(calm(), "observing")
	shell.Orphan(t, binary)
	run.code()
	if down := len(shell.Processes(binary, "")); down >= before {
		t.Errorf("%d processes run with the region down, %d before", down, before)
	}
	eventually(t, 20*time.Second, "the lease of 3 s heals the fault", func() bool { return len(shell.Processes(binary, "")) == before })
	u.want(0, "drill", "revert")
	u.want(0, "lab", "down")
}

// outage returns the calm scenario with a longer stability window, a fault that clients do not notice, and an objective
// that is missed by an outage of a second.
func outage() string {
	s := strings.Replace(calm(), "select: {region: us-east}", "select: {instance: us-east-2}", 1)
	s = strings.Replace(s, "us-east, instances: 1", "us-east, instances: 2", 1)
	s = strings.Replace(s, "stableFor: 1s", "stableFor: 2s", 1)
	s = strings.Replace(s, "  - {id: promote, recover: promote, to: us-west, when: detected}\n", "", 1)
	return strings.Replace(s, "le: 10s", "le: 1s", 1)
}

// TestOutageIsSeen makes an outage behind the drill's back that no retry hides: the edge hangs. It may be overstated, for
// the edge has a backlog to answer then and the machine may be busy, so busy that answers stay slow to the deadline, but never
// understated, and the promise is not kept.
func TestOutageIsSeen(t *testing.T) {
	u, before := newUser(t), pressure()
	r := u.reach(outage(), "observing")
	edge := u.pid("edge")
	shell.Freeze(t, edge)
	time.Sleep(1500 * time.Millisecond) // the length of the outage
	thaw := time.Now()
	if err := syscall.Kill(edge, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	d := decode[drill](t, r.result().stdout)
	truth := thaw.Sub(d.Faults[0].Injected).Seconds()
	rta := d.RTA["data"]
	t.Logf("truth %.3f s, measured %.3f to %.3f s", truth, rta.LowS, rta.HighS)
	if rta.HighS < truth || rta.Impact != "outage" || !rta.Recovered && pressure().since(before) < busy {
		t.Errorf("truth %.3f s, measured %+v", truth, rta)
	}
	missed := map[int]string{3: "fail", inconclusive: "inconclusive"}
	if code := r.code(); missed[code] != d.Verdict || !d.Clean || d.Requests.Failed+d.Requests.Slow < 15 {
		t.Errorf("exit code %d, %s: %s, clean %v, %+v", code, d.Verdict, d.Reason, d.Clean, d.Requests)
	}
}

// pid returns the process of the lab's instance.
func (u *user) pid(instance string) int {
	u.t.Helper()
	found, _ := filepath.Glob(filepath.Join(u.home, ".local/state/gwdr/lab/nodes", instance, "pid.json"))
	if len(found) != 1 {
		u.t.Fatalf("no process of %s", instance)
	}
	raw, err := os.ReadFile(found[0])
	if err != nil {
		u.t.Fatal(err)
	}
	return decode[struct{ PID int }](u.t, string(raw)).PID
}

// TestNothingRecovers kills every data instance of both regions: nobody may call that recovered, or unharmed.
func TestNothingRecovers(t *testing.T) {
	u := newUser(t)
	s := strings.Replace(calm(), "select: {region: us-east}", "select: {role: data}", 1)
	s = strings.Replace(s, "keepHealthyRegions: 1", "keepHealthyRegions: 0", 1)
	s = strings.Replace(s, "  - {id: promote, recover: promote, to: us-west, when: detected}\n", "", 1)
	s = strings.Replace(s, "le: 10s", "le: 2s", 1)
	s = strings.Replace(s, "deadline: 60s", "deadline: 3s", 1)
	u.measure("fail", func(d drill) {
		if rta := d.RTA["data"]; rta.Recovered || rta.Impact != "outage" || !d.Clean {
			t.Errorf("%s (%s), clean %v, RTA %+v", d.Verdict, d.Reason, d.Clean, rta)
		}
		if d.Requests.Failed < 20 || !strings.Contains(fmt.Sprint(d.Objectives), "> 3s") {
			t.Errorf("requests %+v, objectives %+v", d.Requests, d.Objectives)
		}
		u.want(0, "report", "verify", d.Evidence)
	}, "drill", "run", u.write("all.yaml", s), "--json")
}
