package dir_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/backup/dir"
	"gwdr/backup/tree"
)

func open(t *testing.T) *dir.Location {
	t.Helper()
	l := &dir.Location{Dir: filepath.Join(t.TempDir(), "deep", "location")}
	if err := l.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestConformance(t *testing.T) {
	backuptest.Conformance(t, func(t *testing.T) backup.Location { return open(t) })
}

func TestInitTwice(t *testing.T) {
	l := open(t)
	before, err := os.ReadFile(filepath.Join(l.Dir, ".gwdr-location"))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Init(t.Context()); err != nil {
		t.Fatal(err)
	}
	after, _ := os.ReadFile(filepath.Join(l.Dir, ".gwdr-location"))
	if string(before) != string(after) || len(before) != 33 {
		t.Errorf("id file was %q, is %q", before, after)
	}
}

// TestUnmounted: an empty directory where the disk should be is an error, and stays empty.
func TestUnmounted(t *testing.T) {
	for name, path := range map[string]string{"empty": t.TempDir(), "missing": filepath.Join(t.TempDir(), "x")} {
		l := &dir.Location{Dir: path}
		putErr := l.Put(t.Context(), "gwdr1/a", strings.NewReader("content"), 7)
		_, getErr := l.Get(t.Context(), "gwdr1/a")
		_, listErr := l.List(t.Context(), "")
		for _, err := range []error{putErr, getErr, listErr} {
			if !errors.Is(err, tree.ErrNotPrepared) {
				t.Errorf("%s: %v, want ErrNotPrepared", name, err)
			}
		}
		if entries, _ := os.ReadDir(path); len(entries) > 0 {
			t.Errorf("%s: %v was written", name, entries)
		}
	}
}

func TestNotADirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l := &dir.Location{Dir: file}
	if err := l.Init(t.Context()); err == nil {
		t.Error("Init of a file succeeded")
	}
	if err := l.Put(t.Context(), "gwdr1/a", strings.NewReader("content"), 7); err == nil {
		t.Error("Put below a file succeeded")
	}
}

// TestLeftovers: a crashed writer's temporary file never counts, and goes when no writer can be at it.
func TestLeftovers(t *testing.T) {
	l := open(t)
	old, fresh := filepath.Join(l.Dir, ".gwdr-temp", "old"), filepath.Join(l.Dir, ".gwdr-temp", "fresh")
	for _, path := range []string{old, fresh} {
		if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-25*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if objects, err := l.List(t.Context(), ""); err != nil || len(objects) > 0 {
		t.Errorf("List() = %v, %v", objects, err)
	}
	if _, err := l.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("old temporary file is still there")
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Error("a running writer's file is gone")
	}
}

// TestCapabilities: whoever owns the directory can delete from it.
func TestCapabilities(t *testing.T) {
	c, err := open(t).Probe(t.Context())
	if err != nil || !c.CreateOnly || c.Immutable {
		t.Errorf("Probe() = %+v, %v", c, err)
	}
}

// TestInitNowhere: a link to a disk that is not mounted, or a place where nothing can be made, is an error with a cause.
func TestInitNowhere(t *testing.T) {
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(filepath.Join(t.TempDir(), "not", "mounted"), link); err != nil {
		t.Fatal(err)
	}
	for _, place := range []string{link, filepath.Join(link, "backups")} {
		l := dir.Location{Dir: place}
		if err := l.Init(t.Context()); err == nil || !strings.Contains(err.Error(), "leads nowhere") {
			t.Errorf("Init(%s) = %v", place, err)
		}
	}
}
