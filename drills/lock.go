package drills

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// lock is held by whoever writes in an evidence directory: a drill, its guard once the drill is dead, or a revert. A drill
// holds that of its fleet as well. The kernel drops it with the process.
type lock struct{ file *os.File }

// Claim takes the fleet whose state is in dir for one drill, wherever that keeps its evidence, until release is called.
// The error wraps ErrRefused if another drill has it.
func Claim(dir, scenario string) (release func() error, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("claim fleet: %w", err)
	}
	l, err := takeLock(dir, drillHolder(scenario))
	if errors.Is(err, ErrLocked) {
		return nil, fmt.Errorf("%w: fleet: %w", ErrRefused, err)
	} else if err != nil {
		return nil, err
	}
	return l.release, nil
}

// drillHolder names a drill for those who find its lock.
func drillHolder(scenario string) string { return "another drill (" + scenario + ")" }

// ErrLocked is wrapped, besides ErrRefused, by the errors of a drill that finds another at work.
var ErrLocked = errors.New("directory is in use")

// ErrGuard is wrapped, besides ErrLocked, if it is the guard of a drill that is at work: it reverts what that has left behind.
var ErrGuard = errors.New("a guard reverts")

// guardHolder names the guard of a run for those who find its lock.
func guardHolder(run string) string { return guardOf + run }

const guardOf = "the guard of "

// lockPatience is how long a lock is waited for: those who only look hold it for a moment.
const lockPatience = time.Second

// takeLock takes the lock; holder says who has it, for the error that the next one gets.
func takeLock(evidence, holder string) (*lock, error) {
	l, err := openLock(evidence, unix.LOCK_EX)
	for began := time.Now(); errors.Is(err, ErrLocked) && time.Since(began) < lockPatience; l, err = openLock(evidence, unix.LOCK_EX) {
		time.Sleep(20 * time.Millisecond)
	}
	if err != nil {
		return nil, err
	}
	if err := errors.Join(l.file.Truncate(0), writeAt(l.file, fmt.Sprintf("%s of %s since %s, process %d\n", holder, owner(), time.Now().UTC().Format("2006-01-02 15:04:05 UTC"), os.Getpid()))); err != nil {
		l.file.Close()
		return nil, fmt.Errorf("lock directory: %w", err)
	}
	return l, nil
}

// owner names who runs this process, for people.
func owner() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return u.Username
	}
	return fmt.Sprintf("user %d", os.Getuid())
}

// openLock tries once; how is LOCK_EX, or LOCK_SH for those who only look.
func openLock(evidence string, how int) (*lock, error) {
	f, err := os.OpenFile(filepath.Join(evidence, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock directory: %w", err)
	}
	err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	switch {
	case err == nil:
		return &lock{f}, nil
	case errors.Is(err, unix.EWOULDBLOCK):
		err = &lockedError{readHolder(f)}
	default:
		err = fmt.Errorf("lock directory: %w", err)
	}
	f.Close()
	return nil, err
}

// lockedError says who has the lock.
type lockedError struct{ holder string }

// Error names the holder.
func (e *lockedError) Error() string { return ErrLocked.Error() + " by " + e.holder }

// Is makes it ErrLocked, and ErrGuard if a guard has the lock.
func (e *lockedError) Is(target error) bool {
	return target == ErrLocked || target == ErrGuard && strings.HasPrefix(e.holder, guardOf)
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
