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

	"gwdr/drills"
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

// TestDrillDiskFull fills the disk under the evidence while a region is down: the drill ends and gives the region back, and says why.
func TestDrillDiskFull(t *testing.T) {
	u := newUser(t)
	dir := filepath.Join(u.home, "evidence")
	cmd, disk, out, errs := u.onSmallDisk(8<<20, dir, "drill", "run", u.write("quick.yaml", calm()), "--json")
	eventually(t, time.Minute, "a drill in phase observing", func() bool { return disk.holds("*/journal.jsonl", `"phase":"observing"`) })
	disk.fill()
	began := time.Now()
	code := ended(t, cmd)
	t.Logf("exit code %d after %s\nstdout: %s\nstderr: %s", code, time.Since(began), out, errs)
	copied := filepath.Join(u.home, "copy")
	disk.copyTo(copied)
	t.Log(u.run("drill", "list", "--evidence", copied))
	runs, _ := filepath.Glob(filepath.Join(copied, "*", drills.JournalFile))
	for _, r := range runs {
		t.Log(u.run("report", filepath.Dir(r)))
	}
}
