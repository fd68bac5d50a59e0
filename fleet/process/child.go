package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"gwdr/fleet/proc"
)

// identity tells the processes of a lab apart.
type identity = proc.ID

// child is one program and the process that runs it, if any. Its methods are safe for concurrent use, but only one
// caller at a time may start and stop it.
type child struct {
	program
	dir        layout
	executable *executable
	env        []string
	spawn      spawner
	http       *http.Client
	log        *slog.Logger

	mu   sync.Mutex
	run  *run   // the latest, also after its end; nil before the first
	held string // id of the fault that keeps it down
}

// run is one process of a child.
type run struct {
	identity
	cmd   *exec.Cmd
	stdin io.WriteCloser // the end of which ends the process
	over  chan struct{}  // closed after its end, when the fields below are set
	exit  string         // how it ended
}

// running reports whether the process has not ended.
func (r *run) running() bool {
	if r == nil {
		return false
	}
	select {
	case <-r.over:
		return false
	default:
		return true
	}
}

// current returns the latest run, which may have ended, or nil, and the fault that holds the child down, or "".
func (c *child) current() (*run, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.run, c.held
}

func (c *child) hold(fault string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = fault
}

// start starts the process unless it runs. It does not wait until it serves.
func (c *child) start() error {
	if r, _ := c.current(); r.running() {
		return nil
	}
	for _, addr := range c.ports() {
		if err := checkFree(addr); err != nil {
			return fmt.Errorf("start %s: its port is taken by another process: %w", c.ID, err)
		}
	}
	if err := os.MkdirAll(c.dir.node(c.ID), 0o700); err != nil {
		return fmt.Errorf("start %s: %w", c.ID, err)
	}
	r, err := c.launch()
	if err != nil {
		return fmt.Errorf("start %s: %w", c.ID, err)
	}
	c.mu.Lock()
	c.run = r
	c.mu.Unlock()
	if err := writeJSON(c.dir.pid(c.ID), r.identity); err != nil {
		return fmt.Errorf("start %s: %w", c.ID, err)
	}
	c.log.Info("child started", "instance", c.ID, "pid", r.PID)
	return nil
}

// launch makes the process. Its standard input is a pipe that ends with this process; only beat writes to it.
func (c *child) launch() (*run, error) {
	out, err := os.OpenFile(c.dir.log(c.ID), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.Command(c.executable.path(), c.Args...)
	cmd.Args[0] = c.executable.name
	cmd.Dir, cmd.Env = c.dir.node(c.ID), c.env
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = childAttributes()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := c.spawn.start(cmd); err != nil {
		return nil, err
	}
	id, err := proc.Identify(cmd.Process.Pid) // it is there at least as a zombie until Wait
	if err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return nil, err
	}
	r := &run{identity: id, cmd: cmd, stdin: stdin, over: make(chan struct{})}
	go r.wait(c)
	return r, nil
}

// wait reaps the process.
func (r *run) wait(c *child) {
	err := r.cmd.Wait()
	r.exit = "exit status 0"
	if err != nil {
		r.exit = err.Error()
	}
	close(r.over)
	c.log.Info("child ended", "instance", c.ID, "pid", r.PID, "exit", r.exit)
}

// signal sends sig to the process if it runs.
func (c *child) signal(sig syscall.Signal) error {
	r, _ := c.current()
	if !r.running() {
		return nil
	}
	if err := r.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", c.ID, err)
	}
	return nil
}

// beat tells a process that reads its standard input that it is still wanted.
func (c *child) beat() {
	if r, _ := c.current(); r.running() {
		r.stdin.Write([]byte{'\n'})
	}
}

// gone waits until the process has ended and was reaped.
func (c *child) gone(ctx context.Context) error {
	r, _ := c.current()
	if r == nil {
		return nil
	}
	select {
	case <-r.over:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the end of %s (pid %d): %w", c.ID, r.PID, context.Cause(ctx))
	}
}

// kill ends the process at once and waits until it is gone.
func (c *child) kill(ctx context.Context) error {
	if err := c.signal(syscall.SIGKILL); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, proc.KillTimeout)
	defer cancel()
	return c.gone(ctx)
}

// answers waits until url answers 200. The error says why the process ended, if it did.
func (c *child) answers(ctx context.Context, url string) error {
	r, _ := c.current()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		last := probe(ctx, c.http, url)
		if last == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-r.over:
			return fmt.Errorf("%s %s: %s", c.ID, c.died(r), strings.Join(tail(c.dir.log(c.ID), 5), " | "))
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w: %w", c.ID, context.Cause(ctx), last)
		}
	}
}

// died says how the run ended.
func (c *child) died(r *run) string { return "ended by itself (" + r.exit + ")" }

// probe reports why url does not answer 200.
func probe(ctx context.Context, client *http.Client, url string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}

// tail returns the last n lines of a file, or nothing if it cannot be read.
func tail(path string, n int) []string {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	const most = 4 << 10
	if info, err := f.Stat(); err == nil && info.Size() > most {
		f.Seek(-most, io.SeekEnd)
	}
	text, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil || len(text) == 0 {
		return nil
	}
	lines := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return lines[max(0, len(lines)-n):]
}
