package exec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	osexec "os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"

	"gwdr/fleet/command"
)

const (
	grace     = time.Second            // between SIGTERM and SIGKILL
	drain     = 300 * time.Millisecond // how long output is read that others hold open after a command has ended
	uncaught  = 2 * time.Second        // how long the kernel may take to end what was killed
	maxAnswer = 1 << 20                // bytes of an answer
	maxTail   = 2 << 10                // bytes of standard error that are kept: the last ones
	maxLine   = 200                    // characters of a line that is quoted
	maxLines  = 3
)

// commands are the fleet's, as they are kept in undo records: whoever reverts runs them as they were.
type commands struct {
	Dir       string          `json:"dir"` // where they run
	Timeout   time.Duration   `json:"timeout_ns"`
	Base      []string        `json:"base"`           // KEY=VALUE
	Pass      []string        `json:"pass,omitempty"` // names only
	List      command.Command `json:"list"`
	Inject    command.Command `json:"inject"`
	Verify    command.Command `json:"verify"`
	Revert    command.Command `json:"revert"`
	Renew     command.Command `json:"renew,omitzero"`
	Leftovers command.Command `json:"leftovers,omitzero"`
}

// find finds a command as it will be run.
func (c commands) find(args []string) (command.Command, error) {
	return command.Find(c.Dir, command.Path(c.Base), args)
}

// said is what a command that has ended by itself said, and with which code.
type said struct {
	stdout []byte
	code   int
}

// first is the first line of the command's output, fit to be shown.
func (s said) first() string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(s.stdout)), "\n")
	return harmless(line)
}

// run runs a command with the request on its standard input. It is an error if it does not end with code 0 within the time
// limit; where it has ended by itself, that wraps an ExitError.
func (f *Fleet) run(ctx context.Context, c commands, what command.Command, r request) (said, error) {
	for _, err := range []error{what.Trusted(), f.passed(c)} {
		if err != nil {
			return said{}, fmt.Errorf("run %s: %w", r.Command, err)
		}
	}
	r.Schema = requestSchema
	document, err := json.Marshal(r)
	if err != nil {
		return said{}, fmt.Errorf("run %s: %w", r.Command, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.Timeout, fmt.Errorf("it took longer than %s", c.Timeout))
	defer cancel()
	cmd := osexec.Command(what.Args[0], what.Args[1:]...) // not CommandContext: more than one process is to be ended
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}  // a group of its own, and no terminal at which it could ask
	cmd.Dir, cmd.Stdin, cmd.WaitDelay = c.Dir, bytes.NewReader(append(document, '\n')), drain
	cmd.Env = slices.Concat(c.Base, c.values(f.options.Environ), r.variables())
	out, tail := &head{left: maxAnswer, full: make(chan struct{})}, &tail{}
	cmd.Stdout, cmd.Stderr = out, tail
	err = runGroup(ctx, cmd, out.overflow(r.answers()))
	s := said{stdout: out.kept, code: -1}
	if cmd.ProcessState != nil {
		s.code = cmd.ProcessState.ExitCode()
	}
	if err != nil {
		return s, fmt.Errorf("run %s (%s): %w%s", r.Command, harmless(what.Args[0]), err, tail.quote())
	}
	return s, nil
}

// passed says which variables the commands were promised that are not there.
func (f *Fleet) passed(c commands) error {
	if have := c.values(f.options.Environ); len(have) < len(c.Pass) {
		for _, name := range c.Pass {
			if !slices.ContainsFunc(have, func(v string) bool { return strings.HasPrefix(v, name+"=") }) {
				return fmt.Errorf("the variable %s, which env lists, is not set here", name)
			}
		}
	}
	return nil
}

// runGroup runs cmd to its end. When ctx ends before, or cmd says too much, all that it has started in its process group is
// ended; the group's number is nobody else's until cmd was waited for.
func runGroup(ctx context.Context, cmd *osexec.Cmd, full <-chan struct{}) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if err := command.Start(cmd); err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		awaitExit(cmd.Process.Pid)
		close(exited)
	}()
	var ended error
	select {
	case <-exited:
		return waited(cmd.Wait())
	case <-ctx.Done():
		ended = fmt.Errorf("%w, and was ended", context.Cause(ctx))
	case <-full:
		ended = fmt.Errorf("it answered with more than %d bytes, and was ended", maxAnswer)
	}
	signal := func(s syscall.Signal, patience time.Duration) bool {
		syscall.Kill(-cmd.Process.Pid, s) // what is not there any more needs none
		select {
		case <-exited:
			return true
		case <-time.After(patience):
			return false
		}
	}
	if signal(syscall.SIGTERM, grace) {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what it has left behind
	} else if !signal(syscall.SIGKILL, uncaught) {
		go cmd.Wait()
		return fmt.Errorf("%w, but process %d is still there", ended, cmd.Process.Pid)
	}
	cmd.Wait()
	return ended
}

// waited takes output that is still held open, by what the command has started and left running, for its end.
func waited(err error) error {
	if errors.Is(err, osexec.ErrWaitDelay) {
		return nil
	}
	return err
}

// head keeps the beginning of what is written to it.
type head struct {
	kept []byte
	left int
	full chan struct{} // closed when there was more
}

// Write never fails: a command that is not listened to shall not notice.
func (h *head) Write(p []byte) (int, error) {
	if len(p) > h.left && h.left >= 0 {
		close(h.full)
		h.kept, h.left = append(h.kept, p[:h.left]...), -1
	} else if h.left >= 0 {
		h.kept, h.left = append(h.kept, p...), h.left-len(p)
	}
	return len(p), nil
}

// overflow is closed when an answer is too long; what is none is passed over.
func (h *head) overflow(answers bool) <-chan struct{} {
	if !answers {
		return nil
	}
	return h.full
}

// tail keeps the end of what is written to it.
type tail struct{ kept []byte }

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	p = p[max(0, n-maxTail):]
	t.kept = append(t.kept, p...)
	t.kept = append(t.kept[:0], t.kept[max(0, len(t.kept)-maxTail):]...)
	return n, nil
}

// quote is the last lines, fit to be shown behind an error.
func (t *tail) quote() string {
	var lines []string
	for line := range strings.Lines(string(t.kept)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, harmless(line))
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return ": it said: " + strings.Join(lines[max(0, len(lines)-maxLines):], " | ")
}

// harmless is a stranger's text on one line, without what a terminal would act upon.
func harmless(text string) string {
	text = strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
	if runes := []rune(text); len(runes) > maxLine {
		return string(runes[:maxLine]) + "..."
	}
	return text
}

// exitCode is that of a command which has ended by itself, or -1.
func exitCode(err error) int {
	if exit := (*osexec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

// values are the variables that the commands get besides.
func (c commands) values(environ []string) []string { return command.Pick(environ, c.Pass) }
