package journal

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// smallDisk names the environment variable with a directory that has room for some pages.
const smallDisk = "JOURNAL_TEST_SMALL_DISK"

// TestAFullDiskTakesNoPartOfAnEntry runs itself once more, on a small disk of its own.
func TestAFullDiskTakesNoPartOfAnEntry(t *testing.T) {
	if dir := os.Getenv(smallDisk); dir != "" {
		fillDisk(t, dir)
		return
	}
	dir := t.TempDir()
	self := exec.Command("unshare", "-rm", "sh", "-c", `mount -t tmpfs -o size=64k tmpfs "$0" && exec "$@"`, dir,
		os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	self.Env = append(os.Environ(), smallDisk+"="+dir)
	if out, err := self.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, out)
	}
}

func fillDisk(t *testing.T, dir string) {
	reserve, path := filepath.Join(dir, "reserve"), filepath.Join(dir, "journal.jsonl")
	if err := os.WriteFile(reserve, make([]byte, 16<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	j, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	pad := strings.Repeat("x", 3000)
	whole := 0
	for ; err == nil; whole++ {
		err = j.Append("tick", 0, pad)
	}
	whole--
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if again := j.Append("tick", 0, pad); !errors.Is(again, syscall.ENOSPC) {
		t.Errorf("full, and then: %v", again)
	}
	if err := errors.Join(os.Remove(reserve), j.Append("end", 0, nil), j.Close()); err != nil {
		t.Errorf("with room again: %v", err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := Verify(bytes.NewReader(raw)); err != nil || s.Torn != 0 || s.Entries != whole+1 || s.Head != j.Head() {
		t.Errorf("%+v, %v; want %d whole entries", s, err, whole+1)
	}
}
