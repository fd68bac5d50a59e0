package e2e

import (
	"context"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/backup/sftp"
	"gwdr/backup/tree"
)

func TestSFTPConformance(t *testing.T) {
	backuptest.Conformance(t, func(t *testing.T) backup.Location { return startSSHD(t).open() })
}

// TestSFTPConformanceRename is the same without hard links and fsync, as with many servers that are not OpenSSH's.
func TestSFTPConformanceRename(t *testing.T) {
	backuptest.Conformance(t, func(t *testing.T) backup.Location { return startSSHD(t, "-P", "hardlink,fsync,statvfs").open() })
}

func randomText(n int) string {
	content := make([]byte, n)
	rand.Read(content)
	return string(content)
}

// tripwire does something once, when half of the body has been read.
type tripwire struct {
	*strings.Reader
	once sync.Once
	do   func()
}

func trip(content string, do func()) *tripwire {
	return &tripwire{Reader: strings.NewReader(content), do: do}
}

func (b *tripwire) Read(p []byte) (int, error) {
	if int64(b.Len()) < b.Size()/2 {
		b.once.Do(b.do)
	}
	return b.Reader.Read(p)
}

// TestSFTPServerKilled: a server that dies under a put leaves nothing that counts, and the next put works.
func TestSFTPServerKilled(t *testing.T) {
	s := startSSHD(t)
	l := s.open()
	content := randomText(8 << 20)
	started := time.Now()
	err := l.Put(t.Context(), "gwdr1/a", trip(content, s.kill), int64(len(content)))
	if took := time.Since(started); err == nil || took > 20*time.Second {
		t.Errorf("Put = %v after %s", err, took)
	}
	if _, err := l.Get(t.Context(), "gwdr1/a"); err == nil || errors.Is(err, backup.ErrNotExist) {
		t.Errorf("Get from a dead server = %v", err)
	}
	s.revive()
	if objects, err := l.List(t.Context(), ""); err != nil || len(objects) > 0 {
		t.Errorf("List() = %v, %v", objects, err)
	}
	put(t, l, "gwdr1/a", content)
	if get(t, l, "gwdr1/a") != content {
		t.Error("the object has other bytes")
	}
}

// TestSFTPReset: a put goes on over a new connection when the one under it is reset.
func TestSFTPReset(t *testing.T) {
	s := startSSHD(t)
	s.open()
	var conns []*net.TCPConn
	o := s.options()
	o.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
		if err == nil {
			conns = append(conns, conn.(*net.TCPConn))
		}
		return conn, err
	}
	l := sftp.Open(o)
	content := randomText(8 << 20)
	body := trip(content, func() {
		conns[0].SetLinger(0)
		conns[0].Close()
	})
	if err := l.Put(t.Context(), "gwdr1/a", body, int64(len(content))); err != nil || len(conns) != 2 {
		t.Errorf("Put = %v over %d connections", err, len(conns))
	}
	if get(t, l, "gwdr1/a") != content {
		t.Error("the object has other bytes")
	}
}

// TestSFTPCrowd: many large objects at once, over one connection.
func TestSFTPCrowd(t *testing.T) {
	s := startSSHD(t)
	l := s.open()
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			name, content := "gwdr1/"+string(rune('a'+i)), randomText(5<<20+i)
			put(t, l, name, content)
			if get(t, l, name) != content {
				t.Errorf("%s has other bytes", name)
			}
		})
	}
	wg.Wait()
}

func TestSFTPWrongKey(t *testing.T) {
	s, other := startSSHD(t), startSSHD(t)
	s.open()
	o := s.options()
	o.Key = other.key
	l := sftp.Open(o)
	if _, err := l.List(t.Context(), ""); err == nil || !strings.Contains(err.Error(), other.key) {
		t.Errorf("List with another's key = %v", err)
	}
}

// TestSFTPChangedHostKey: not even the key is shown to a server that is another.
func TestSFTPChangedHostKey(t *testing.T) {
	s, other := startSSHD(t), startSSHD(t)
	s.open()
	s.knowHost(filepath.Join(filepath.Dir(other.config), "host.pub"))
	trust := (*sftp.HostKeyError)(nil)
	if _, err := sftp.Open(s.options()).List(t.Context(), ""); !errors.As(err, &trust) || !trust.Changed {
		t.Errorf("List = %v, want a HostKeyError", err)
	}
	if log := string(s.said()); strings.Count(log, "Accepted publickey") > 1 {
		t.Errorf("logged in all the same:\n%s", log)
	}
}

