// Package lab runs gwdr as its user does, on the embedded lab, and proves after every test that nothing is left behind.
package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gwdr/e2e/shell"
)

// binary is gwdr, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(shell.Main(m, &binary)) }

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
	shell.NoneLeft(t, binary)
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

// eventually polls until the condition holds, and fails the test if it does not within the limit.
func eventually(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}
