package lab

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// drill is what these tests read of gwdr/drill/v1.
type drill struct {
	Schema     string
	ID         string
	Verdict    string
	Clean      bool
	Reason     string
	Evidence   string
	Objectives []struct{ ID, Metric, Verdict, Value string }
	Faults     []struct {
		Kind     string
		Targets  []string
		Verified bool
		Injected time.Time
	}
	RTA map[string]struct {
		LowS      float64 `json:"low_s"`
		HighS     float64 `json:"high_s"`
		Impact    string
		Recovered bool
	}
	RPA      struct{ Acked, Lost, Resurrected int }
	Requests struct{ Sent, Slow, Failed int }
}

// quick is region-loss with short times: for the tests that end it before its end.
const quick = `
apiVersion: gwdr/v1
kind: Scenario
metadata: {name: quick, title: Loss of a region in a hurry, class: ict-failure}
fleet: lab
topology: {strategy: warm-standby, regions: [{name: us-east, instances: 1}, {name: us-west, instances: 1}], replication: async}
targets: {east: {select: {region: us-east}, expect: {min: 1, max: 3}}}
objectives:
  - {id: rto, metric: rta, plane: data, le: 10s}
steadyState: {baseline: 1s, probes: [{route: orders, every: 20ms, timeout: 1s, key: live}], ledger: {every: 40ms, kinds: [route, key]}}
recovered: {stableFor: 1s, deadline: 30s}
safety: {lease: 3s, maxTargets: 3, keepHealthyRegions: 1, backupFreshness: 1h}
steps:
  - {id: power-cut, fault: kill, target: east, hold: until-recovered+1s}
  - {id: promote, recover: promote, to: us-west, when: detected}
revert: {order: reverse, verify: true, settle: 15s}
`

func TestCatalogue(t *testing.T) {
	for _, name := range []string{"region-loss", "instance-crash", "store-wiped"} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			r := u.measure(0, "drill", "run", name, "--json")
			d := decode[drill](t, r.stdout)
			if d.Schema != "gwdr/drill/v1" || d.Verdict != "pass" || !d.Clean {
				t.Errorf("verdict %q (%s), clean %v", d.Verdict, d.Reason, d.Clean)
			}
			for _, f := range d.Faults {
				if !f.Verified {
					t.Errorf("fault %s of %v was not verified", f.Kind, f.Targets)
				}
			}
			if d.RPA.Acked == 0 || d.RPA.Resurrected != 0 {
				t.Errorf("changes: %+v", d.RPA)
			}
			u.want(0, "drill", "revert")
			u.want(0, "report", "verify", d.Evidence)
			u.want(0, "report", d.Evidence, "--format", "html", "-o", "report.html")
			tamper(t, filepath.Join(d.Evidence, "samples.jsonl.zst"))
			r = u.want(8, "report", "verify", d.Evidence)
			contains(t, r.stdout+r.stderr, "samples.jsonl.zst")
		})
	}
}

// inconclusive is the exit code of a drill that does not trust its own measurement: the machine was too busy.
const inconclusive = 4

// measure runs a drill, again if it was inconclusive, and fails the test unless it ends with the exit code.
func (u *user) measure(code int, args ...string) result {
	u.t.Helper()
	for range 3 {
		r := u.run(args...)
		if r.code != inconclusive && !strings.Contains(r.stderr, "steady state was not held") {
			if r.code != code {
				u.t.Fatalf("gwdr %v: exit code %d, want %d\nstdout: %s\nstderr: %s", args, r.code, code, r.stdout, r.stderr)
			}
			return r
		}
		u.t.Logf("once more: the machine was too busy\n%s", r.stderr)
	}
	return u.want(code, args...)
}

