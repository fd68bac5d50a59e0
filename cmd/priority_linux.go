package cmd

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// drillPriority is the niceness of a drill.
const drillPriority = -10

// raisePriority puts this process, and those that it starts from now on, before others on a busy machine.
func raisePriority() error { return setPriority(drillPriority) }

// lowerPriority puts this process after those of the drill that has started it.
func lowerPriority() error { return setPriority(0) }

// setPriority gives this process a niceness. On Linux each thread has one of its own, and a new one takes that of the thread which
// made it.
func setPriority(niceness int) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("set priority: %w", err)
	}
	for _, thread := range threads {
		id, err := strconv.Atoi(thread.Name())
		if err == nil {
			err = unix.Setpriority(unix.PRIO_PROCESS, id, niceness)
		}
		if err != nil {
			return fmt.Errorf("set priority: %w", err)
		}
	}
	return nil
}
