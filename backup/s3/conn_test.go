package s3

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipe returns a watched connection and its other end.
func pipe(t *testing.T, limit time.Duration) (watchedEnd, other net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	conn, err := watched(func(context.Context, string, string) (net.Conn, error) { return near, nil }, limit)(t.Context(), "tcp", "host:1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(); far.Close() })
	return conn, far
}

func wantStalled(t *testing.T, err error, took time.Duration) {
	t.Helper()
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) || !strings.Contains(err.Error(), "nothing moved") {
		t.Errorf("error %v, want one that says that nothing moved", err)
	}
	if took != 10*time.Second {
		t.Errorf("noticed after %s", took)
	}
}

func TestStalledRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _ := pipe(t, 10*time.Second)
		started := time.Now()
		_, err := conn.Read(make([]byte, 1))
		wantStalled(t, err, time.Since(started))
	})
}

func TestStalledWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, _ := pipe(t, 10*time.Second)
		started := time.Now()
		_, err := conn.Write([]byte("nobody reads this"))
		wantStalled(t, err, time.Since(started))
	})
}

// TestSlowIsNotStalled: an upload that takes long, and whose answer therefore comes late, is well as long as it moves.
func TestSlowIsNotStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, far := pipe(t, 10*time.Second)
		go func() {
			for range 10 {
				time.Sleep(9 * time.Second)
				io.ReadFull(far, make([]byte, 1))
			}
			time.Sleep(9 * time.Second)
			far.Write([]byte("done"))
		}()
		answer := make(chan error, 1)
		go func() {
			_, err := io.ReadFull(conn, make([]byte, 4))
			answer <- err
		}()
		for range 10 {
			if _, err := conn.Write([]byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-answer; err != nil {
			t.Errorf("answer: %v", err)
		}
	})
}
