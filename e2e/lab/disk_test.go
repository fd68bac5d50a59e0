package lab

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// smallDisk is a file system of its own for the evidence of one gwdr. It stays readable when gwdr, which alone sees it in its
// place, has ended.
type smallDisk struct {
	t    *testing.T
	root *os.Root
}

// onSmallDisk starts gwdr with the directory on a file system of so many bytes.
func (u *user) onSmallDisk(size int, dir string, args ...string) (cmd *exec.Cmd, disk *smallDisk, out, errs *bytes.Buffer) {
	u.t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		u.t.Fatal(err)
	}
	script := `mount -t tmpfs -o size="$0" tmpfs "$1" && touch "$1/mounted" && shift && exec "$@"`
	cmd = u.command()
	cmd.Path, cmd.Args = "/bin/sh", append([]string{"unshare", "-rm", "sh", "-c", script, fmt.Sprint(size), dir, binary}, args...)
	path, err := exec.LookPath("unshare")
	if err != nil {
		u.t.Fatal(err)
	}
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Path, cmd.Stdout, cmd.Stderr = path, out, errs
	if err := cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	seen := filepath.Join("/proc", fmt.Sprint(cmd.Process.Pid), "root", dir)
	eventually(u.t, 10*time.Second, "the small disk is there", func() bool {
		_, err := os.Stat(filepath.Join(seen, "mounted"))
		return err == nil
	})
	root, err := os.OpenRoot(seen)
	if err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { root.Close() })
	return cmd, &smallDisk{u.t.(*testing.T), root}, out, errs
}

// holds reports whether a file of that pattern holds the text.
func (d *smallDisk) holds(pattern, text string) bool {
	files, _ := fs.Glob(d.root.FS(), pattern)
	for _, file := range files {
		if raw, err := d.root.ReadFile(file); err == nil && strings.Contains(string(raw), text) {
			return true
		}
	}
	return false
}

// fill takes all the room that is left.
func (d *smallDisk) fill() {
	d.t.Helper()
	f, err := d.root.Create("filler")
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, syscall.ENOSPC) {
		d.t.Fatal(err)
	}
}

// copyTo copies what is there to a new directory, as after a death of gwdr somebody would.
func (d *smallDisk) copyTo(dir string) {
	d.t.Helper()
	if err := d.root.Remove("filler"); err != nil {
		d.t.Fatal(err)
	}
	if err := os.CopyFS(dir, d.root.FS()); err != nil {
		d.t.Fatal(err)
	}
}

// TestDrillDiskFull fills the disk under the evidence: the drill ends, gives back what it took, and says why. Later ones find nothing
// left, and its record can be read.
func TestDrillDiskFull(t *testing.T) {
	for _, phase := range []string{"baseline", "observing", "settling"} {
		t.Run(phase, func(t *testing.T) {
			u := newUser(t)
			cmd, disk, out, errs := u.onSmallDisk(8<<20, filepath.Join(u.home, "evidence"), "drill", "run", u.write("quick.yaml", calm()), "--json")
			eventually(t, time.Minute, "a drill in the phase", func() bool { return disk.holds("*/journal.jsonl", `"phase":"`+phase+`"`) })
			disk.fill()
			code := ended(t, cmd)
			d := decode[drill](t, out.String())
			if code != 1 || d.Verdict != "error" || !d.Clean {
				t.Errorf("exit code %d, %s: %s, clean %v", code, d.Verdict, d.Reason, d.Clean)
			}
			contains(t, errs.String(), "gwdr: ", filepath.Join("evidence", d.ID), "no space left on device", "hint: free some space")
			if n := strings.Count(errs.String(), "no space left on device"); n > 4 {
				t.Errorf("said %d times that the disk is full:\n%s", n, errs)
			}
			u.write("gwdr.yaml", "evidence: copy\n")
			disk.copyTo(filepath.Join(u.home, "copy"))
			contains(t, u.want(0, "report", filepath.Join("copy", d.ID)).stdout, "no space left on device")
			if list := u.want(0, "drill", "list"); strings.Contains(list.stderr, "ORPHANED") {
				t.Errorf("an orphan is left: %s", list.stderr)
			}
			u.want(0, "drill", "revert")
		})
	}
}
