package drills

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/fleet"
	"gwdr/scenarios"
)

// TestMain lets the test binary be the controller and the guard of a drill, which can then be killed.
func TestMain(m *testing.M) {
	switch os.Getenv("GWDR_TEST_CHILD") {
	case "controller":
		os.Exit(controller(os.Args[1]))
	case "guard":
		os.Exit(guard(os.Args[1], os.Args[2]))
	}
	os.Exit(m.Run())
}

// diskFleet breaks files: a fault is in effect while its file is there, whichever process asks.
type diskFleet struct {
	*world
	dir string
}

type diskData struct{ File string }

func (f *diskFleet) Prepare(ctx context.Context, fault fleet.Fault, targets []fleet.Instance) (fleet.Undo, error) {
	u, err := f.world.Prepare(ctx, fault, targets)
	u.Data, _ = json.Marshal(diskData{filepath.Join(f.dir, "fault-"+fault.ID)})
	return u, err
}

func (f *diskFleet) file(u fleet.Undo) string {
	var d diskData
	if err := json.Unmarshal(u.Data, &d); err != nil {
		panic(err)
	}
	return d.File
}

func (f *diskFleet) Inject(ctx context.Context, u fleet.Undo) error {
	return errors.Join(f.world.Inject(ctx, u), os.WriteFile(f.file(u), nil, 0o600))
}

func (f *diskFleet) Revert(ctx context.Context, u fleet.Undo) error {
	if err := os.Remove(f.file(u)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return f.world.Revert(ctx, u)
}

func (f *diskFleet) Leftovers(context.Context) ([]string, error) {
	return filepath.Glob(filepath.Join(f.dir, "fault-*"))
}

// controller runs a short drill on the disk fleet in dir, and prints its phases.
func controller(dir string) int {
	s, err := scenarios.Load("region-loss")
	if err != nil {
		panic(err)
	}
	s.SteadyState.Baseline = scenarios.Duration(200 * time.Millisecond)
	s.Recovered.StableFor = scenarios.Duration(200 * time.Millisecond)
	s.Steps[0].Hold = "until-recovered+200ms"
	s.Safety.Lease = scenarios.Duration(time.Second)
	world := newWorld()
	command := GuardCommand{Args: []string{"/usr/bin/env", "GWDR_TEST_CHILD=guard", os.Getenv("GWDR_TEST_BINARY")},
		Files: []*os.File{os.NewFile(3, "what tells the test that both have ended")}}
	site := &Site{
		Fleet: &diskFleet{world, dir}, Probes: world.probes(), Admin: world,
		Recovery: Recovery{Promote: world.promote, Leader: world.leading},
		Backup: func(context.Context, time.Duration) (Backup, error) {
			return Backup{Locations: []string{"local", "nas"}}, nil
		},
		Guard: command.Start,
	}
	r := &Runner{
		Scenario: s, Open: func(context.Context) (*Site, error) { return site, nil },
		Evidence: filepath.Join(dir, "evidence"), Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Events: func(e Event) {
			if e.Phase != nil {
				fmt.Println(e.Phase.Phase)
			}
		},
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	result, err := r.Run(ctx)
	fmt.Println("end", result.Verdict, result.Clean, err)
	return 0
}

func guard(dir, lease string) int {
	d, err := time.ParseDuration(lease)
	if err != nil {
		panic(err)
	}
	r := &Reverter{Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), Open: func(_ context.Context, u fleet.Undo) (fleet.Fleet, error) {
		return &diskFleet{newWorld(), filepath.Dir(filepath.Dir(dir))}, nil
	}}
	if _, err := r.Watch(context.Background(), os.Stdin, os.Stdout, dir, d); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// startController starts a drill in a process of its own and returns its phases as they come. The test ends when the drill and
// its guard have.
func startController(t *testing.T, dir string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, dir)
	cmd.Env = append(os.Environ(), "GWDR_TEST_CHILD=controller", "GWDR_TEST_BINARY="+binary)
	cmd.Stderr = testWriter{t}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	ended, alive, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	cmd.ExtraFiles = []*os.File{alive}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		ended.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := ended.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the guard has not ended: %v", err)
		}
		ended.Close()
	})
	return cmd, bufio.NewScanner(out)
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(b []byte) (int, error) { w.t.Logf("%s", b); return len(b), nil }

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not happen", what)
		}
	}
}

// TestGuardStaysUntilTheEnd releases the guard only when the record has its end: of a drill that is killed before, somebody must
// clean up.
func TestGuardStaysUntilTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.guard.release = func() {
			if runs, err := Runs(l.Evidence); err != nil || len(runs) != 1 || !runs[0].Ended || !runs[0].Clean {
				t.Errorf("released before the end of %+v, %v", runs, err)
			}
		}
		if r, err := l.run(t, t.Context()); err != nil || r.Verdict != Pass || !l.guard.released {
			t.Errorf("%+v, %v, released %v", r, err, l.guard.released)
		}
	})
}

