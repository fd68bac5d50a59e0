package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// calm is quick for the tests that disturb a drill. How finely it measures does not matter to them, so that it asks the machine
// for as little punctuality as it can, and waits as long as it takes.
func calm() string {
	return strings.NewReplacer("every: 20ms", "every: 100ms", "every: 40ms", "every: 200ms", "baseline: 1s", "baseline: 2s",
		"deadline: 30s", "deadline: 60s", "settle: 15s", "settle: 30s").Replace(quick)
}

// run is a drill that was started.
type run struct {
	*exec.Cmd
	t        testing.TB
	over     chan struct{} // closed at its end
	out, err string        // the files that it writes to: a pipe would wait for whoever else holds it
}

// start starts a drill of the scenario, which is quick.yaml from then on, with more flags.
func (u *user) start(scenario string, more ...string) *run {
	u.t.Helper()
	r := &run{Cmd: u.command(append([]string{"drill", "run", u.write("quick.yaml", scenario), "--json"}, more...)...), t: u.t, over: make(chan struct{})}
	open := func(name string) (string, *os.File) {
		f, err := os.Create(filepath.Join(u.home, name))
		if err != nil {
			u.t.Fatal(err)
		}
		return f.Name(), f
	}
	var out, errs *os.File
	r.out, out = open("stdout")
	r.err, errs = open("stderr")
	defer out.Close()
	defer errs.Close()
	r.Stdout, r.Stderr = out, errs
	if err := r.Start(); err != nil {
		u.t.Fatal(err)
	}
	go func() {
		r.Wait()
		close(r.over)
	}()
	return r
}

// ended reports whether the drill's process has ended.
func (r *run) ended() bool {
	select {
	case <-r.over:
		return true
	default:
		return false
	}
}

// code waits for the end and returns the exit code, or -1 if a signal ended it.
func (r *run) code() int {
	<-r.over
	return r.ProcessState.ExitCode()
}

// result waits for the end.
func (r *run) result() result {
	r.t.Helper()
	code := r.code()
	out, err := os.ReadFile(r.out)
	if err != nil {
		r.t.Fatal(err)
	}
	said, err := os.ReadFile(r.err)
	if err != nil {
		r.t.Fatal(err)
	}
	return result{code, string(out), string(said)}
}

// reach starts a drill of the scenario and returns once it is in the phase. One that did not begin, because the machine is too
// busy for any steady state, is run again.
func (u *user) reach(scenario, phase string, more ...string) *run {
	u.t.Helper()
	for range attempts {
		r := u.start(scenario, more...)
		if u.await(r, phase) {
			return r
		}
		if end := r.result(); end.code != 7 || !end.starved() {
			u.t.Fatalf("never was in phase %s: exit code %d\n%s", phase, end.code, end.stderr)
		}
		u.t.Log("once more: the machine was too busy for a steady state")
		if err := os.RemoveAll(filepath.Join(u.home, "evidence")); err != nil {
			u.t.Fatal(err)
		}
	}
	u.t.Fatalf("%d drills did not begin: the machine was too busy for a steady state", attempts)
	return nil
}

// await waits until the drill, which is the only run, is in the phase, and reports whether it got there before it ended.
func (u *user) await(r *run, phase string) bool {
	u.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		ended := r.ended()
		if u.entered(phase) {
			return true
		}
		if ended {
			return false
		}
	}
	u.t.Fatalf("neither ended nor in phase %s", phase)
	return false
}

// entered reports whether the journal of the only run says that the drill was in the phase.
func (u *user) entered(phase string) bool {
	journals, _ := filepath.Glob(filepath.Join(u.home, "evidence", "*", "journal.jsonl"))
	if len(journals) != 1 {
		return false
	}
	raw, _ := os.ReadFile(journals[0])
	return strings.Contains(string(raw), `"phase":"`+phase+`"`)
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
