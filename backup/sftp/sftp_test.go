package sftp_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pkgsftp "github.com/pkg/sftp"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/backup/sftp"
	"gwdr/backup/tree"
)

func TestConformance(t *testing.T) {
	backuptest.Conformance(t, func(t *testing.T) backup.Location { return newServer(t).open(t) })
}

func put(t *testing.T, l *sftp.Location, name, content string) error {
	t.Helper()
	return l.Put(t.Context(), name, strings.NewReader(content), int64(len(content)))
}

func get(t *testing.T, l *sftp.Location, name string) string {
	t.Helper()
	r, err := l.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err = errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func (s *server) dir() string { return s.url[strings.Index(s.url, "nas.test")+len("nas.test"):] }

func TestInitTwice(t *testing.T) {
	s := newServer(t)
	s.open(t)
	file := filepath.Join(s.dir(), tree.IDFile)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s.open(t)
	if after, _ := os.ReadFile(file); string(before) != string(after) || len(before) != 33 {
		t.Errorf("id file was %q, is %q", before, after)
	}
	if left, _ := os.ReadDir(filepath.Join(s.dir(), tree.TempDir)); len(left) > 0 {
		t.Errorf("%v was left behind", left)
	}
}

// TestUnmounted: an empty directory where the disk should be is an error, and stays empty.
func TestUnmounted(t *testing.T) {
	for _, made := range []bool{true, false} {
		s := newServer(t)
		if made {
			if err := os.MkdirAll(s.dir(), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		l := sftp.Open(s.options(t))
		_, getErr := l.Get(t.Context(), "gwdr1/a")
		_, listErr := l.List(t.Context(), "gwdr1/")
		_, probeErr := l.Probe(t.Context())
		_, moveErr := l.Quarantine(t.Context(), "gwdr1/a")
		for i, err := range []error{put(t, l, "gwdr1/a", "content"), getErr, listErr, probeErr, moveErr, l.Remove(t.Context(), "gwdr1/a")} {
			if !errors.Is(err, tree.ErrNotPrepared) {
				t.Errorf("operation %d: %v, want ErrNotPrepared", i, err)
			}
		}
		if entries, _ := os.ReadDir(s.dir()); len(entries) > 0 {
			t.Errorf("%v was written", entries)
		}
	}
}

// TestLeftovers: a crashed writer's temporary file never counts, and goes when no writer can be at it.
func TestLeftovers(t *testing.T) {
	s := newServer(t)
	l := s.open(t)
	old, fresh := filepath.Join(s.dir(), tree.TempDir, "old"), filepath.Join(s.dir(), tree.TempDir, "fresh")
	write(t, old, "half")
	write(t, fresh, "half")
	if err := os.Chtimes(old, time.Time{}, time.Now().Add(-25*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if objects, err := l.List(t.Context(), ""); err != nil || len(objects) > 0 {
		t.Errorf("List() = %v, %v", objects, err)
	}
	if _, err := l.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Dir(old)); err != nil || len(left) != 1 || left[0].Name() != "fresh" {
		t.Errorf("%v is left, %v; want the fresh one alone", left, err)
	}
}

// TestCapabilities: whoever owns the directory can delete from it. A rename that overwrites is found out where there are no
// hard links.
func TestCapabilities(t *testing.T) {
	c, err := newServer(t).open(t).Probe(t.Context())
	if err != nil || !c.CreateOnly || c.Immutable {
		t.Errorf("Probe() = %+v, %v", c, err)
	}
	if err := pkgsftp.SetSFTPExtensions("statvfs@openssh.com"); err != nil {
		t.Fatal(err)
	}
	defer pkgsftp.SetSFTPExtensions("hardlink@openssh.com", "posix-rename@openssh.com", "statvfs@openssh.com")
	s := newServer(t)
	l := s.open(t)
	if err := put(t, l, "gwdr1/a", "content"); err != nil {
		t.Fatal(err)
	}
	if err := put(t, l, "gwdr1/a", "other"); !errors.Is(err, backup.ErrExists) {
		t.Errorf("Put of other bytes = %v, want ErrExists", err)
	}
	for range 2 {
		if c, err := l.Probe(t.Context()); err != nil || c.CreateOnly || c.Immutable {
			t.Errorf("rename overwrites: Probe() = %+v, %v", c, err)
		}
	}
}

// linkless is a file system that refuses hard links, at a server that offers them.
type linkless struct{ pkgsftp.FileCmder }

func (l linkless) Filecmd(r *pkgsftp.Request) error {
	if r.Method == "Link" {
		return pkgsftp.ErrSSHFxFailure
	}
	return l.FileCmder.Filecmd(r)
}

// TestNoLinks: objects are renamed there, and Probe says what that is worth, also where the canary was there already.
func TestNoLinks(t *testing.T) {
	s := newServer(t)
	s.files = pkgsftp.InMemHandler()
	s.files.FileCmd = linkless{s.files.FileCmd}
	l := s.open(t)
	if err := put(t, l, "gwdr1/a", "content"); err != nil {
		t.Fatal(err)
	}
	if err := put(t, l, "gwdr1/a", "other"); !errors.Is(err, backup.ErrExists) || get(t, l, "gwdr1/a") != "content" {
		t.Errorf("Put of other bytes = %v, want ErrExists", err)
	}
	if err := put(t, l, tree.Canary, tree.CanaryContent); err != nil {
		t.Fatal(err)
	}
	c, err := sftp.Open(s.options(t)).Probe(t.Context())
	if err != nil || c.CreateOnly || !strings.Contains(c.Tests[0].Detail, "no hard links") {
		t.Errorf("Probe() = %+v, %v", c, err)
	}
}

// TestOtherFiles: what is no file is no object, and whoever reads it learns so.
func TestOtherFiles(t *testing.T) {
	s := newServer(t)
	l := s.open(t)
	if err := put(t, l, "gwdr1/a/b", "content"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("b", filepath.Join(s.dir(), "gwdr1/a/link")); err != nil {
		t.Fatal(err)
	}
	if objects, err := l.List(t.Context(), ""); err != nil || len(objects) != 1 {
		t.Errorf("List() = %v, %v", objects, err)
	}
	if _, err := l.Get(t.Context(), "gwdr1/a"); err == nil || errors.Is(err, backup.ErrNotExist) {
		t.Errorf("Get of a directory: %v", err)
	}
	if err := put(t, l, "gwdr1/a", "content"); err == nil {
		t.Error("Put over a directory succeeded")
	}
}

// lister is a hostile server's directory: it leads out of itself.
type lister struct{ dirs, files []string }

func (l lister) Filelist(r *pkgsftp.Request) (pkgsftp.ListerAt, error) {
	if r.Method != "List" {
		return entries{entry{name: filepath.Base(r.Filepath)}}, nil
	}
	var all entries
	for _, name := range l.dirs {
		all = append(all, entry{name: name, dir: true})
	}
	for _, name := range l.files {
		all = append(all, entry{name: name})
	}
	return all, nil
}

type entries []fs.FileInfo

func (e entries) ListAt(to []fs.FileInfo, at int64) (int, error) {
	n := copy(to, e[min(at, int64(len(e))):])
	if n < len(to) {
		return n, io.EOF
	}
	return n, nil
}

type entry struct {
	name string
	dir  bool
}

func (e entry) Name() string       { return e.name }
func (e entry) Size() int64        { return 1 }
func (e entry) ModTime() time.Time { return time.Unix(1, 0) }
func (e entry) IsDir() bool        { return e.dir }
func (e entry) Sys() any           { return nil }
func (e entry) Mode() fs.FileMode {
	if e.dir {
		return fs.ModeDir | 0o755
	}
	return 0o644
}

// TestHostileNames: what a server lists cannot lead out of the location, nor round in a circle.
func TestHostileNames(t *testing.T) {
	s := newServer(t)
	s.files = pkgsftp.InMemHandler()
	s.files.FileList = lister{
		dirs:  []string{"..", ".", "", "/", "x/..", "../..", ".gwdr-temp"},
		files: []string{"../../passwd", "a\x00b", `a\b`, "..", "good"},
	}
	l := sftp.Open(s.options(t))
	objects, err := l.List(t.Context(), "")
	for _, o := range objects {
		if o.Name != "good" && o.Name != "passwd" { // the client takes what follows the last slash
			t.Errorf("List shows %q", o.Name)
		}
	}
	if len(objects) != 2 {
		t.Errorf("List() = %v", objects)
	}
	if err != nil {
		t.Error(err)
	}
}
