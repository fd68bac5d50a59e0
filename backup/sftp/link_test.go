package sftp_test

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/backup/sftp"
	"gwdr/backup/tree"
)

// line is a connection that goes wrong.
type line struct {
	net.Conn
	mu   sync.Mutex
	left int  // bytes that can still be written; less than 0: any number
	dark bool // once none are left: nothing passes in either direction any more. Otherwise it breaks
	cut  chan struct{}
	once sync.Once
}

func newLine(conn net.Conn, left int, dark bool) *line {
	return &line{Conn: conn, left: left, dark: dark, cut: make(chan struct{})}
}

func (l *line) Write(p []byte) (int, error) {
	l.mu.Lock()
	over := l.left >= 0 && len(p) > l.left
	if l.left >= 0 && !over {
		l.left -= len(p)
	} else if over {
		l.left = 0
	}
	l.mu.Unlock()
	switch {
	case !over:
		return l.Conn.Write(p)
	case l.dark:
		return len(p), nil
	}
	l.Close()
	return 0, errors.New("connection reset by peer")
}

func (l *line) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	l.mu.Lock()
	lost := l.dark && l.left == 0
	l.mu.Unlock()
	if lost {
		<-l.cut
		return 0, io.EOF
	}
	return n, err
}

func (l *line) Close() error {
	l.once.Do(func() { close(l.cut) })
	return l.Conn.Close()
}

// spoil makes the next connections of the server go wrong after so many bytes each, and those after them not.
func (s *server) spoil(dark bool, lefts ...int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wrap = func(conn net.Conn) net.Conn {
		if len(lefts) == 0 {
			return conn
		}
		left := lefts[0]
		lefts = lefts[1:]
		return newLine(conn, left, dark)
	}
}

func bigObject() string {
	content := make([]byte, 3<<20)
	rand.Read(content)
	return string(content)
}

// TestIdleConnectionEnds: the next operation connects anew, and does not fail.
func TestIdleConnectionEnds(t *testing.T) {
	s := newServer(t)
	l := s.open(t)
	for range 3 {
		before := s.dialled()
		s.cut()
		if err := put(t, l, "gwdr1/a", "content"); err != nil {
			t.Fatal(err)
		}
		if get(t, l, "gwdr1/a") != "content" || s.dialled() != before+1 {
			t.Errorf("%d connections, want one more than %d", s.dialled(), before)
		}
	}
}

// TestPutBreaks: a connection that breaks in the middle of an object, at many places, leaves nothing that counts. The put
// goes on over a new one, and fails if that breaks too.
func TestPutBreaks(t *testing.T) {
	content := bigObject()
	for left := 4 << 10; left < 3<<20+16<<10; left += 775 << 10 {
		s := newServer(t)
		s.open(t)
		l := sftp.Open(s.options(t))
		s.spoil(false, left)
		if err := put(t, l, "gwdr1/a", content); err != nil {
			t.Errorf("broken once after %d bytes: %v", left, err)
		}
		if got := get(t, l, "gwdr1/a"); got != content {
			t.Errorf("broken once after %d bytes: the object has %d bytes", left, len(got))
		}
		l = sftp.Open(s.options(t))
		s.spoil(false, left, left)
		if err := put(t, l, "gwdr1/b", content); err == nil || !strings.Contains(err.Error(), "connection reset by peer") {
			t.Errorf("broken twice after %d bytes: %v", left, err)
		}
		if objects, err := l.List(t.Context(), "gwdr1/b"); err != nil || len(objects) > 0 {
			t.Errorf("broken twice after %d bytes: %v, %v is there", left, objects, err)
		}
	}
}

// TestGetGoesOn: reading goes on where the connection broke.
func TestGetGoesOn(t *testing.T) {
	s := newServer(t)
	l := s.open(t)
	content := bigObject()
	if err := put(t, l, "gwdr1/a", content); err != nil {
		t.Fatal(err)
	}
	r, err := l.Get(t.Context(), "gwdr1/a")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := make([]byte, len(content))
	if _, err := io.ReadFull(r, got[:100]); err != nil {
		t.Fatal(err)
	}
	s.cut()
	if _, err := io.ReadFull(r, got[100:]); err != nil || string(got) != content {
		t.Errorf("read other bytes, %v", err)
	}
	if n, err := r.Read(got); n != 0 || err != io.EOF {
		t.Errorf("Read at the end = %d, %v", n, err)
	}
}

