package process

import (
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// childAttributes are none: Darwin cannot tie a child to its parent. Children end when their standard input does; one
// that is stopped ends once it is continued, and the next lab in the same directory ends it otherwise.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{} }

// cpuTime is not known.
func cpuTime(int) (time.Duration, error) {
	return 0, errors.New("macOS does not say how much CPU time another process has used")
}

// freeBytes is not known.
func freeBytes() (int64, error) {
	return 0, errors.New("macOS does not say how much memory is free")
}

// ownBytes is not known.
func ownBytes(int) int64 { return 0 }

// sacrifice does nothing: the system chooses by itself.
func sacrifice() error { return nil }

// residentBytes is not known.
func residentBytes(int) int64 { return 0 }

// connectionsTo is not known.
func connectionsTo(string) (int, error) {
	return 0, errors.New("macOS does not say how many connections a port has")
}

// path returns where to find the program.
func (e *executable) path() string { return e.name }

// exchange gives each of two files or directories the name of the other, in one step (renamex_np(2)). Not every file system can.
func exchange(a, b string) error { return unix.RenamexNp(a, b, unix.RENAME_SWAP) }
