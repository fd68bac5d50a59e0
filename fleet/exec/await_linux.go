package exec

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// awaitExit returns when the process has ended, and leaves it to be waited for.
func awaitExit(pid int) {
	for errors.Is(unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
}

// endOf ends whatever still runs of an injection whose drill was killed in the middle of it, lest it break something after
// the revert. It is known by the variable that all of it has inherited. It returns how many processes those were.
func endOf(nonce string) (int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return 0, err
	}
	n := 0
	var failed error
	for _, file := range files {
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if !carries(pid, nonce) {
			continue
		}
		p, err := os.FindProcess(pid) // by pidfd: from here on it is this process or none
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		if carries(pid, nonce) {
			if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				failed = errors.Join(failed, fmt.Errorf("end process %d: %w", pid, err))
			}
			n++
		}
		p.Release()
	}
	return n, failed
}

// carries reports whether the process has the variable; of those of other users nobody knows.
func carries(pid int, nonce string) bool {
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && bytes.Contains(append([]byte{0}, environ...), []byte("\x00"+nonceVariable+"="+nonce+"\x00"))
}
