package drills

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Guard is the process that reverts what a drill cannot revert any more. It waits at the other end of a pipe: when the
// pipe ends without a release, or nothing was heard for longer than the lease of the faults, it replays the undo log.
type Guard interface {
	// Beat tells the guard that the drill is alive. It fails if the guard is gone, or hangs: it answers each beat.
	Beat() error
	// Gone is closed when the guard is not there any more.
	Gone() <-chan struct{}
	// Release tells the guard that nothing is left to be reverted, and waits for its end, which it makes if it hangs.
	Release() error
	// Abandon leaves the rest to the guard: it goes on reverting when the drill ends.
	Abandon() error
}

// The words that go through the pipe, one per line.
const (
	wordBeat    = "alive"
	wordRelease = "done"
)

// GuardCommand starts guards as processes of their own session. The zero value is not usable.
type GuardCommand struct {
	Args  []string   // program and arguments; the run's directory and the lease follow
	Files []*os.File // that the guard holds open too, such as the write end that keeps a lab alive
}

// Start starts a guard for the run in dir. It returns once the guard has read its first line, so that it is known to work.
func (c *GuardCommand) Start(ctx context.Context, dir string, lease time.Duration) (Guard, error) {
	args := append(c.Args[1:len(c.Args):len(c.Args)], dir, lease.String())
	cmd := exec.Command(c.Args[0], args...) // not CommandContext: it must outlive the drill
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.ExtraFiles = c.Files
	log, err := os.OpenFile(filepath.Join(dir, GuardFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start guard: %w", err)
	}
	defer log.Close()
	cmd.Stderr = log
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start guard: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start guard: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start guard: %w", err)
	}
	g := &guardProcess{cmd: cmd, in: in, lease: lease, gone: make(chan struct{}), answers: make(chan string)}
	go g.listen(out)
	if err := g.greet(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start guard: %w", err), cmd.Process.Kill(), g.reap())
	}
	go g.reap()
	return g, nil
}

type guardProcess struct {
	cmd     *exec.Cmd
	lease   time.Duration
	answers chan string   // the first one; closed when there are no more
	gone    chan struct{} // closed when it has ended
	err     error         // of the process, once gone is closed

	mu    sync.Mutex
	in    io.WriteCloser
	heard time.Time // when it answered last
}

// listen notes when the guard answers.
func (g *guardProcess) listen(out io.Reader) {
	defer close(g.answers)
	first := true
	for lines := bufio.NewScanner(out); lines.Scan(); first = false {
		g.mu.Lock()
		g.heard = time.Now()
		g.mu.Unlock()
		if first {
			g.answers <- lines.Text()
		}
	}
}

// reap waits for the end of the guard, and for the end of what it says.
func (g *guardProcess) reap() error {
	for range g.answers {
	}
	g.err = g.cmd.Wait()
	close(g.gone)
	return g.err
}

// hangs reports whether the guard has not answered for longer than the lease.
func (g *guardProcess) hangs() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if silent := time.Since(g.heard); silent > g.lease {
		return fmt.Errorf("it has not answered for %s", silent.Round(time.Millisecond))
	}
	return nil
}

// greet waits until the guard repeats the first beat.
func (g *guardProcess) greet(ctx context.Context) error {
	if err := g.say(wordBeat); err != nil {
		return err
	}
	select {
	case answer, ok := <-g.answers:
		switch {
		case !ok:
			return errors.New("it has ended")
		case answer != wordBeat:
			return fmt.Errorf("it said %q", answer)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(10 * time.Second):
		return errors.New("it does not answer")
	}
}

func (g *guardProcess) say(word string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, err := io.WriteString(g.in, word+"\n")
	return err
}

// Beat fails if the guard hangs, too.
func (g *guardProcess) Beat() error { return errors.Join(g.hangs(), g.say(wordBeat)) }

func (g *guardProcess) Gone() <-chan struct{} { return g.gone }
func (g *guardProcess) Abandon() error        { return g.in.Close() }

func (g *guardProcess) Release() error {
	select {
	case <-g.gone: // the drill was aborted for it
		return nil
	default:
	}
	if err := g.hangs(); err != nil {
		return errors.Join(fmt.Errorf("release guard: %w", err), g.cmd.Process.Kill())
	}
	err := g.say(wordRelease)
	if closed := g.in.Close(); !errors.Is(closed, os.ErrClosed) { // as it is once the guard has ended and was waited for
		err = errors.Join(err, closed)
	}
	if err != nil {
		return fmt.Errorf("release guard: %w", err)
	}
	select {
	case <-g.gone:
		return g.err
	case <-time.After(10 * time.Second):
		return errors.Join(errors.New("release guard: it does not end"), g.cmd.Process.Kill())
	}
}

// Watch is what the guard process does: it listens at in, answers each beat at out, and returns nil once it was released.
// Otherwise it reverts the run in dir, and returns what a Reverter returns. An answer that nobody reads any more is no reason to
// end: the process does not die of SIGPIPE from then on.
func (r *Reverter) Watch(ctx context.Context, in io.Reader, out io.Writer, dir string, lease time.Duration) (*Reverted, error) {
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) // not Ignore, which whatever the revert starts would inherit
	words := make(chan string)
	go func() {
		defer close(words)
		for lines := bufio.NewScanner(in); lines.Scan(); {
			words <- lines.Text()
		}
	}()
	if word := <-words; word != wordBeat {
		return nil, fmt.Errorf("guard: the drill began with %q", word)
	}
	if _, err := io.WriteString(out, wordBeat+"\n"); err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	silence := time.NewTimer(lease)
	defer silence.Stop()
	for {
		select {
		case word := <-words:
			switch word {
			case wordRelease:
				return nil, nil
			case "": // the pipe has ended
				return r.takeOver(ctx, dir, "the drill is gone")
			}
			silence.Reset(lease)
			io.WriteString(out, wordBeat+"\n") // whoever is gone will be noticed by the end of the pipe
		case <-silence.C:
			return r.takeOver(ctx, dir, "nothing was heard of the drill")
		case <-ctx.Done():
			return r.takeOver(context.WithoutCancel(ctx), dir, "the guard is being ended")
		}
	}
}

// takeOver reverts the run. Whether the drill is still there or not, its faults end: the lock is only for the order of
// those who come later.
func (r *Reverter) takeOver(ctx context.Context, dir, why string) (*Reverted, error) {
	r.Log.Warn("guard reverts", "run", filepath.Base(dir), "why", why)
	if l, err := takeLock(filepath.Dir(dir), guardHolder(filepath.Base(dir))); err == nil {
		defer l.release()
	}
	return r.revert(ctx, dir, "guard")
}