// tamper flips one bit in the middle of the file.
func tamper(t *testing.T, path string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDryRunTouchesNothing(t *testing.T) {
	u := newUser(t)
	r := u.want(0, "drill", "run", "region-loss", "--dry-run")
	contains(t, r.stdout, "us-east-1", "kill", "promote")
	if left := processes(); len(left) > 0 {
		t.Errorf("a dry run started %v", left)
	}
	if entries, err := os.ReadDir(filepath.Join(u.home, "evidence")); err == nil && len(entries) > 0 {
		t.Errorf("a dry run left evidence: %v", entries)
	}
}

func TestBadScenarios(t *testing.T) {
	u := newUser(t)
	r := u.want(2, "drill", "run", "nonsense")
	contains(t, r.stderr, "nonsense", "region-loss")
	file := u.write("typo.yaml", strings.Replace(quick, "maxTargets", "maxTarget", 1))
	r = u.want(2, "drill", "run", file)
	contains(t, r.stderr, "typo.yaml", "maxTarget")
	file = u.write("empty.yaml", strings.Replace(quick, "select: {region: us-east}", "select: {}", 1))
	r = u.want(2, "drill", "run", file)
	contains(t, r.stderr, "empty.yaml", "east")
}

// phases in which a drill is killed or interrupted, in their order.
var phases = []string{"planned", "validated", "preflight", "announced", "baseline", "armed", "injecting", "observing", "recovering", "sustain", "reverting", "settling", "reconciling"}

// TestKilledInEachPhase kills the drill's process, and wants every fault and process gone, and the run marked clean.
func TestKilledInEachPhase(t *testing.T) {
	for _, phase := range phases {
		t.Run(phase, func(t *testing.T) {
			u := newUser(t)
			cmd := u.command("drill", "run", u.write("quick.yaml", quick), "--plain")
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			u.waitForPhase(phase)
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			if left := waitForProcesses(0, 15*time.Second); len(left) > 0 {
				t.Fatalf("still running after the kill: %v", left)
			}
			u.want(0, "drill", "revert")
			u.want(0, "drill", "list")
			d := decode[drill](t, u.want(0, "drill", "show", u.runID(), "--json").stdout)
			if d.Verdict != "error" || !d.Clean || !strings.Contains(d.Reason, "killed") {
				t.Errorf("what is left of the record: %s (%s), clean %v", d.Verdict, d.Reason, d.Clean)
			}
		})
	}
}

// runID returns the id of the only run.
func (u *user) runID() string {
	u.t.Helper()
	journals, _ := filepath.Glob(filepath.Join(u.home, "evidence", "*", "journal.jsonl"))
	if len(journals) != 1 {
		u.t.Fatalf("%d runs", len(journals))
	}
	return filepath.Base(filepath.Dir(journals[0]))
}

// TestInterrupted sends Ctrl-C once, and then twice, after the injection.
func TestInterrupted(t *testing.T) {
	t.Run("once", func(t *testing.T) {
		u := newUser(t)
		if code := u.interrupt("observing", 1); code != 5 {
			t.Errorf("exit code %d, want 5", code)
		}
		u.want(0, "drill", "revert")
	})
	t.Run("before the injection", func(t *testing.T) {
		u := newUser(t)
		if code := u.interrupt("baseline", 1); code != 130 {
			t.Errorf("exit code %d, want 130", code)
		}
	})
	t.Run("while the lab starts", func(t *testing.T) {
		u := newUser(t)
		if code := u.interrupt("planned", 1); code != 130 {
			t.Errorf("exit code %d, want 130", code)
		}
	})
	t.Run("twice", func(t *testing.T) {
		u := newUser(t)
		if code := u.interrupt("observing", 2); code != -1 {
			t.Errorf("exit code %d, want none: the second signal ends it at once", code)
		}
		waitForProcesses(0, 15*time.Second)
		u.want(0, "drill", "revert")
	})
}

// interrupt runs the quick drill, sends SIGINT so many times once it is in the phase, and returns the exit code.
func (u *user) interrupt(phase string, times int) int {
	u.t.Helper()
	cmd := u.command("drill", "run", u.write("quick.yaml", quick), "--plain")
	if err := cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	u.waitForPhase(phase)
	for range times {
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			u.t.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond) // two signals at one instant are one
	}
	cmd.Wait()
	return cmd.ProcessState.ExitCode()
}

// waitForPhase waits until the journal of the only run says that the drill is in the phase.
func (u *user) waitForPhase(phase string) {
	u.t.Helper()
	eventually(u.t, 60*time.Second, "phase "+phase, func() bool {
		journals, _ := filepath.Glob(filepath.Join(u.home, "evidence", "*", "journal.jsonl"))
		if len(journals) != 1 {
			return false
		}
		raw, _ := os.ReadFile(journals[0])
		return strings.Contains(string(raw), `"phase":"`+phase+`"`)
	})
}

// TestTwoDrillsAtOnce wants the second to be refused, and the first not to notice.
func TestTwoDrillsAtOnce(t *testing.T) {
	u := newUser(t)
	file := u.write("quick.yaml", quick)
	first := u.command("drill", "run", file, "--plain")
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	u.waitForPhase("baseline")
	r := u.want(7, "drill", "run", file)
	contains(t, r.stderr, "another drill")
	r = u.want(7, "drill", "run", file, "--evidence", "elsewhere") // of the same lab
	contains(t, r.stderr, "another drill")
	first.Wait()
	if code := first.ProcessState.ExitCode(); code != 0 && code != inconclusive {
		t.Errorf("the first drill: exit code %d", code)
	}
}
