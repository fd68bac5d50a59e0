package process

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// childAttributes let a child die with the thread that made it, even if it is stopped and cannot see its parent go.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// cpuTime returns how much CPU time the process has used, in steps of 10 ms (proc_pid_stat(5), fields 14 and 15).
func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, errors.New("malformed stat")
	}
	user, err := strconv.ParseInt(string(fields[11]), 10, 64)
	system, err2 := strconv.ParseInt(string(fields[12]), 10, 64)
	const tick = 10 * time.Millisecond // USER_HZ is 100 wherever Go runs
	return time.Duration(user+system) * tick, errors.Join(err, err2)
}

// freeBytes returns how much memory the machine can give away without swapping (proc_meminfo(5)).
func freeBytes() (int64, error) { return kibField("/proc/meminfo", "MemAvailable:") }

// ownBytes returns the memory in RAM that the process shares with no file and no other process, or 0 if it is not known
// (proc_pid_status(5)).
func ownBytes(pid int) int64 {
	bytes, err := kibField(fmt.Sprintf("/proc/%d/status", pid), "RssAnon:")
	if err != nil {
		return 0
	}
	return bytes
}

// kibField returns the bytes of a line such as "name 123 kB".
func kibField(file, name string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(text) {
		if fields := bytes.Fields(line); len(fields) == 3 && string(fields[0]) == name {
			kib, err := strconv.ParseInt(string(fields[1]), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("%s does not say %s", file, name)
}

// sacrifice makes this process the first that the kernel ends when memory runs out.
func sacrifice() error { return os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0) }

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

// connectionsTo returns how many connections are established to addr, host:port of IPv4, at the side that accepted them
// (proc_pid_net(5), state 01).
func connectionsTo(addr string) (int, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil || !at.Addr().Is4() {
		return 0, fmt.Errorf("%q is no address of IPv4", addr)
	}
	table, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		return 0, err
	}
	ip := at.Addr().As4()
	return countEstablished(table, fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(ip[:]), at.Port())), nil
}

// countEstablished counts the lines of a table of connections whose local address is local and whose state is established.
func countEstablished(table []byte, local string) (n int) {
	for line := range bytes.Lines(table) {
		if fields := bytes.Fields(line); len(fields) > 3 && string(fields[1]) == local && string(fields[3]) == "01" {
			n++
		}
	}
	return n
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

// exchange gives each of two files or directories the name of the other, in one step (renameat2(2)). Not every file system can.
func exchange(a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, a, unix.AT_FDCWD, b, unix.RENAME_EXCHANGE)
}
