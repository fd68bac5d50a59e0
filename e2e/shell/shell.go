// Package shell runs gwdr as a person does, in a home folder of their own, and finds the processes that it leaves.
package shell

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Person is somebody with an empty home folder.
type Person struct {
	T      testing.TB
	Home   string
	Binary string
	Before []string // words before each command, as ip netns exec NAME
}

// New returns a person whose test ends with the proof that no process of the program is left.
func New(t testing.TB, binary string, before ...string) *Person {
	t.Helper()
	p := &Person{T: t, Home: t.TempDir(), Binary: binary, Before: before}
	NoneLeft(t, binary)
	return p
}

// Write puts a file into the home folder and returns its path.
func (p *Person) Write(name, text string) string {
	p.T.Helper()
	path := filepath.Join(p.Home, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		p.T.Fatal(err)
	}
	return path
}

// command prepares gwdr with the arguments, in the home folder.
func (p *Person) command(args ...string) *exec.Cmd {
	words := append(append([]string{}, p.Before...), p.Binary)
	words = append(words, args...)
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir, cmd.Env = p.Home, []string{"HOME=" + p.Home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + p.Home}
	return cmd
}

// Ended is how a command ended.
type Ended struct {
	Code     int // -1: by a signal
	Out, Err string
}

// Run runs gwdr to its end.
func (p *Person) Run(args ...string) Ended {
	p.T.Helper()
	var out, errs bytes.Buffer
	cmd := p.command(args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		p.T.Fatalf("gwdr %v: %v", args, err)
	}
	return Ended{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// Want runs gwdr and fails the test unless it ends with the code.
func (p *Person) Want(code int, args ...string) Ended {
	p.T.Helper()
	e := p.Run(args...)
	if e.Code != code {
		p.T.Fatalf("gwdr %v: exit code %d, want %d\n%s\n%s", args, e.Code, code, e.Out, e.Err)
	}
	return e
}

// Clean reverts what is left of drills in the fleet prod, and says what is left nevertheless.
func (p *Person) Clean() error {
	if end := p.Run("drill", "revert"); end.Code != 0 {
		return fmt.Errorf("exit code %d: %s %s", end.Code, end.Out, end.Err)
	}
	var left []string
	err := filepath.WalkDir(filepath.Join(p.Home, "state", "fleets", "prod", "faults"), func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != "lock" {
			left = append(left, path)
		}
		return err
	})
	if err != nil || len(left) > 0 {
		return fmt.Errorf("marks are left: %v, %w", left, err)
	}
	return nil
}

// Decode reads one JSON document.
func Decode[T any](t testing.TB, text string) (v T) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("not one JSON document: %v\n%s", err, text)
	}
	return v
}

// Eventually polls until check returns nil, and fails the test with what it says if it does not in time.
func Eventually(t testing.TB, limit time.Duration, check func() error) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %v", limit, err)
		}
	}
}
