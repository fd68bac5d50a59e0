package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Start starts a lab and returns when all of its processes serve. They live on when this process ends, unless the lab is
// owned. The error wraps ErrRunning if there is one in the directory already.
func Start(ctx context.Context, o Options) (*Lab, error) {
	if err := o.Topology.Validate(); err != nil {
		return nil, fmt.Errorf("start lab: %w", err)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("start lab: %w", err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	d := layout(dir)
	if err := d.make(); err != nil {
		return nil, fmt.Errorf("start lab: %w", err)
	}
	s, err := launch(d, o)
	if err != nil {
		return nil, fmt.Errorf("start lab: %w", err)
	}
	if err := s.ready(ctx, d, o.Timeout); err != nil {
		s.abandon()
		return nil, fmt.Errorf("start lab: %w", err)
	}
	lab, err := Open(dir)
	if err != nil {
		s.abandon()
		return nil, fmt.Errorf("start lab: %w", err)
	}
	s.out.Close()
	lab.owner = s.owner
	o.Log.Info("lab is ready", "dir", dir, "supervisor", lab.file.PID, "after_s", lab.file.Ready)
	return lab, nil
}

// starting is a supervisor that is not known to be ready.
type starting struct {
	cmd   *exec.Cmd
	over  chan struct{} // closed once it has ended
	out   *os.File      // what it says of its readiness
	owner *os.File      // keeps an owned lab alive; nil otherwise
}

// launch starts the supervisor in a session of its own: neither the terminal nor the end of this process reaches it.
func launch(d layout, o Options) (*starting, error) {
	topology, err := json.Marshal(o.Topology)
	if err != nil {
		return nil, err
	}
	log, err := os.OpenFile(d.log(supervisorID), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	out, outWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer outWrite.Close()
	s := &starting{over: make(chan struct{}), out: out}
	s.cmd = exec.Command(o.Executable, "lab", "supervise", "--dir", string(d), "--topology", string(topology), "--log-level", "info")
	s.cmd.Dir = string(d)
	s.cmd.Env = append([]string{"HOME=" + d.nodes()}, o.Env...)
	s.cmd.Stdout, s.cmd.Stderr = outWrite, log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if o.Owned {
		s.cmd.Args = append(s.cmd.Args, "--owner-stdin")
		read, write, err := os.Pipe()
		if err != nil {
			out.Close()
			return nil, err
		}
		defer read.Close()
		s.cmd.Stdin, s.owner = read, write
	}
	if err := s.cmd.Start(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	go func() { // for as long as this process lives, so that no zombie stays
		s.cmd.Wait()
		close(s.over)
	}()
	return s, nil
}

// ready waits until the supervisor says that the lab is ready, or why not.
func (s *starting) ready(ctx context.Context, d layout, timeout time.Duration) error {
	if timeout == 0 {
		timeout = 30 * time.Second
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not ready within %s", timeout))
	defer cancel()
	defer context.AfterFunc(ctx, func() { s.out.SetReadDeadline(time.Unix(1, 0)) })()
	var r readiness
	err := json.NewDecoder(s.out).Decode(&r)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("supervisor ended: %s", strings.Join(tail(d.log(supervisorID), 3), " | "))
	case err != nil:
		return fmt.Errorf("read from supervisor: %w", err)
	case r.Running:
		return fmt.Errorf("%w in %s", ErrRunning, string(d))
	case r.Error != "":
		return errors.New(r.Error)
	}
	return nil
}

// abandon ends a supervisor that did not become ready, and with it all that it has started.
func (s *starting) abandon() {
	s.close()
	s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.over:
	case <-time.After(2 * goodbye):
		s.cmd.Process.Kill()
		<-s.over
	}
}

func (s *starting) close() error {
	err := s.out.Close()
	if s.owner != nil {
		err = errors.Join(err, s.owner.Close())
	}
	return err
}