// TestSFTPUnmounted: without its id file a directory is not the location.
func TestSFTPUnmounted(t *testing.T) {
	s := startSSHD(t)
	l := s.open()
	put(t, l, "gwdr1/a", "content")
	if err := os.Rename(s.dir, s.dir+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	_, getErr := l.Get(t.Context(), "gwdr1/a")
	_, listErr := l.List(t.Context(), "")
	putErr := l.Put(t.Context(), "gwdr1/b", strings.NewReader("content"), 7)
	for _, err := range []error{putErr, getErr, listErr, l.Remove(t.Context(), "gwdr1/a")} {
		if !errors.Is(err, tree.ErrNotPrepared) {
			t.Errorf("%v, want ErrNotPrepared", err)
		}
	}
	if entries, _ := os.ReadDir(s.dir); len(entries) > 0 {
		t.Errorf("%v was written", entries)
	}
}

// TestSFTPReadOnly: what cannot be written to can still be read.
func TestSFTPReadOnly(t *testing.T) {
	s := startSSHD(t)
	put(t, s.open(), "gwdr1/a", "content")
	readOnly := startSSHD(t, "-R")
	o := readOnly.options()
	o.Dir = s.dir
	l := sftp.Open(o)
	if get(t, l, "gwdr1/a") != "content" {
		t.Error("the object has other bytes")
	}
	put(t, l, "gwdr1/a", "content") // is there
	if err := l.Put(t.Context(), "gwdr1/b", strings.NewReader("content"), 7); !errors.Is(err, os.ErrPermission) {
		t.Errorf("Put = %v, want permission denied", err)
	}
	if err := l.Remove(t.Context(), "gwdr1/a"); !errors.Is(err, os.ErrPermission) {
		t.Errorf("Remove = %v, want permission denied", err)
	}
}

// TestSFTPCapabilities: Probe tells what a server keeps its writers from.
func TestSFTPCapabilities(t *testing.T) {
	s := startSSHD(t)
	c, err := s.open().Probe(t.Context())
	if err != nil || !c.CreateOnly || c.Immutable || len(c.Tests) != 2 || c.Tests[0].Denied || c.Tests[1].Denied {
		t.Errorf("Probe() = %+v, %v", c, err)
	}
	s = startSSHD(t, "-P", "remove,rmdir,rename,posix-rename,setstat,lsetstat,fsetstat")
	l := s.open()
	c, err = l.Probe(t.Context())
	if err != nil || !c.CreateOnly || c.Immutable || c.Tests[0].Denied || !c.Tests[1].Denied {
		t.Errorf("nothing can be deleted: Probe() = %+v, %v", c, err)
	}
	if err := os.Chmod(filepath.Join(s.dir, filepath.FromSlash(tree.Canary)), 0o444); err != nil {
		t.Fatal(err)
	}
	c, err = l.Probe(t.Context())
	owner := os.Geteuid() != 0 // root may open any file for writing
	if err != nil || !c.CreateOnly || c.Immutable != owner || c.Tests[0].Denied != owner || !c.Tests[1].Denied {
		t.Errorf("nor written to: Probe() = %+v, %v", c, err)
	}
	first, _ := l.Domain(t.Context())
	second, _ := s.open().Domain(t.Context())
	if first != second || !strings.HasPrefix(first, "sftp host SHA256:") {
		t.Errorf("domains %q and %q", first, second)
	}
}

// TestSFTPDiskFull: a put that finds no room says so and leaves nothing, and smaller ones still work.
func TestSFTPDiskFull(t *testing.T) {
	s := startSSHD(t)
	mountSmall(t, s.dir)
	l := s.open()
	content := randomText(6 << 20)
	err := l.Put(t.Context(), "gwdr1/a", strings.NewReader(content), int64(len(content)))
	if err == nil || !strings.Contains(err.Error(), "no space left at the server") {
		t.Errorf("Put = %v", err)
	}
	if objects, err := l.List(t.Context(), ""); err != nil || len(objects) > 0 {
		t.Errorf("List() = %v, %v", objects, err)
	}
	if left, _ := os.ReadDir(filepath.Join(s.dir, tree.TempDir)); len(left) > 0 {
		t.Errorf("%v was left behind", left)
	}
	put(t, l, "gwdr1/a", content[:1<<20])
}

// mountSmall mounts a file system of 4 MiB in memory.
func mountSmall(t *testing.T, dir string) {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=4m", "gwdr-e2e", dir).CombinedOutput(); err != nil {
		missing(t, "a mount of a small file system: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
}
