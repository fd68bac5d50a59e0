//go:build linux

package docker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// regionLoss kills a region of containers.
const regionLoss = `
apiVersion: gwdr/v1
kind: Scenario
metadata: {name: docker-region-loss, title: Loss of a region of containers, class: ict-failure}
fleet: prod
targets: {east: {select: {region: us-east}, expect: {min: 2, max: 2}}}
objectives:
  - {id: rto, metric: rta, plane: data, le: 10s}
steadyState: {baseline: 2s, probes: [{route: /orders, every: 50ms, timeout: 1s}]}
recovered: {stableFor: 1s, deadline: 60s}
guardrails: [{name: time, drill: {gt: 3m}}]
safety: {lease: 5s, maxTargets: 2, keepHealthyRegions: 1}
steps:
  - {id: power-cut, fault: kill, target: east, hold: until-recovered+1s}
revert: {order: reverse, verify: true, settle: 30s}
`

// user runs gwdr in a folder of its own, against the world.
type user struct {
	t    *testing.T
	home string
}

func (w *world) user(t *testing.T) *user {
	t.Helper()
	u := &user{t: t, home: t.TempDir()}
	u.write("region-loss.yaml", regionLoss)
	u.write("gwdr.yaml", "state: state\nfleets: {prod: {driver: docker, label: app=gateway, allow: true, host: '"+daemon.host()+"', url: '"+w.edge+"'}}\n")
	return u
}

func (u *user) write(name, text string) {
	u.t.Helper()
	if err := os.WriteFile(filepath.Join(u.home, name), []byte(text), 0o600); err != nil {
		u.t.Fatal(err)
	}
}

func (u *user) command(args ...string) (cmd *exec.Cmd, out, errs *bytes.Buffer) {
	cmd, out, errs = exec.Command(binary, args...), &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Dir, cmd.Env = u.home, []string{"HOME=" + u.home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + u.home}
	cmd.Stdout, cmd.Stderr = out, errs
	return cmd, out, errs
}

// run runs gwdr to its end.
func (u *user) run(args ...string) (code int, out, errs string) {
	u.t.Helper()
	cmd, stdout, stderr := u.command(args...)
	if err := cmd.Run(); cmd.ProcessState == nil {
		u.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

// want runs gwdr and fails the test unless it ends with the code.
func (u *user) want(want int, args ...string) (out, errs string) {
	u.t.Helper()
	code, out, errs := u.run(args...)
	if code != want {
		u.t.Fatalf("gwdr %v: exit code %d, want %d\n%s\n%s", args, code, want, out, errs)
	}
	return out, errs
}

// hash returns that of the plan of region-loss.yaml, which whoever approves it names.
func (u *user) hash() string {
	u.t.Helper()
	out, _ := u.want(0, "drill", "run", "region-loss.yaml", "--dry-run", "--json")
	var plan struct {
		SHA256 string `json:"plan_sha256"`
	}
	if err := json.Unmarshal([]byte(out), &plan); err != nil || plan.SHA256 == "" {
		u.t.Fatalf("the plan has no hash: %v\n%s", err, out)
	}
	return plan.SHA256
}

// drill is what these tests read of gwdr/drill/v1.
type drill struct {
	Verdict, Reason, Evidence string
	Clean                     bool
	Faults                    []struct {
		Kind     string
		Targets  []string
		Verified bool
	}
	RTA map[string]struct {
		HighS     float64 `json:"high_s"`
		Recovered bool
	}
}

// TestDrill runs a whole drill. A busy machine may make it inconclusive: then it is run again.
func TestDrill(t *testing.T) {
	w := newWorld(t, false)
	before, u := w.allFacts(), w.user(t)
	out, _ := u.want(0, "drill", "run", "region-loss.yaml", "--dry-run")
	for _, want := range []string{"kill: us-east-1, us-east-2", "start again"} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan does not say %q:\n%s", want, out)
		}
	}
	if _, errs := u.want(7, "drill", "run", "region-loss.yaml"); !strings.Contains(errs, "--approve "+u.hash()) {
		t.Errorf("does not say how to approve the plan: %s", errs)
	}
	if now := w.allFacts(); !cmp.Equal(before, now) {
		t.Fatalf("nobody approved it, and yet: %s", cmp.Diff(before, now))
	}
	var d drill
	for range attempts {
		code, out, errs := u.run("drill", "run", "region-loss.yaml", "--approve", u.hash(), "--json")
		t.Log(errs)
		if code == 7 { // too busy for a steady state
			continue
		}
		if err := json.Unmarshal([]byte(out), &d); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if !d.Clean || code != 0 && code != 4 {
			t.Fatalf("exit code %d: %s", code, out)
		}
		if code == 0 {
			break
		}
	}
	if d.Verdict != "pass" || len(d.Faults) != 1 || !d.Faults[0].Verified || !cmp.Equal(d.Faults[0].Targets, []string{"us-east-1", "us-east-2"}) {
		t.Errorf("drill: %+v", d)
	}
	if rta := d.RTA["data"]; !rta.Recovered || rta.HighS <= 0 || rta.HighS > 10 {
		t.Errorf("recovery time: %+v", rta)
	}
	if diff := cmp.Diff(before, w.allFacts()); diff != "" {
		t.Errorf("containers (-before +after):\n%s", diff)
	}
	u.want(0, "report", "verify", d.Evidence)
	u.want(0, "drill", "revert")
}

// TestDrillKilled kills the drill: its guard reverts.
func TestDrillKilled(t *testing.T) {
	w := newWorld(t, false)
	before, u := w.allFacts(), w.user(t)
	u.killed(w, false)
	w.await(func() error {
		if diff := cmp.Diff(before, w.allFacts()); diff != "" {
			return errDiffers(diff)
		}
		return nil
	})
	w.await(u.nothingLeft)
}

