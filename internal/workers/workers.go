// Package workers keeps processes running: one that ends is started again, after a pause that grows with each failure.
package workers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Crew is a number of processes that do the same.
type Crew struct {
	Size int
	// Command makes the process of a number from 1 to Size, not started yet. It must end when its standard input does, which is how it
	// learns that nobody keeps it any more.
	Command func(number int) *exec.Cmd
	// Ready returns nil once the process does its work, or the error that ctx ended with.
	Ready func(ctx context.Context, number int) error
	// Patience is how long a process may take to end that was asked to.
	Patience time.Duration
	// Pause is that before the second start, doubled with each further one up to MaxPause, until a process has run for so long.
	Pause, MaxPause time.Duration
	Log             *slog.Logger

	begun   sync.Once
	serving chan struct{} // is closed once a process has been ready
	first   sync.Once
	mu      sync.Mutex
	workers []worker
	renew   sync.Mutex // held by whoever renews
}

// Worker is a process of the crew as it is now.
type Worker struct {
	Number   int        `json:"number"`
	PID      int        `json:"pid,omitempty"`
	Since    *time.Time `json:"since,omitempty"` // when it was started
	Ready    bool       `json:"ready"`
	Restarts int        `json:"restarts"`        // that nobody asked for
	Ended    string     `json:"ended,omitempty"` // how the one before did
}

type worker struct {
	Worker
	replace chan chan struct{} // asks for a new process, and gives what is to be closed once that is ready
	waits   chan struct{}      // is to be closed once the process is ready
}

// errRenewed says that a process was ended because a new one is to take its place.
var errRenewed = errors.New("renewed")

// Run starts all processes and keeps them until ctx ends, then ends them. A process that ends before it was ever ready, at its first
// start, is an error, which ends all: it would not be better the next time.
func (c *Crew) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.begin()
	var all sync.WaitGroup
	for n := range c.Size {
		all.Go(func() {
			if err := c.keep(ctx, n); err != nil {
				cancel(fmt.Errorf("worker %d: %w", n+1, err))
			}
		})
	}
	all.Wait()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// begin makes the list of processes, none of which runs yet.
func (c *Crew) begin() {
	c.begun.Do(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.serving = make(chan struct{})
		for n := range c.Size {
			c.workers = append(c.workers, worker{Worker: Worker{Number: n + 1}, replace: make(chan chan struct{})})
		}
	})
}

// keep runs one process after the other.
func (c *Crew) keep(ctx context.Context, n int) error {
	pause, ever := c.Pause, false
	for {
		start := time.Now()
		ready, err := c.once(ctx, n)
		ever = ever || ready
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, errRenewed):
			continue
		case !ever:
			return fmt.Errorf("it ended before it served: %w", err)
		}
		if time.Since(start) >= c.MaxPause {
			pause = c.Pause
		}
		c.Log.Error("a worker has ended, and is started again", "worker", n+1, "how", err, "in", pause)
		c.note(n, func(w *worker) { w.Restarts++ })
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
		pause = min(2*pause, c.MaxPause)
	}
}

// once runs one process until it ends, reports whether it was ready, and how it ended.
func (c *Crew) once(ctx context.Context, n int) (bool, error) {
	cmd := c.Command(n + 1)
	input, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return false, err
	}
	defer input.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	now := time.Now().UTC()
	c.note(n, func(w *worker) { w.PID, w.Since, w.Ready = cmd.Process.Pid, &now, false })
	waiting, stopWaiting := context.WithCancel(ctx)
	defer stopWaiting()
	ready := make(chan error, 1)
	go func() { ready <- c.Ready(waiting, n+1) }()
	was := false
	for {
		select {
		case err := <-ready:
			if err == nil {
				was = true
				c.serves(n)
			}
			ready = nil
		case err := <-ended:
			return was, c.gone(n, err)
		case waits := <-c.workers[n].replace:
			c.note(n, func(w *worker) { w.waits = waits })
			return was, c.gone(n, c.end(cmd, ended, errRenewed))
		case <-ctx.Done():
			return was, c.gone(n, c.end(cmd, ended, context.Cause(ctx)))
		}
	}
}

// serves notes that the process is ready, and tells whoever waits for that.
func (c *Crew) serves(n int) {
	c.note(n, func(w *worker) {
		w.Ready = true
		if w.waits != nil {
			close(w.waits)
			w.waits = nil
		}
	})
	c.first.Do(func() { close(c.serving) })
}

// Serving returns a channel that is closed once a process has been ready.
func (c *Crew) Serving() <-chan struct{} {
	c.begin()
	return c.serving
}

// gone notes how the process ended.
func (c *Crew) gone(n int, err error) error {
	if err == nil {
		err = errors.New("it ended by itself")
	}
	c.note(n, func(w *worker) { w.PID, w.Since, w.Ready, w.Ended = 0, nil, false, err.Error() })
	return err
}

// end asks the process to end, and kills it if it does not.
func (c *Crew) end(cmd *exec.Cmd, ended <-chan error, why error) error {
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		<-ended
		return why
	}
	select {
	case <-ended:
	case <-time.After(c.Patience):
		c.Log.Warn("a worker does not end, and is killed", "pid", cmd.Process.Pid)
		_ = cmd.Process.Kill() // an error says that it has ended
		<-ended
	}
	return why
}

func (c *Crew) note(n int, change func(w *worker)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(&c.workers[n])
}

// Workers returns the processes, by number.
func (c *Crew) Workers() []Worker {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]Worker, 0, len(c.workers))
	for _, w := range c.workers {
		all = append(all, w.Worker)
	}
	return all
}

// Renew puts a new process in the place of each, one after the other; the next one only once the new one is ready.
func (c *Crew) Renew(ctx context.Context) error {
	c.begin() // Run may be about to
	c.renew.Lock()
	defer c.renew.Unlock()
	for n := range c.workers {
		if err := c.renewOne(ctx, n); err != nil {
			return fmt.Errorf("renew worker %d: %w", n+1, err)
		}
	}
	return nil
}

func (c *Crew) renewOne(ctx context.Context, n int) error {
	ready := make(chan struct{})
	select {
	case c.workers[n].replace <- ready: // one that has just ended takes it when it runs again
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
