package lab

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gwdr/e2e/shell"
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
	Findings []string
}

// quick is region-loss with short times.
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
	for _, name := range []string{
		"region-loss", "instance-crash", "instance-hang", "store-wiped", "store-corrupted",
		"location-lost", "two-locations-lost", "backup-corrupted", "backups-deleted", "bad-config", "key-store-wiped",
		"region-isolated", "one-way-partition", "latency-between-regions", "quorum-loss", "region-loss-sync",
	} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			d := decode[drill](t, u.measure("pass", u.sound, "drill", "run", name, "--json").stdout)
			u.want(0, "report", d.Evidence, "--format", "html", "-o", "report.html")
			tamper(t, filepath.Join(d.Evidence, "samples.jsonl.zst"))
			r := u.want(8, "report", "verify", d.Evidence)
			contains(t, r.stdout+r.stderr, "samples.jsonl.zst")
		})
	}
}

// sound checks what holds for every drill that came to its end, however far its measurement can be trusted.
func (u *user) sound(d drill) {
	u.t.Helper()
	if d.Schema != "gwdr/drill/v1" || !d.Clean {
		u.t.Errorf("%s: verdict %q (%s), clean %v", d.Schema, d.Verdict, d.Reason, d.Clean)
	}
	for _, f := range d.Faults {
		if !f.Verified {
			u.t.Errorf("fault %s of %v was not verified", f.Kind, f.Targets)
		}
	}
	if len(d.Faults) == 0 || d.RPA.Acked == 0 || d.RPA.Resurrected != 0 {
		u.t.Errorf("%d faults, changes: %+v", len(d.Faults), d.RPA)
	}
	if i := slices.IndexFunc(d.Findings, broken.MatchString); i >= 0 {
		u.t.Error(d.Findings[i])
	}
	u.want(0, "drill", "revert")
	u.want(0, "report", "verify", d.Evidence)
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
	if left := shell.Processes(binary, ""); len(left) > 0 {
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
			for range attempts {
				if u := newUser(t); u.killIn(phase) {
					u.cleanedUp()
					return
				}
				t.Log("once more: the drill came to its end before it was killed")
			}
			t.Errorf("%d drills came to their end before they were killed", attempts)
		})
	}
}

// killIn kills a drill in the phase, and reports whether that came before its end.
func (u *user) killIn(phase string) bool {
	u.t.Helper()
	r := u.reach(calm(), phase)
	if err := r.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		u.t.Fatal(err)
	}
	return r.code() == -1 && !u.entered("clean")
}

// cleanedUp checks that nothing is left of the killed drill, and that its record says so.
func (u *user) cleanedUp() {
	u.t.Helper()
	if left := shell.Left(binary, 0, 15*time.Second); len(left) > 0 {
		u.t.Fatalf("still running after the kill: %v", left)
	}
	u.want(0, "drill", "revert")
	u.want(0, "drill", "list")
	d := decode[drill](u.t, u.want(0, "drill", "show", u.runID(), "--json").stdout)
	if d.Verdict != "error" || !d.Clean || !strings.Contains(d.Reason, "killed") {
		u.t.Errorf("what is left of the record: %s (%s), clean %v", d.Verdict, d.Reason, d.Clean)
	}
}

// TestInterrupted sends Ctrl-C once, and then twice, after the injection.
func TestInterrupted(t *testing.T) {
	t.Run("once", func(t *testing.T) {
		u := newUser(t)
		if code := u.interrupt("observing", false); code != 5 {
			t.Errorf("exit code %d, want 5", code)
		}
		u.want(0, "drill", "revert")
	})
	t.Run("before the injection", func(t *testing.T) {
		u := newUser(t)
		if code := u.interrupt("baseline", false); code != 130 {
			t.Errorf("exit code %d, want 130", code)
		}
	})
	t.Run("while the lab starts", func(t *testing.T) {
		u := newUser(t)
		if code := u.interrupt("planned", false); code != 130 {
			t.Errorf("exit code %d, want 130", code)
		}
	})
	t.Run("twice", func(t *testing.T) {
		u := newUser(t)
		if code := u.interrupt("observing", true); code != -1 {
			t.Errorf("exit code %d, want none: the second signal ends it at once", code)
		}
		shell.Left(binary, 0, 15*time.Second)
		u.want(0, "drill", "revert")
	})
}

// interrupt runs a drill, sends SIGINT once it is in the phase, or again until it ends, and returns the exit code.
func (u *user) interrupt(phase string, again bool) int {
	u.t.Helper()
	r := u.reach(calm(), phase)
	if err := r.Process.Signal(os.Interrupt); err != nil {
		u.t.Fatal(err)
	}
	for again && !r.ended() { // two signals at one instant are one
		if err := r.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
			u.t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	return r.code()
}

// TestTwoDrillsAtOnce wants the second to be refused, and the first not to notice.
func TestTwoDrillsAtOnce(t *testing.T) {
	u := newUser(t)
	first := u.reach(calm(), "baseline")
	r := u.want(7, "drill", "run", "quick.yaml")
	contains(t, r.stderr, "another drill")
	r = u.want(7, "drill", "run", "quick.yaml", "--evidence", "elsewhere") // of the same lab
	contains(t, r.stderr, "another drill")
	if r := first.result(); r.code != 0 && !r.starved() {
		t.Errorf("the first drill: exit code %d\n%s", r.code, r.stderr)
	}
}
