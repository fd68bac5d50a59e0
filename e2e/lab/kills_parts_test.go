package lab

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/e2e/shell"
	"gwdr/fleet"
)

// parts is how often each of the tests below kills: a twentieth of killsVariable, and at least so often.
const parts = 2

// eachPart runs a drill of a fault, chosen at random among those given, again and again, and kills something while the fault is in
// effect. After each the lab is whole again.
func eachPart(t *testing.T, all []fault, kill func(k *killer, r *run, f fault, dir string)) {
	k := newKiller(t)
	for range max(parts, number(t, killsVariable)/20) {
		f := all[k.random.IntN(len(all))]
		r, dir := k.inEffect(f.scenario("20s"))
		time.Sleep(k.moment(time.Second))
		kill(k, r, f, dir)
		gone, left := k.scene.gone(t.Context(), goneWithin)
		t.Logf("%s: whole within %.1f s", f.kind, gone.Seconds())
		if len(left) > 0 {
			t.Fatalf("%s: left behind: %s", f.kind, strings.Join(left, "\n"))
		}
		k.want(0, "drill", "revert")
		k.reported(f, "observing", dir)
	}
}

// inEffect starts a drill, and returns it and the directory of its run once its fault is in effect. One that was refused, because the
// machine is too busy for any steady state, is started again.
func (k *killer) inEffect(scenario string) (*run, string) {
	k.t.Helper()
	for range attempts {
		before := k.runs()
		r := k.start(scenario)
		eventually(k.t, time.Minute, "the fault is in effect", func() bool { return r.ended() || k.phase(before) == "observing" })
		if !r.ended() {
			return r, k.newRun(before)
		}
		if end := r.result(); end.code != 7 || !end.starved() {
			k.t.Fatalf("the drill ended: exit code %d\n%s", end.code, end.stderr)
		}
	}
	k.t.Fatalf("%d drills did not begin: the machine was too busy for a steady state", attempts)
	return nil, ""
}

// TestGuardKills kills guards: the drill reverts, and stops.
func TestGuardKills(t *testing.T) {
	eachPart(t, faults(t), func(k *killer, r *run, f fault, _ string) {
		shell.Kill(t, binary, "drill guard")
		if code := r.code(); code != 5 {
			t.Errorf("%s: exit code %d, want 5", f.kind, code)
		}
		contains(t, r.result().stdout, "guard")
	})
}

// TestBothKills kills the drill and its guard at once: leases end what is in effect, the next command says that there is an orphan,
// and a revert cleans up.
func TestBothKills(t *testing.T) {
	eachPart(t, faults(t), func(k *killer, r *run, f fault, _ string) {
		bothKilled(t, r)
		if left, still := k.scene.gone(t.Context(), goneWithin); len(still) > 0 {
			t.Fatalf("%s: the lease of 3 s has not healed it after %s: %s", f.kind, left, strings.Join(still, "\n"))
		}
		contains(t, k.run("version").stderr, "ORPHANED", "gwdr drill revert")
		k.want(7, "drill", "run", "quick.yaml")
		k.want(0, "drill", "revert")
		if said := k.run("version").stderr; strings.Contains(said, "ORPHANED") {
			t.Errorf("still an orphan: %s", said)
		}
	})
}

// bothKilled kills the drill and its guard within a millisecond.
func bothKilled(t *testing.T, r *run) {
	t.Helper()
	shell.Kill(t, binary, "drill guard")
	r.Process.Kill()
	if code := r.code(); code != -1 {
		t.Fatalf("the drill ended by itself: exit code %d", code)
	}
}

// TestLinksKills kills the process that carries the links and does what is done to them: the faults of links are over then, and the
// drill, which cannot know since when, is aborted.
func TestLinksKills(t *testing.T) {
	ofLinks := slices.DeleteFunc(faults(t), func(f fault) bool {
		return !slices.Contains([]fleet.FaultKind{fleet.Isolate, fleet.Partition, fleet.Latency, fleet.Bandwidth, fleet.Reset, fleet.BlackHole}, f.kind)
	})
	eachPart(t, ofLinks, func(k *killer, r *run, f fault, _ string) {
		shell.Kill(t, binary, "lab links")
		began := time.Now()
		if code := r.code(); code != 5 {
			t.Errorf("%s: exit code %d, want 5\n%s", f.kind, code, r.result().stderr)
		}
		t.Logf("%s: the drill ended %.1f s after its links", f.kind, time.Since(began).Seconds())
	})
}

