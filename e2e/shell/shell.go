// Package shell runs gwdr as a person does, in a home folder of their own, and finds the processes that it leaves.
package shell

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Build builds gwdr, whose source is at the path, into the directory, and returns the program.
func Build(source, dir string) (binary string, err error) {
	binary = filepath.Join(dir, "gwdr")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = source
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build gwdr: %w\n%s", err, out)
	}
	return binary, nil
}

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
	t.Cleanup(func() {
		left := p.Processes("")
		for end := time.Now().Add(10 * time.Second); len(left) > 0 && time.Now().Before(end); left = p.Processes("") {
			time.Sleep(20 * time.Millisecond)
		}
		for pid, line := range left {
			t.Errorf("process %d is left: %s; killed: %v", pid, line, syscall.Kill(pid, syscall.SIGKILL))
		}
	})
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

// Processes returns the command lines of the processes of the program whose line has the words, by pid.
func (p *Person) Processes(words string) map[int]string {
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	found := map[int]string{}
	for _, link := range links {
		at, err := os.Readlink(link)
		if err != nil || strings.TrimSuffix(at, " (deleted)") != p.Binary {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(link)))
		line, _ := os.ReadFile(filepath.Join(filepath.Dir(link), "cmdline"))
		if text := strings.ReplaceAll(string(line), "\x00", " "); strings.Contains(text, words) {
			found[pid] = text
		}
	}
	return found
}

// Kill sends SIGKILL to the processes of the program whose command line has the words, of which there must be some.
func (p *Person) Kill(words string) {
	p.T.Helper()
	found := p.Processes(words)
	if len(found) == 0 {
		p.T.Fatalf("there is no process %q", words)
	}
	for pid := range found {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			p.T.Fatal(err)
		}
	}
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
