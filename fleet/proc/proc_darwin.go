package proc

import "golang.org/x/sys/unix"

// startOf returns when the process was started, in microseconds since 1970, and whether it has ended but was not
// reaped.
func startOf(pid int) (start uint64, ended bool, err error) {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return 0, false, err
	}
	const zombie = 5 // SZOMB of sys/proc.h
	at := info.Proc.P_starttime
	return uint64(at.Sec)*1e6 + uint64(at.Usec), info.Proc.P_stat == zombie, nil
}

// stoppedNow reports whether the process is stopped.
func stoppedNow(pid int) (bool, error) {
	info, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return false, err
	}
	const stopped = 4 // SSTOP of sys/proc.h
	return info.Proc.P_stat == stopped, nil
}
