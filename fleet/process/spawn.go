package process

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

// spawner starts all children from one thread that lives as long as this process: a child's parent death signal is
// tied to the thread that made it, not to the process.
type spawner chan spawn

type spawn struct {
	cmd *exec.Cmd
	err chan<- error
}

// newSpawner starts the thread. It cannot be stopped without ending the children.
func newSpawner() spawner {
	s := make(spawner)
	go func() {
		runtime.LockOSThread()
		for next := range s {
			next.err <- next.cmd.Start()
		}
	}()
	return s
}

// start is exec.Cmd.Start from the one thread.
func (s spawner) start(cmd *exec.Cmd) error {
	err := make(chan error, 1)
	s <- spawn{cmd, err}
	return <-err
}

// executable is the program that children run: the same one for the whole life of the lab.
type executable struct {
	name string
	file *os.File
}

func openExecutable(name string) (*executable, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open executable: %w", err)
	}
	return &executable{name, f}, nil
}
