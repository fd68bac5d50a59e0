package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDrillDiskFull takes the room for evidence away while a fault is in effect: the drill ends by itself, says why, once, and
// leaves nothing broken. As it cannot write that down, it may still call itself dirty, until 'gwdr drill revert' has looked.
func TestDrillDiskFull(t *testing.T) {
	u := newUser(t)
	u.want(0, "version")
	small := filepath.Join(u.home, "small")
	if err := os.Mkdir(small, 0o700); err != nil {
		t.Fatal(err)
	}
	scenario := strings.Replace(calm(), "stableFor: 1s", "stableFor: 20s", 1) // it would take long to recover
	cmd := exec.Command("unshare", "-rm", "sh", "-c", `mount -t tmpfs -o size=8m tmpfs "$0" && exec "$@"`, small,
		binary, "drill", "run", u.write("quick.yaml", scenario), "--evidence", small, "--plain")
	cmd.Dir, cmd.Env = u.home, u.env
	errs, err := os.Create(filepath.Join(u.home, "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer errs.Close()
	cmd.Stdout, cmd.Stderr = errs, errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	inside := fmt.Sprintf("/proc/%d/root%s", cmd.Process.Pid, small)
	said := func() string { raw, _ := os.ReadFile(errs.Name()); return string(raw) }
	eventually(t, 2*time.Minute, "a fault is in effect", func() bool {
		journals, _ := filepath.Glob(filepath.Join(inside, "*", "journal.jsonl"))
		if len(journals) != 1 {
			return false
		}
		raw, _ := os.ReadFile(journals[0])
		return strings.Contains(string(raw), `"type":"fault-verified"`)
	})
	filled := time.Now()
	if err := fill(filepath.Join(inside, "filler")); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
	code := ended(t, cmd)
	if code != 1 && code != 6 || time.Since(filled) > time.Minute {
		t.Errorf("exit code %d after %s", code, time.Since(filled))
	}
	contains(t, said(), "evidence cannot be written: ", "no space left on device", "power-cut reverted: kill")
	if n := strings.Count(said(), "no space left on device"); n > 10 {
		t.Errorf("says %d times that there is no space:\n%s", n, said())
	}
}

// fill writes to a new file until something stops it.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(f, zeros{})
	return err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