// TestGetOfAnother: what was replaced while the connection was broken is not read on.
func TestGetOfAnother(t *testing.T) {
	s := newServer(t)
	l := s.open(t)
	if err := put(t, l, "gwdr1/a", bigObject()); err != nil {
		t.Fatal(err)
	}
	r, err := l.Get(t.Context(), "gwdr1/a")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s.cut()
	file := filepath.Join(s.dir(), "gwdr1/a")
	if err := os.Truncate(file, 1<<20); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, r); err == nil {
		t.Errorf("read %d bytes of an object that shrank", n)
	}
}

// TestBlackHole: a server that nothing is heard of any more hangs nobody: not who has a context that ends, and not who has
// none. Others that share the connection go on over a new one.
func TestBlackHole(t *testing.T) {
	for left := range map[int]bool{0: true, 100 << 10: true, 2 << 20: true} {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(t)
			s.open(t)
			content := bigObject()
			s.spoil(true, left)
			l := sftp.Open(s.options(t))
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			started := time.Now()
			err := l.Put(ctx, "gwdr1/a", strings.NewReader(content), int64(len(content)))
			if took := time.Since(started); !errors.Is(err, context.DeadlineExceeded) || took > 2*time.Second+200*time.Millisecond {
				t.Errorf("dark after %d bytes: %v after %s", left, err, took)
			}
			synctest.Wait()
			started = time.Now()
			s.spoil(true, left)
			l = sftp.Open(s.options(t))
			err = put(t, l, "gwdr1/a", content)
			if took := time.Since(started); err == nil || took > 61*time.Second {
				t.Errorf("dark after %d bytes, without a limit: %v after %s", left, err, took)
			}
			if err := put(t, l, "gwdr1/a", content); err != nil {
				t.Errorf("dark after %d bytes, the next put: %v", left, err)
			}
		})
	}
}

// TestGivenUp: who gives up on a dead connection does not take others down with it.
func TestGivenUp(t *testing.T) { // in real time: the two wait for one mutex, which a bubble's clock does not run for
	s := newServer(t)
	s.open(t)
	s.spoil(true, 1<<20)
	l := sftp.Open(s.options(t))
	var wg sync.WaitGroup
	content := bigObject()
	wg.Go(func() {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		if err := l.Put(ctx, "gwdr1/a", strings.NewReader(content), int64(len(content))); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("impatient: %v", err)
		}
	})
	wg.Go(func() {
		if err := put(t, l, "gwdr1/b", content); err != nil {
			t.Errorf("patient: %v", err)
		}
	})
	wg.Wait()
	if got := get(t, l, "gwdr1/b"); got != content {
		t.Error("patient: the object has other bytes")
	}
}

// TestCancelled: a put that is given up at a server that answers keeps the connection, and leaves nothing.
func TestCancelled(t *testing.T) {
	s := newServer(t)
	l := s.open(t)
	content := bigObject()
	ctx, cancel := context.WithCancel(t.Context())
	body := &trigger{Reader: strings.NewReader(content), at: len(content) / 2, do: cancel}
	if err := l.Put(ctx, "gwdr1/a", body, int64(len(content))); !errors.Is(err, context.Canceled) {
		t.Errorf("Put = %v", err)
	}
	if err := put(t, l, "gwdr1/a", "content"); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(filepath.Join(s.dir(), tree.TempDir)); len(left) > 0 {
		t.Errorf("%v was left behind", left)
	}
}

// trigger does something once, when so many bytes of the body are left.
type trigger struct {
	*strings.Reader
	at int
	do func()
}

func (b *trigger) Read(p []byte) (int, error) {
	if b.do != nil && b.Len() <= b.at {
		b.do()
		b.do = nil
	}
	return b.Reader.Read(p)
}
