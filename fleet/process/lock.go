package process

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// acquire takes the lab's directory for this process. The kernel lets go of it when the process ends, however it ends.
// The error wraps ErrRunning if another process has it.
func (d layout) acquire() (*os.File, error) {
	f, err := os.OpenFile(d.lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock lab: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w in %s", ErrRunning, string(d))
		}
		return nil, fmt.Errorf("lock lab %s: %w", string(d), err)
	}
	return f, nil
}

// Sweep cleans up after a lab that died, and reports whether there was one. The error wraps ErrRunning if a lab is
// running in dir, or starting.
func Sweep(dir string) (bool, error) {
	d := layout(dir)
	if _, err := os.Stat(d.lock()); errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	lock, err := d.acquire()
	if err != nil {
		return false, err
	}
	defer lock.Close()
	return d.sweep()
}
