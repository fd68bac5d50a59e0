//go:build linux

package host

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gwdr/e2e/shell"
)

// newGroup makes a control group for the test, opened, and removes it afterwards with all that was made in it, which proves that no
// process is left there.
func newGroup(t *testing.T) *os.File {
	t.Helper()
	path, err := os.MkdirTemp(groups(t), "gwdr-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		shell.Eventually(t, 20*time.Second, func() error { return removeGroup(path) })
	})
	group, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { group.Close() })
	return group
}

// groups is where the control groups of version 2 are mounted: at the top, or beside those of version 1.
func groups(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if words := strings.Fields(line); words[2] == "cgroup2" {
			return words[1]
		}
	}
	t.Fatal("no control groups of version 2 are mounted")
	return ""
}

// removeGroup removes the group and those in it, the inner ones first.
func removeGroup(path string) error {
	var all []string
	err := filepath.WalkDir(path, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, group := range slices.Backward(all) {
		if err := os.Remove(group); err != nil {
			return err
		}
	}
	return nil
}
