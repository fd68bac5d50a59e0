package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"gwdr/fleet/command"
	"gwdr/fleet/proc"
)

// service is how a process is found, and started again. Undo records hold it.
type service struct {
	PIDFile string          `json:"pid_file,omitempty"`
	Exe     string          `json:"exe,omitempty"`
	Start   command.Command `json:"start,omitzero"`

	Unit      string          `json:"unit,omitempty"`
	Systemctl command.Command `json:"systemctl,omitzero"`

	Dir string   `json:"dir"` // where commands are run
	Env []string `json:"env"` // KEY=VALUE
}

const (
	startLimit = 2 * time.Minute        // until a process that was started is there; then it is started anew
	stopLimit  = 10 * time.Second       // from SIGTERM to SIGKILL
	lookAgain  = 20 * time.Millisecond  // between two looks
	callLimit  = 15 * time.Second       // of systemctl
	maxPIDFile = 64                     // bytes
	settled    = 300 * time.Millisecond // a process that was started may not end before
)

var (
	errNotRunning = errors.New("it does not run")
	errNotOurs    = errors.New("gwdr does not touch it")
)

// main returns the process that the service is by now. The error wraps errNotRunning if there is none, and errNotOurs if it is one that
// is never touched.
func (s service) main(ctx context.Context) (proc.ID, error) {
	pid, err := s.pid(ctx)
	if err != nil {
		return proc.ID{}, err
	}
	id, err := proc.Identify(pid)
	if err != nil || !id.Alive() {
		return proc.ID{}, fmt.Errorf("%w: process %d is gone", errNotRunning, pid)
	}
	if err := touchable(id, s.Exe); err != nil {
		return proc.ID{}, fmt.Errorf("process %d: %w", pid, err)
	}
	return id, nil
}

// again returns the process that the service is by now, after the one before. One that only has its pid is none: a killed process leaves
// its pid file behind.
func (s service) again(ctx context.Context, before proc.ID) (proc.ID, error) {
	now, err := s.main(ctx)
	if err == nil && now.PID == before.PID && now != before {
		return now, fmt.Errorf("%w: another process has the pid %d by now", errNotRunning, now.PID)
	}
	return now, err
}

func (s service) pid(ctx context.Context) (int, error) {
	if s.Unit != "" {
		return s.unitPID(ctx)
	}
	f, err := os.Open(s.PIDFile)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("%w: there is no %s", errNotRunning, s.PIDFile)
	} else if err != nil {
		return 0, fmt.Errorf("read pid: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxPIDFile+1))
	if err != nil {
		return 0, fmt.Errorf("read pid: %w", err)
	}
	return parsePID(s.PIDFile, text)
}

// parsePID reads the first line of a pid file.
func parsePID(file string, text []byte) (int, error) {
	line, _, _ := strings.Cut(string(text), "\n")
	line = strings.TrimSpace(line)
	if line == "" && len(text) <= maxPIDFile { // about to be written
		return 0, fmt.Errorf("%w: %s is empty", errNotRunning, file)
	}
	pid, err := strconv.ParseInt(line, 10, 32)
	if err != nil || pid <= 0 || len(text) > maxPIDFile {
		return 0, fmt.Errorf("%s does not hold a pid", file)
	}
	return int(pid), nil
}
