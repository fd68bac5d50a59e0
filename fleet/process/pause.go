package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"gwdr/fleet"
	"gwdr/fleet/proc"
)

// pause stops every target, and returns when all threads of all have stopped: until then they answer.
func (s *supervisor) pause(ctx context.Context, f *fault) error { return stopAll(ctx, f.targets) }

func stopAll(ctx context.Context, children []*child) error {
	if err := signalAll(children, syscall.SIGSTOP); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, proc.KillTimeout, fmt.Errorf("still running %s after SIGSTOP", proc.KillTimeout))
	defer cancel()
	for _, c := range children {
		r, _ := c.current()
		err := poll(ctx, "stop "+c.ID, func() error {
			if !r.Stopped() {
				return fmt.Errorf("process %d runs", r.PID)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// stillStopped reports which target runs, or has ended.
func stillStopped(f *fault) error {
	for _, c := range f.targets {
		if r, _ := c.current(); !r.running() || !r.Stopped() {
			return fmt.Errorf("%s is not stopped any more", c.ID)
		}
	}
	return nil
}

// resume lets every target run, and waits until all do their work.
func (s *supervisor) resume(ctx context.Context, f *fault) error {
	if err := signalAll(f.targets, syscall.SIGCONT); err != nil {
		return err
	}
	return s.bringBack(ctx, f)
}

// bringBack starts every target that has ended meanwhile, and waits until all do their work.
func (s *supervisor) bringBack(ctx context.Context, f *fault) error {
	for _, c := range f.targets {
		if _, held := c.current(); held != "" && held != f.undo.Fault.ID {
			return fmt.Errorf("%s is kept down by fault %s: revert that first", c.ID, held)
		}
	}
	return s.restart(ctx, f)
}

// signalAll sends sig to every target that runs, also after an error of another.
func signalAll(targets []*child, sig syscall.Signal) error {
	var errs []error
	for _, c := range targets {
		errs = append(errs, c.signal(sig))
	}
	return errors.Join(errs...)
}

// lookHung sees that the process is stopped, and that a client connects all the same, and gets no answer.
func (l *Lab) lookHung(ctx context.Context, _ fleet.Fault, t targetID) (string, error) {
	if !t.Alive() {
		return "", fmt.Errorf("process %d of %s is gone", t.PID, t.ID)
	}
	if !t.Stopped() {
		return "", fmt.Errorf("process %d of %s is not stopped", t.PID, t.ID)
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, addr := range t.Ports {
		group.Go(func() error { return silent(ctx, addr) })
	}
	if err := group.Wait(); err != nil {
		return "", fmt.Errorf("%s: %w", t.ID, err)
	}
	return fmt.Sprintf("process %d is stopped; clients connect to %s and get no answer within %s",
		t.PID, strings.Join(t.Ports, " and "), hangs), nil
}

// hangs is how long no answer is taken for none: a process that runs answers within some ms.
const hangs = 300 * time.Millisecond

// silent returns nil if addr accepts a connection and then does not answer a request.
func silent(ctx context.Context, addr string) error {
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(hangs))
	if _, err := fmt.Fprintf(conn, "GET /health HTTP/1.1\r\nHost: %s\r\n\r\n", addr); err != nil {
		return fmt.Errorf("send to %s: %w", addr, err)
	}
	n, err := conn.Read(make([]byte, 1))
	switch {
	case n > 0:
		return fmt.Errorf("%s answers", addr)
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%s ends the connection: %w", addr, err)
	}
	return nil
}