// TestDrillAndGuardKilled kills both: the next command says so, and gwdr drill revert reverts.
func TestDrillAndGuardKilled(t *testing.T) {
	w := newWorld(t, false)
	before, u := w.allFacts(), w.user(t)
	u.killed(w, true)
	if now := w.facts("us-east-1"); now.Running {
		t.Errorf("container %+v although nobody is left to revert", now)
	}
	_, errs := u.want(0, "version")
	for _, want := range []string{"ORPHANED", "power-cut", "gwdr drill revert"} {
		if !strings.Contains(errs, want) {
			t.Errorf("does not say %q: %s", want, errs)
		}
	}
	if _, errs := u.want(7, "drill", "run", "region-loss.yaml", "--approve", "any"); !strings.Contains(errs, "gwdr drill revert") {
		t.Errorf("a new drill is refused, and does not say how to clean up: %s", errs)
	}
	out, _ := u.want(0, "drill", "revert")
	t.Log(out)
	if diff := cmp.Diff(before, w.allFacts()); diff != "" {
		t.Errorf("containers (-before +after):\n%s", diff)
	}
	u.want(0, "drill", "revert")
}

type errDiffers string

func (e errDiffers) Error() string { return string(e) }

// nothingLeft says what the engine and the record still know of a fault.
func (u *user) nothingLeft() error {
	code, out, errs := u.run("drill", "list")
	if code != 0 || strings.Contains(errs, "ORPHANED") || strings.Contains(out, "guard reverts") {
		return errDiffers(out + errs)
	}
	return nil
}

// broken starts a drill, and returns once the region is down. The fault would last for a minute.
func (u *user) broken(w *world) (cmd *exec.Cmd, out, errs *bytes.Buffer) {
	u.t.Helper()
	u.write("region-loss.yaml", strings.Replace(regionLoss, "until-recovered+1s", "until-recovered+60s", 1))
	hash := u.hash()
	for range attempts {
		cmd, out, errs = u.command("drill", "run", "region-loss.yaml", "--approve", hash, "--json")
		if err := cmd.Start(); err != nil {
			u.t.Fatal(err)
		}
		ended := false
		w.await(func() error {
			if ended = zombie(cmd.Process.Pid); ended {
				return nil
			}
			for _, name := range []string{"us-east-1", "us-east-2"} {
				if w.facts(name).Running {
					return errDiffers(name + " still runs")
				}
			}
			return nil
		})
		if !ended {
			return cmd, out, errs
		}
		if cmd.Wait(); cmd.ProcessState.ExitCode() != 7 {
			break
		}
		u.t.Log("once more: the machine was too busy for a steady state")
	}
	u.t.Fatalf("the drill broke nothing: exit code %d\n%s\n%s", cmd.ProcessState.ExitCode(), out, errs)
	return nil, nil, nil
}

// attempts is how often a drill is begun that the machine is too busy for: other tests may take all of it for a minute.
const attempts = 10

// zombie reports whether a child has ended and nobody has waited for it yet.
func zombie(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || bytes.HasPrefix(stat[bytes.LastIndexByte(stat, ')')+1:], []byte(" Z"))
}

// killed kills a drill once the region is down, and its guard before it if asked to.
func (u *user) killed(w *world, guard bool) {
	u.t.Helper()
	cmd, _, errs := u.broken(w)
	if guard {
		if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil { // it would notice
			u.t.Fatal(err)
		}
		u.killGuard()
	}
	if err := cmd.Process.Kill(); err != nil {
		u.t.Fatal(err)
	}
	cmd.Wait()
	if cmd.ProcessState.ExitCode() != -1 {
		u.t.Fatalf("the drill ended before it was killed: %s", errs)
	}
}

// killGuard kills the guard of the user's drill, which it finds by its arguments.
func (u *user) killGuard() {
	u.t.Helper()
	all, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range all {
		line, _ := os.ReadFile(file)
		words := strings.Split(string(line), "\x00")
		if len(words) < 4 || words[0] != binary || words[2] != "guard" || !strings.HasPrefix(words[3], u.home) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err != nil {
			u.t.Fatal(err)
		}
		return
	}
	u.t.Fatal("there is no guard")
}

// TestOwnContainer runs a drill in a container of the fleet that it is to break: it refuses to break itself.
func TestOwnContainer(t *testing.T) {
	w := newWorld(t, false)
	u := w.user(t)
	u.write("self.yaml", strings.NewReplacer("select: {region: us-east}, expect: {min: 2, max: 2}", "select: {instance: self}").Replace(regionLoss))
	u.write("gwdr.yaml", "state: state\nfleets: {prod: {driver: docker, label: app=gateway, allow: true, host: 'unix:///engine.sock', url: 'http://edge:8080'}}\n")
	w.createAs("self", map[string]any{"Image": image, "Entrypoint": []string{"/gwdr"}, "Cmd": []string{"drill", "run", "self.yaml", "--plain"},
		"Labels": map[string]string{"app": "gateway"}, "Env": []string{"HOME=/home"}, "WorkingDir": "/home",
		"HostConfig": map[string]any{"NetworkMode": "gateways", "Binds": []string{u.home + ":/home", daemon.socket() + ":/engine.sock"}}})
	w.start("self")
	var ended struct{ StatusCode int }
	daemon.must(t, "POST", "/containers/self/wait", nil, &ended)
	var said strings.Builder
	daemon.must(t, "GET", "/containers/self/logs?stderr=true", nil, &said)
	if ended.StatusCode != 7 || !strings.Contains(said.String(), "self: gwdr itself runs in this container") {
		t.Errorf("exit code %d:\n%s", ended.StatusCode, said.String())
	}
}
