package proc

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// startOf returns when the process was started, in clock ticks since boot, and whether it has ended but was not
// reaped: its first thread has ended and there is no other, which might still hold its locks and sockets
// (proc_pid_stat(5), fields 22, 3 and 20).
func startOf(pid int) (start uint64, ended bool, err error) {
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
	if start, err = strconv.ParseUint(string(fields[19]), 10, 64); err != nil {
		return 0, false, err
	}
	threads, err := strconv.Atoi(string(fields[17]))
	state := fields[0][0]
	return start, (state == 'Z' || state == 'X') && threads <= 1, err
}

// stoppedNow reports whether all threads of the process are stopped: they stop one by one, some time after the signal
// (proc_pid_stat(5), field 3).
func stoppedNow(pid int) (bool, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		return false, errors.Join(err, fs.ErrNotExist)
	}
	for _, file := range threads {
		stat, err := os.ReadFile(file)
		if err != nil {
			return false, err
		}
		if rest := stat[bytes.LastIndexByte(stat, ')')+1:]; !bytes.HasPrefix(rest, []byte(" T")) {
			return false, nil
		}
	}
	return true, nil
}
