// Package proc tells the processes of this machine apart, and signals the very one that is meant.
package proc

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// ID tells a process from every other one, also from a later one with the same pid.
type ID struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // when it was started, in the system's own unit
}

// Identify returns the identity of a process that has not been reaped.
func Identify(pid int) (ID, error) {
	start, _, err := startOf(pid)
	if err != nil {
		return ID{}, fmt.Errorf("identify process %d: %w", pid, err)
	}
	return ID{PID: pid, Start: start}, nil
}

// Alive reports whether the process runs or is stopped. One that has ended is not alive, even if nobody has reaped it.
func (i ID) Alive() bool {
	if i.PID <= 0 {
		return false
	}
	start, ended, err := startOf(i.PID)
	return err == nil && !ended && start == i.Start
}

// Stopped reports whether every thread of the process is stopped.
func (i ID) Stopped() bool {
	stopped, err := stoppedNow(i.PID)
	return err == nil && stopped && i.Alive() // alive last: a process that got the pid meanwhile is another one
}

// Signal sends sig to the process, and never to another one that got its pid. It is no error if it has ended.
func (i ID) Signal(sig syscall.Signal) error {
	p, err := os.FindProcess(i.PID) // by pidfd on Linux: from here on it is this process or none
	if err != nil {
		return fmt.Errorf("find process %d: %w", i.PID, err)
	}
	defer p.Release()
	if !i.Alive() {
		return nil
	}
	if err := p.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s to process %d: %w", sig, i.PID, err)
	}
	return nil
}

// KillTimeout is how long the kernel may take to end a killed process.
const KillTimeout = 5 * time.Second

// Kill ends the process and returns when it is gone.
func (i ID) Kill() error {
	if err := i.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	for deadline := time.Now().Add(KillTimeout); i.Alive(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("process %d is still there %s after SIGKILL", i.PID, KillTimeout)
		}
	}
	return nil
}
