package command

import (
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// Start starts cmd with the niceness that processes have, if this one has put itself before others for its measurement: a
// service that a command starts again would keep what it inherits. On Linux each thread has a niceness of its own.
func Start(cmd *exec.Cmd) error {
	raw, err := unix.Getpriority(unix.PRIO_PROCESS, 0) // of this thread: 20 less its niceness
	if err != nil || raw <= 20 {
		return cmd.Start()
	}
	runtime.LockOSThread() // until it is as before: else the thread ends with its goroutine
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, 0); err != nil {
		runtime.UnlockOSThread()
		return cmd.Start()
	}
	err = cmd.Start()
	if unix.Setpriority(unix.PRIO_PROCESS, 0, 20-raw) == nil {
		runtime.UnlockOSThread()
	}
	return err
}