// TestSupervisorKills kills the parent of the lab: all of it ends, the faults with it, and the drill says so.
func TestSupervisorKills(t *testing.T) {
	all := faults(t)
	for range max(parts, number(t, killsVariable)/20) {
		k := newKiller(t)
		f := all[k.random.IntN(len(all))]
		r, _ := k.inEffect(f.scenario("20s"))
		shell.Kill(t, binary, "lab supervise")
		began := time.Now()
		if code := r.code(); code != 5 {
			t.Errorf("%s: exit code %d, want 5\n%s", f.kind, code, r.result().stderr)
		}
		t.Logf("%s: the drill ended %.1f s after its lab", f.kind, time.Since(began).Seconds())
		if left := shell.Left(binary, 0, goneWithin); len(left) > 0 {
			t.Errorf("%s: still running: %v", f.kind, left)
		}
		k.want(0, "drill", "revert")
		if now := k.scene.locationsNow(); !slices.Equal(now, k.scene.locations) { // which outlive the lab
			t.Errorf("%s: locations: %v", f.kind, difference(k.scene.locations, now))
		}
		k.want(0, "lab", "down") // removes what a lab leaves that died
		k.want(0, "drill", "list")
	}
}

// TestAnotherBuildReverts kills drills and their guards, and reverts with a gwdr of another version, from the records alone and before
// the lease ends: every kind of fault where killsVariable is set, and else some, drawn anew each time.
func TestAnotherBuildReverts(t *testing.T) {
	other := filepath.Join(t.TempDir(), "gwdr")
	build := exec.Command("go", "build", "-ldflags", "-s -w -X gwdr/cmd.release=v99.0.0", "-o", other, ".")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	k := newKiller(t)
	version := k.command("version")
	version.Path = other
	said, err := version.Output()
	if own := k.want(0, "version").stdout; err != nil || !strings.Contains(string(said), "v99.0.0") || strings.Contains(own, "v99.0.0") {
		t.Fatalf("versions %q and %q, %v", own, said, err)
	}
	all := faults(t)
	if number(t, killsVariable) == 0 {
		k.random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		all = all[:8]
	}
	for _, f := range all {
		r, dir := k.inEffect(strings.Replace(f.scenario("20s"), "lease: 3s", "lease: 60s", 1))
		bothKilled(t, r)
		if left := k.scene.leftovers(t.Context()); len(left) == 0 && f.kind != fleet.RestartLoop && f.kind != fleet.Slow {
			t.Errorf("%s: not in effect any more, although its lease of a minute is not over", f.kind)
		}
		cmd := k.command("drill", "revert", filepath.Base(dir))
		cmd.Path = other
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "reverted it") {
			t.Errorf("%s: revert by another build: %v\n%s", f.kind, err, out)
		}
		if _, left := k.scene.gone(t.Context(), 5*time.Second); len(left) > 0 { // far less than what is left of the lease
			t.Fatalf("%s: left behind: %s", f.kind, strings.Join(left, "\n"))
		}
		if text, err := os.ReadFile(filepath.Join(dir, "revert.jsonl")); err != nil || !strings.Contains(string(text), `"fault-reverted"`) {
			t.Errorf("%s: %v: no revert on record: %s", f.kind, err, text)
		}
	}
}

// TestTargetGone kills the target while a fault of processes is in effect, and ends the drill with SIGTERM: the target runs again
// afterwards, and nobody else was hit.
func TestTargetGone(t *testing.T) {
	ofProcesses := slices.DeleteFunc(faults(t), func(f fault) bool {
		return !slices.Contains([]fleet.FaultKind{fleet.Pause, fleet.Slow, fleet.ClockOffset, fleet.CPUPressure, fleet.MemoryPressure}, f.kind)
	})
	eachPart(t, ofProcesses, func(k *killer, r *run, f fault, _ string) {
		shell.Kill(t, binary, "--instance us-east-1 ")
		if err := r.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := r.code(); code != 5 {
			t.Errorf("%s: exit code %d, want 5\n%s", f.kind, code, r.result().stderr)
		}
	})
}

// TestRevertNeverWorks has somebody sit on a port of a killed target: the revert gives up, says so, and no drill starts until one has
// worked.
func TestRevertNeverWorks(t *testing.T) {
	k := newKiller(t)
	down := fault{kind: fleet.Kill, target: data}
	r, _ := k.inEffect(strings.Replace(down.scenario("20s"), "lease: 3s", "lease: 5m", 1))
	bothKilled(t, r)
	target := (fleet.Selector{Instance: "us-east-1"}).Select(k.scene.instances)[0]
	squatter, err := net.Listen("tcp", strings.TrimPrefix(target.AdminURL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer squatter.Close()
	contains(t, k.want(6, "drill", "revert").stderr, "a fault may still be in effect", "its port is taken by another process")
	contains(t, k.want(7, "drill", "run", "quick.yaml").stderr, "did not end clean")
	squatter.Close()
	k.want(0, "drill", "revert")
	if _, left := k.scene.gone(t.Context(), goneWithin); len(left) > 0 {
		t.Errorf("left behind: %s", strings.Join(left, "\n"))
	}
}
