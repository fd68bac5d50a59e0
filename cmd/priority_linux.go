package cmd

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// drillPriority is the niceness of a drill.
const drillPriority = -10

// raisePriority puts this process, and those that it starts from now on, before others on a busy machine. On Linux each
// thread has a niceness of its own, and a new one takes that of the thread which made it.
func raisePriority() error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("raise priority: %w", err)
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err == nil {
			err = unix.Setpriority(unix.PRIO_PROCESS, id, drillPriority)
		}
		if err != nil {
			return fmt.Errorf("raise priority: %w", err)
		}
	}
	return nil
}
