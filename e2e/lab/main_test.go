// Package lab runs gwdr as its user does, on the embedded lab, and proves after every test that nothing is left behind.
package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// binary is gwdr, built once; every process of a test runs this very file, and so can be found by it.
var binary string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "gwdr-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if signal.Ignored(os.Interrupt) { // as under nohup: children would ignore it too, but not what is handled here
		signal.Notify(make(chan os.Signal, 1), os.Interrupt)
	}
	binary = filepath.Join(dir, "gwdr")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build gwdr: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// user is somebody with an empty home folder.
type user struct {
	t    testing.TB
	home string
	env  []string
}

// newUser returns a user of gwdr whose test ends with the proof that no process of gwdr is left.
func newUser(t testing.TB) *user {
	t.Helper()
	u := &user{t: t, home: t.TempDir()}
	u.env = []string{"HOME=" + u.home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + u.home}
	t.Cleanup(func() {
		if left := waitForProcesses(0, 10*time.Second); len(left) > 0 {
			t.Errorf("processes left behind: %v", left)
			for _, p := range left {
				if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil {
					t.Logf("kill %v: %v", p, err)
				}
			}
		}
	})
	return u
}

// write puts a file into the user's home folder.
func (u *user) write(name, text string) string {
	u.t.Helper()
	path := filepath.Join(u.home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		u.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		u.t.Fatal(err)
	}
	return path
}

// result is how a command ended.
type result struct {
	code           int
	stdout, stderr string
}

// command prepares gwdr with the arguments, in the user's home folder.
func (u *user) command(args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	u.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir, cmd.Env = u.home, u.env
	return cmd
}

// run runs gwdr to its end.
func (u *user) run(args ...string) result {
	u.t.Helper()
	var out, errs bytes.Buffer
	cmd := u.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		u.t.Fatalf("run gwdr %v: %v", args, err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// want runs gwdr and fails the test unless it ends with the exit code.
func (u *user) want(code int, args ...string) result {
	u.t.Helper()
	r := u.run(args...)
	if r.code != code {
		u.t.Fatalf("gwdr %v: exit code %d, want %d\nstdout: %s\nstderr: %s", args, r.code, code, r.stdout, r.stderr)
	}
	return r
}

// contains fails the test unless the text holds each of the wanted parts.
func contains(t testing.TB, text string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !strings.Contains(text, want) {
			t.Errorf("does not say %q:\n%s", want, text)
		}
	}
}

// decode reads a command's one JSON document.
func decode[T any](t testing.TB, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("not one JSON document: %v\n%s", err, text)
	}
	return v
}

// running is a process that runs the binary under test.
type running struct {
	pid     int
	command string
}

// processes lists all processes that run the binary under test, zombies not among them.
func processes() []running {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	var found []running
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || strings.TrimSuffix(target, " (deleted)") != binary {
			continue
		}
		dir := filepath.Dir(link)
		pid, _ := strconv.Atoi(filepath.Base(dir))
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		found = append(found, running{pid, strings.ReplaceAll(string(line), "\x00", " ")})
	}
	return found
}

// waitForProcesses waits until no more than most processes run, and returns those that do.
func waitForProcesses(most int, limit time.Duration) []running {
	deadline := time.Now().Add(limit)
	for {
		left := processes()
		if len(left) <= most || time.Now().After(deadline) {
			return left
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// eventually polls until the condition holds, and fails the test if it does not within the limit.
func eventually(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}
