package drills

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// lock is held by whoever writes in an evidence directory: a drill, its guard once the drill is dead, or a revert. The
// kernel drops it with the process.
type lock struct{ file *os.File }

// errLocked is wrapped by takeLock when another process holds the lock.
var errLocked = errors.New("evidence directory is in use")

// takeLock takes the lock without waiting; holder says who has it, for the error that the next one gets.
func takeLock(evidence, holder string) (*lock, error) {
	f, err := os.OpenFile(filepath.Join(evidence, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock evidence directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		who := readHolder(f)
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w by %s", errLocked, who)
		}
		return nil, fmt.Errorf("lock evidence directory: %w", err)
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, fmt.Sprintf("%s, process %d\n", holder, os.Getpid()))); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock evidence directory: %w", err)
	}
	return &lock{f}, nil
}

func (l *lock) release() error { return l.file.Close() }

func readHolder(f *os.File) string {
	b := make([]byte, 256)
	n, _ := f.ReadAt(b, 0)
	if who := strings.TrimSpace(string(b[:n])); who != "" {
		return who
	}
	return "another process"
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// stopped reports whether somebody put a STOP file into the evidence directory: it ends every drill and blocks new ones.
func stopped(evidence string) bool {
	_, err := os.Lstat(filepath.Join(evidence, stopFile))
	return err == nil
}