// TestControllerKilled kills the drill in every phase: the guard reverts, and the next drill is not blocked.
func TestControllerKilled(t *testing.T) {
	for _, phase := range []Phase{Baseline, Armed, Injecting, Observing, Recovering, Recovered, Sustain, Reverting, Settling, Reconciling} {
		t.Run(string(phase), func(t *testing.T) {
			for range 5 {
				if killController(t, phase) {
					return
				}
				t.Log("once more: the record had its end before the kill")
			}
			t.Error("no drill was killed before its end")
		})
	}
}

// killController kills a drill in the phase, and reports whether that came before its end.
func killController(t *testing.T, phase Phase) bool {
	t.Helper()
	dir := t.TempDir()
	cmd, lines := startController(t, dir)
	var seen []string
	for lines.Scan() && lines.Text() != string(phase) {
		seen = append(seen, lines.Text())
	}
	if lines.Text() != string(phase) {
		t.Fatalf("never in phase %s: %v", phase, seen)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	evidence := filepath.Join(dir, "evidence")
	waitFor(t, "revert", func() bool {
		left, err := filepath.Glob(filepath.Join(dir, "fault-*"))
		if err != nil || len(left) > 0 {
			return false
		}
		l, err := takeLock(evidence, "test")
		if err != nil {
			return false
		}
		defer l.release()
		orphaned, err := orphans(evidence)
		return err == nil && len(orphaned) == 0
	})
	runs, err := Runs(evidence)
	if err != nil || len(runs) != 1 {
		t.Fatalf("runs %v, %v", runs, err)
	}
	facts, scenario, err := ReadFacts(runs[0].Dir)
	if err != nil {
		t.Fatal(err)
	}
	if facts.Complete {
		return false
	}
	if r := Judge(scenario, facts); r.Verdict != Errored || !strings.Contains(r.Reason, "killed") || !r.Clean {
		t.Errorf("%s, clean %v: %s", r.Verdict, r.Clean, r.Reason)
	}
	return true
}

// TestControllerFrozen stops the drill: the guard reverts although the drill is still there, and the drill notices.
func TestControllerFrozen(t *testing.T) {
	dir := t.TempDir()
	cmd, lines := startController(t, dir)
	for lines.Scan() && lines.Text() != string(Recovered) {
	}
	cmd.Process.Signal(syscall.SIGSTOP)
	waitFor(t, "revert", func() bool {
		left, err := filepath.Glob(filepath.Join(dir, "fault-*"))
		return err == nil && len(left) == 0
	})
	cmd.Process.Signal(syscall.SIGCONT)
	var rest []string
	for lines.Scan() {
		rest = append(rest, lines.Text())
	}
	if !slices.Contains(rest, "aborting") || !slices.Contains(rest, "end aborted true <nil>") {
		t.Errorf("after it went on: %v", rest)
	}
}

// TestGuardHangs stops the guard, which is there and would revert nothing: the drill notices, and ends it.
func TestGuardHangs(t *testing.T) {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := &GuardCommand{Args: []string{"/usr/bin/env", "GWDR_TEST_CHILD=guard", binary}}
	started, err := cmd.Start(t.Context(), t.TempDir(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	g := started.(*guardProcess)
	if err := g.Beat(); err != nil {
		t.Errorf("beat: %v", err)
	}
	if err := g.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "notice", func() bool { return g.Beat() != nil })
	if err := g.Release(); err == nil || !strings.Contains(err.Error(), "it has not answered for") {
		t.Errorf("release: %v", err)
	}
	<-g.Gone()
}

// TestGuardOutlivesWhoListens answers a beat that nobody hears any more, and takes over all the same.
func TestGuardOutlivesWhoListens(t *testing.T) {
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	cmd := exec.Command(binary, t.TempDir(), "1m")
	cmd.Env, cmd.Stderr = append(os.Environ(), "GWDR_TEST_CHILD=guard"), &log
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(in, "alive\n")
	if _, err := out.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	out.Close()
	io.WriteString(in, "alive\nalive\n")
	in.Close()
	cmd.Wait()
	if !strings.Contains(log.String(), "guard reverts") {
		t.Errorf("%s: %s", cmd.ProcessState, log.String())
	}
}

// TestGuardKilled kills the guard: the drill reverts by itself and says that it was aborted.
func TestGuardKilled(t *testing.T) {
	cmd := &GuardCommand{Args: []string{"/usr/bin/env", "cat"}}
	if _, err := cmd.Start(t.Context(), t.TempDir(), time.Second); err == nil {
		t.Error("a guard that does not answer was taken for one")
	}
	for name, input := range map[string]string{"release": "alive\nalive\ndone\n"} {
		t.Run(name, func(t *testing.T) {
			r := &Reverter{Log: slog.New(slog.DiscardHandler)}
			if reverted, err := r.Watch(t.Context(), strings.NewReader(input), io.Discard, t.TempDir(), time.Second); reverted != nil || err != nil {
				t.Errorf("%v, %v", reverted, err)
			}
		})
	}
}
