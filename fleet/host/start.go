package host

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"gwdr/fleet/command"
	"gwdr/fleet/proc"
)

// startable says why the service could not be started again.
func (s service) startable() error {
	if s.Unit == "" && len(s.Start.Args) == 0 {
		return errors.New("nothing says how to start it again: set start, or unit")
	}
	return nil
}

// begin starts the service, and returns once it runs, and is another process than before.
func (s service) begin(ctx context.Context, before proc.ID) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("it did not start within %s", startLimit))
	defer cancel()
	if s.Unit != "" {
		if _, err := s.systemctl(ctx, "start", s.Unit); err != nil {
			return err
		}
		return s.awaitMain(ctx, before, func() error { return nil })
	}
	l, err := s.launch()
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if err := s.awaitMain(ctx, before, l.failed); err != nil {
		return errors.Join(err, l.end()) // or it would come to life beside what the next attempt starts
	}
	go l.cmd.Wait() // it may be the process itself
	return nil
}

// awaitMain returns once the service is another process than before, and still is a moment later, or what starts it has failed.
func (s service) awaitMain(ctx context.Context, before proc.ID, failed func() error) error {
	var last proc.ID
	since := time.Now()
	for {
		now, err := s.again(ctx, before)
		switch {
		case err == nil && now == before:
			err = fmt.Errorf("it is still process %d", before.PID)
		case err == nil && now == last && time.Since(since) > settled:
			return nil
		case err == nil && now != last:
			last, since = now, time.Now()
		}
		if err := failed(); err != nil {
			return err
		}
		select {
		case <-time.After(lookAgain):
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		}
	}
}

// launch is a command that starts a service, in a session of its own: it is the process, or begets it.
type launch struct {
	cmd  *exec.Cmd
	id   proc.ID
	over bool // it has ended, has left nobody in its session, and is reaped; until then nobody else gets the session's number
}

func (s service) launch() (*launch, error) {
	if err := s.Start.Trusted(); err != nil {
		return nil, err
	}
	cmd := exec.Command(s.Start.Args[0], s.Start.Args[1:]...) // not CommandContext: it may be the process itself
	cmd.Dir, cmd.Env, cmd.SysProcAttr = s.Dir, s.Env, &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(cmd); err != nil {
		return nil, err
	}
	id, err := proc.Identify(cmd.Process.Pid)
	return &launch{cmd: cmd, id: id}, err
}

// failed returns the error that the command ended with, once it has ended and so have all that it left in its session.
func (l *launch) failed() error {
	if l.over || l.id.Alive() || len(session(l.id.PID)) > 0 {
		return nil
	}
	l.over = true
	if err := l.cmd.Wait(); err != nil {
		return fmt.Errorf("start: %s: %w", l.cmd.Path, err)
	}
	return nil
}

// end kills all that is left of the session. What has left it is beyond reach.
func (l *launch) end() error {
	if l.over {
		return nil
	}
	for deadline := time.Now().Add(proc.KillTimeout); ; {
		left := session(l.id.PID)
		if err := end(left); err != nil {
			return err
		}
		if len(left) == 0 {
			l.cmd.Wait() // that it was killed is no news
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("start: %s begets processes faster than they can be killed", l.cmd.Path)
		}
	}
}
