package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// childAttributes let a child die with the thread that made it, even if it is stopped and cannot see its parent go.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// processStart returns when the process was started, in clock ticks since boot, and whether it has ended but was not
// reaped (proc_pid_stat(5), fields 22, 3 and 20). A killed process is not at its end while a thread of it is left, which
// still holds its files and locks.
func processStart(pid int) (start uint64, ended bool, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false, err
	}
	return parseStat(stat)
}

func parseStat(stat []byte) (start uint64, ended bool, err error) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // the name before may hold anything
	if len(fields) < 20 {
		return 0, false, errors.New("malformed stat")
	}
	start, err = strconv.ParseUint(string(fields[19]), 10, 64)
	state := fields[0][0]
	alone := string(fields[17]) == "0" || string(fields[17]) == "1"
	return start, (state == 'Z' || state == 'X') && alone, err
}

// residentBytes returns the memory that the process has in RAM, or 0 if it is not known.
func residentBytes(pid int) int64 {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := bytes.Fields(statm)
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(string(fields[1]), 10, 64)
	return pages * int64(os.Getpagesize())
}

// path returns where to find the program, also when its file was deleted (as `go run` does) or replaced (by an upgrade).
func (e *executable) path() string {
	opened, err := e.file.Stat()
	if err != nil {
		return e.name
	}
	if named, err := os.Stat(e.name); err == nil && os.SameFile(named, opened) {
		return e.name
	}
	return fmt.Sprintf("/proc/self/fd/%d", e.file.Fd())
}
