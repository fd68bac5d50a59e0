package mark

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"gwdr/fleet/proc"
)

const (
	certain     = 2 * time.Second  // how long the same one must have had the lock: who has just got it has not signed yet
	longestWork = 45 * time.Second // an attempt of a revert, and the end of what it started
	lookAgain   = 50 * time.Millisecond
)

// Lock keeps two processes from breaking and mending at the same time: the drill and its guard. One that is stopped, or has had the
// lock for longer than any work takes, is not waited for: a drill that hangs must not keep its guard from reverting.
func (d Dir) Lock(ctx context.Context, log *slog.Logger) (unlock func(), err error) {
	if err := os.MkdirAll(d.Path, 0o700); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(d.Path, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := take(ctx, file, log); err != nil {
		file.Close()
		return nil, fmt.Errorf("lock %s: %w", d.Path, err)
	}
	return func() { file.Close() }, nil
}

// take returns once the file is locked, or whoever has locked it is not waited for any more.
func take(ctx context.Context, file *os.File, log *slog.Logger) error {
	var last signature
	for began := time.Now(); ; {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			if err := sign(file); err != nil { // as on a full disk: nobody learns who is at work
				log.Warn("lock is not signed", "marks", filepath.Dir(file.Name()), "error", err)
			}
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return err
		}
		now := signed(file)
		if now != last {
			last, began = now, time.Now()
		}
		if time.Since(began) > certain && now.stuck() {
			log.Warn("another process is stuck in its work on the fleet; not waited for it",
				"pid", now.Owner.PID, "marks", filepath.Dir(file.Name()))
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("process %d is at work there: %w", now.Owner.PID, context.Cause(ctx))
		case <-time.After(lookAgain):
		}
	}
}

// signature says who has locked the file, and since when. For a moment after it was locked it is that of the one before. The zero value
// is that of one who could not sign.
type signature struct {
	Owner proc.ID       `json:"owner"`
	Since time.Duration `json:"since_ns"` // by uptime
}

// stuck reports whether the lock is not waited for. How long somebody who could not sign has had it, nobody knows.
func (s signature) stuck() bool {
	return s.Since != 0 && uptime()-s.Since > longestWork || s.Owner.Stopped()
}

// uptime is the same for all processes, and nobody can set it. On Linux it stands still while the machine sleeps, as work does.
func uptime() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0
	}
	return time.Duration(now.Nano())
}

// signedLength is always the same: what is written over takes no room, which a full disk has not.
const signedLength = 128

// sign says in the file who has locked it.
func sign(file *os.File) error {
	text, err := own()
	if err == nil {
		_, err = file.WriteAt(fmt.Appendf(nil, "%-*s\n", signedLength, text), 0)
	}
	if err != nil {
		return errors.Join(err, file.Truncate(0)) // it would be that of the one before
	}
	return nil
}

// own is the signature of this process.
func own() ([]byte, error) {
	id, err := proc.Identify(os.Getpid())
	if err != nil {
		return nil, err
	}
	return json.Marshal(signature{id, uptime()})
}

func signed(file *os.File) (s signature) {
	text, err := io.ReadAll(io.NewSectionReader(file, 0, 2*signedLength))
	if err != nil || json.Unmarshal(text, &s) != nil {
		return signature{}
	}
	return s
}
