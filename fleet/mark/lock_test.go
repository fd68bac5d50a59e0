package mark

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/fleet/proc"
)

// TestLock: one at work is waited for, one that is stuck is not.
func TestLock(t *testing.T) {
	other := exec.Command("cat") // until its input ends
	input, err := other.StdinPipe()
	if err == nil {
		err = other.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer other.Wait()
	defer input.Close()
	id, err := proc.Identify(other.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer id.Signal(syscall.SIGCONT)
	for _, c := range []struct {
		name   string
		hamper syscall.Signal
		by     signature
		got    bool
	}{
		{"at work", 0, signature{id, uptime()}, false},
		{"for too long", 0, signature{id, uptime() - time.Hour}, true},
		{"stopped", syscall.SIGSTOP, signature{id, uptime()}, true},
		{"goes on", syscall.SIGCONT, signature{id, uptime()}, false},
		{"unsigned", 0, signature{}, false},
	} {
		d := Dir{Path: t.TempDir()}
		held := locked(t, d, c.by)
		if c.hamper != 0 {
			signalled(t, id, c.hamper)
		}
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			unlock, err := d.Lock(ctx, slog.New(slog.NewTextHandler(io.Discard, nil)))
			if (err == nil) != c.got {
				t.Errorf("%s: %v", c.name, err)
			}
			if err == nil {
				unlock()
			}
		})
		held.Close()
		unlock, err := d.Lock(t.Context(), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatalf("%s: once it is free: %v", c.name, err)
		}
		unlock()
	}
}

// locked locks the directory as if another process had. By the clock of the wall, that was long ago in any case.
func locked(t *testing.T, d Dir, by signature) *os.File {
	t.Helper()
	file, err := os.Create(filepath.Join(d.Path, "lock"))
	if err == nil {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
	}
	if err == nil {
		err = json.NewEncoder(file).Encode(by)
	}
	stepped := time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC) // a year before time begins in the bubble
	if err == nil {
		err = os.Chtimes(file.Name(), stepped, stepped)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func signalled(t *testing.T, id proc.ID, sig syscall.Signal) {
	t.Helper()
	if err := id.Signal(sig); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); id.Stopped() != (sig == syscall.SIGSTOP); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s has no effect", sig)
		}
	}
}

// TestLockExcludes: who has just got the lock is not taken for the one that had it long ago.
func TestLockExcludes(t *testing.T) {
	d := Dir{Path: t.TempDir()}
	id, err := proc.Identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		locked(t, d, signature{id, uptime() - time.Hour}).Close()
		synctest.Test(t, func(t *testing.T) {
			var inside atomic.Int32
			var all sync.WaitGroup
			for range 3 {
				all.Go(func() {
					unlock, err := d.Lock(t.Context(), slog.New(slog.DiscardHandler))
					if err != nil {
						t.Error(err)
						return
					}
					if inside.Add(1) > 1 {
						t.Error("two have the lock")
					}
					time.Sleep(time.Second)
					inside.Add(-1)
					unlock()
				})
			}
			all.Wait()
		})
		if t.Failed() {
			return
		}
	}
}
