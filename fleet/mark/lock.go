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
		if time.Since(began) > certain && (time.Since(now.since) > longestWork || now.owner.Stopped()) {
			log.Warn("another process is stuck in its work on the fleet; not waited for it", "pid", now.owner.PID, "marks", filepath.Dir(file.Name()))
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("process %d is at work there: %w", now.owner.PID, context.Cause(ctx))
		case <-time.After(lookAgain):
		}
	}
}

// sign says in the file who has locked it; its time says since when.
func sign(file *os.File) error {
	id, err := proc.Identify(os.Getpid())
	if err != nil {
		return err
	}
	text, err := json.Marshal(id)
	if err == nil {
		err = file.Truncate(0)
	}
	if err == nil {
		_, err = file.WriteAt(text, 0)
	}
	return err
}

// signature says who has locked the file, and since when. For a moment after it was locked it is that of the one before.
type signature struct {
	owner proc.ID
	since time.Time
}

func signed(file *os.File) (s signature) {
	info, err := file.Stat()
	if err != nil {
		return signature{since: time.Now()}
	}
	s.since = info.ModTime()
	text, err := io.ReadAll(io.NewSectionReader(file, 0, 1<<10))
	if err != nil || json.Unmarshal(text, &s.owner) != nil {
		s.owner = proc.ID{}
	}
	return s
}
