package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"gwdr/drills"
)

// NotifyConfig says who is told of drills: a command, a webhook, or both.
type NotifyConfig struct {
	Exec    []string      `mapstructure:"exec"`    // command and arguments; the text comes on its standard input
	URL     string        `mapstructure:"url"`     // gets each notice as JSON; a secret
	Timeout time.Duration `mapstructure:"timeout"` // of each
}

// notifier returns what tells of a drill; nil if nobody is to be told.
func (a *app) notifier() (func(context.Context, drills.Notice) error, error) {
	c := a.Config.Notify
	var hook *webhook
	if c.URL != "" {
		u, err := newSecretURL(c.URL)
		if err != nil {
			return nil, fmt.Errorf("notify.url %w", err)
		}
		hook = &webhook{u}
	}
	if hook == nil && len(c.Exec) == 0 {
		return nil, nil
	}
	return func(ctx context.Context, n drills.Notice) error {
		var errs []error
		if len(c.Exec) > 0 {
			errs = append(errs, withLimit(ctx, c.Timeout, func(ctx context.Context) error { return a.notifyCommand(ctx, c.Exec, n) }))
		}
		if hook != nil {
			errs = append(errs, withLimit(ctx, c.Timeout, func(ctx context.Context) error { return hook.post(ctx, n) }))
		}
		return errors.Join(errs...)
	}, nil
}

func withLimit(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := do(ctx)
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w (notify.timeout: %s)", err, limit)
	}
	return err
}

// notifyCommand runs the command in a process group of its own, of which nothing is left when its time is over.
func (a *app) notifyCommand(ctx context.Context, args []string, n drills.Notice) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	cmd.Stdin = strings.NewReader(n.Text + "\n")
	cmd.Env = append(a.environ[:len(a.environ):len(a.environ)], "DRILL_EVENT="+string(n.Event), "DRILL_SCENARIO="+n.Scenario,
		"DRILL_FLEET="+n.Fleet, "DRILL_RUN="+n.Run, "DRILL_PHASE="+string(n.Phase), "DRILL_VERDICT="+string(n.Verdict))
	var said bytes.Buffer
	cmd.Stderr = &limitedWriter{&said, 400}
	if err := cmd.Run(); err != nil {
		text := strings.TrimSpace(printable(said.String()))
		return fmt.Errorf("run %s: %w%s", args[0], err, strings.TrimRight(": "+text, ": "))
	}
	return nil
}

// limitedWriter keeps the beginning.
type limitedWriter struct {
	to   io.Writer
	left int
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	keep := p[:min(len(p), w.left)]
	w.left -= len(keep)
	if _, err := w.to.Write(keep); err != nil {
		return 0, err
	}
	return len(p), nil
}

// webhook is told of drills.
type webhook struct{ *secretURL }

func (h *webhook) post(ctx context.Context, n drills.Notice) error {
	body, err := json.Marshal(n)
	if err == nil {
		err = h.secretURL.post(ctx, "", "application/json", bytes.NewReader(body))
	}
	if err != nil {
		return fmt.Errorf("post to %s: %w", h, err)
	}
	return nil
}
