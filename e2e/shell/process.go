package shell

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Processes returns the command lines of the processes that run the program, and whose line has the words, by pid. What has ended is none
// of them, though nobody has reaped it.
func Processes(program, words string) map[int]string {
	found := map[int]string{}
	for pid, line := range Commands(words) {
		at, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
		if err == nil && strings.TrimSuffix(at, " (deleted)") == program {
			found[pid] = line
		}
	}
	return found
}

// Commands returns the command lines that have all the words, whatever program runs, by pid. A blank follows each argument.
func Commands(words ...string) map[int]string {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	found := map[int]string{}
	for _, file := range files {
		line, err := os.ReadFile(file)
		text := strings.ReplaceAll(string(line), "\x00", " ")
		if err != nil || slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
			continue
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		found[pid] = text
	}
	return found
}

// Left waits until no more than most processes of the program run, and returns those that do.
func Left(program string, most int, limit time.Duration) map[int]string {
	deadline := time.Now().Add(limit)
	for {
		left := Processes(program, "")
		if len(left) <= most || time.Now().After(deadline) {
			return left
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// NoneLeft ends the test with the proof that no process of the program is left.
func NoneLeft(t testing.TB, program string) {
	t.Helper()
	t.Cleanup(func() {
		for pid, line := range Left(program, 0, 10*time.Second) {
			t.Errorf("process %d is left: %s; killed: %v", pid, line, syscall.Kill(pid, syscall.SIGKILL))
		}
	})
}

// Kill sends SIGKILL to the processes of the program whose command line has the words, of which there must be some.
func Kill(t testing.TB, program, words string) {
	t.Helper()
	found := Processes(program, words)
	if len(found) == 0 {
		t.Fatalf("there is no process %q", words)
	}
	for pid := range found {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
	}
}

// Orphan kills the drill of the program and its guard, so that nobody is left to revert.
func Orphan(t testing.TB, program string) {
	t.Helper()
	for pid := range Processes(program, "drill run") { // it would notice the guard's end
		Freeze(t, pid)
	}
	Kill(t, program, "drill guard")
	Kill(t, program, "drill run")
}

// Freeze stops the process, and returns once all its threads have: each does when it next looks.
func Freeze(t testing.TB, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	Eventually(t, 10*time.Second, func() error {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
		running := slices.IndexFunc(threads, func(dir string) bool {
			state, _ := Stat(dir)
			return state != "T" && state != ""
		})
		if len(threads) == 0 || running >= 0 {
			return fmt.Errorf("process %d is not stopped, but for some of %d threads", pid, len(threads))
		}
		return nil
	})
}

// Stat returns the state of a process, or of a thread, and its parent, as /proc/PID or /proc/PID/task/THREAD has them
// (proc_pid_stat(5)). What is not there any more has the state "".
func Stat(dir string) (state string, parent int) {
	stat, _ := os.ReadFile(filepath.Join(dir, "stat"))
	fmt.Sscan(string(stat[bytes.LastIndexByte(stat, ')')+1:]), &state, &parent) // the name before may hold anything
	return state, parent
}
