package cmd

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
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
		u, err := url.Parse(c.URL)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, errors.New("notify.url is not of the form https://HOST/PATH")
		}
		hook = &webhook{url: u, client: &http.Client{
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // which would carry the path elsewhere
		}}
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

// webhook is a URL of which only String is shown.
type webhook struct {
	url    *url.URL
	client *http.Client
}

// String returns scheme and host.
func (h *webhook) String() string { return h.url.Scheme + "://" + h.url.Host }

func (h *webhook) post(ctx context.Context, n drills.Notice) error {
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url.String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("post to %s: malformed URL", h)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "gwdr")
	response, err := h.client.Do(request)
	if err != nil {
		var withURL *url.Error // repeats the whole of it
		if errors.As(err, &withURL) {
			err = withURL.Err
		}
		return fmt.Errorf("post to %s: %w", h, err)
	}
	defer response.Body.Close()
	io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10))
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("post to %s: it answered %s", h, cmp.Or(http.StatusText(response.StatusCode), response.Status))
	}
	return nil
}
