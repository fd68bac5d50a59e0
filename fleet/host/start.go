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

// begin brings the service back, and returns once it runs, and is another process than before. A start goes on when ctx ends: the next
// attempt waits for it in turn, and only one that has not come to anything for startLimit is ended and made again.
func (f *Fleet) begin(ctx context.Context, t target, found trace, note noting) error {
	s := t.Service
	if s.Unit != "" {
		if _, err := s.systemctl(ctx, "start", s.Unit); err != nil {
			return err
		}
		return s.awaitMain(ctx, t.Main, func() error { return nil })
	}
	if found.Start != nil && time.Since(found.Start.At) >= startLimit {
		if err := found.Start.end(); err != nil {
			return err
		}
		found.Start = nil
	}
	if found.Start == nil {
		made, err := f.launch(t)
		if err != nil {
			return fmt.Errorf("start: %w", err)
		}
		found.Start = made
		if err := note(found); err != nil {
			return err
		}
	}
	err := s.awaitMain(ctx, t.Main, f.launched(t, *found.Start))
	if errors.Is(err, errStartFailed) {
		found.Start = nil
		return errors.Join(err, note(found))
	}
	return err
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
			return fmt.Errorf("its start goes on: %w", errors.Join(context.Cause(ctx), err))
		}
	}
}

var errStartFailed = errors.New("it could not be started")

// launch starts the command, in a session of its own: it is the process, or begets it. This process remembers how it ends.
func (f *Fleet) launch(t target) (*start, error) {
	s := t.Service
	if err := s.Start.Trusted(); err != nil {
		return nil, err
	}
	cmd := exec.Command(s.Start.Args[0], s.Start.Args[1:]...) // not CommandContext: it may be the process itself
	cmd.Dir, cmd.Env, cmd.SysProcAttr = s.Dir, s.Env, &syscall.SysProcAttr{Setsid: true}
	if err := command.Start(cmd); err != nil {
		return nil, err
	}
	id, err := proc.Identify(cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	f.launches.Store(id, ended)
	return &start{ID: id, At: time.Now().UTC()}, nil
}

// launched returns what says how the command failed, as far as this process has started it. What a command has begotten that failed
// is ended: it will not bring anything back.
func (f *Fleet) launched(t target, l start) func() error {
	known, ok := f.launches.Load(l.ID)
	if !ok {
		return func() error { return nil }
	}
	ended := known.(chan error)
	return func() error {
		select {
		case err := <-ended:
			ended <- nil // it has ended well, as far as anybody asks again
			if err == nil {
				return nil
			}
			return errors.Join(fmt.Errorf("%w: start: %s: %w", errStartFailed, t.Service.Start.Args[0], err), endSession(l.ID.PID))
		default:
			return nil
		}
	}
}

// end ends a start that has come to nothing. Only while its own process lives is the session known to be its own.
func (l start) end() error {
	if !l.ID.Alive() {
		return nil
	}
	return endSession(l.ID.PID)
}

// endSession kills all processes of a session. What has left it is beyond reach.
func endSession(leader int) error {
	for deadline := time.Now().Add(proc.KillTimeout); ; {
		left := session(leader)
		if len(left) == 0 {
			return nil
		}
		if err := end(left); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("session %d begets processes faster than they can be killed", leader)
		}
	}
}
