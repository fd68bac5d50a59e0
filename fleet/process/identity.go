package process

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// identity tells a process from every other one, also from a later one with the same pid.
type identity struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // when it was started, in the system's own unit
}

// identify returns the identity of a process of this machine that has not been reaped.
func identify(pid int) (identity, error) {
	start, _, err := processStart(pid)
	if err != nil {
		return identity{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	return identity{PID: pid, Start: start}, nil
}

// alive reports whether the process runs or is stopped. One that has ended is not alive, even if nobody has reaped it.
func (i identity) alive() bool {
	if i.PID <= 0 {
		return false
	}
	start, ended, err := processStart(i.PID)
	return err == nil && !ended && start == i.Start
}

// kill ends the process and returns when it is gone. It never touches another process that got the pid.
func (i identity) kill() error {
	p, err := os.FindProcess(i.PID) // by pidfd on Linux: from here on it is this process or none
	if err != nil {
		return fmt.Errorf("find process %d: %w", i.PID, err)
	}
	defer p.Release()
	if !i.alive() {
		return nil
	}
	if err := p.Signal(syscall.SIGKILL); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill process %d: %w", i.PID, err)
	}
	for deadline := time.Now().Add(killTimeout); i.alive(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d is still there %s after SIGKILL", i.PID, killTimeout)
		}
	}
	return nil
}

// killTimeout is how long the kernel may take to end a killed process.
const killTimeout = 5 * time.Second
