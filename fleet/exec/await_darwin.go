package exec

import (
	"syscall"
	"unsafe"
)

// The names of sys/wait.h.
const (
	pPID    = 1
	wExited = 0x4
	wNoWait = 0x20
)

// awaitExit returns when the process has ended, and leaves it to be waited for.
func awaitExit(pid int) {
	var info [128]byte // siginfo_t is shorter
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, pPID, uintptr(pid), uintptr(unsafe.Pointer(&info)), wExited|wNoWait, 0, 0)
		if errno != syscall.EINTR {
			return
		}
	}
}

// endOf does nothing: macOS does not tell the variables of processes.
func endOf(string) (int, error) { return 0, nil }
