package process

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"gwdr/fleet"
)

// ThrowawayOptions say how a Throwaway is started.
type ThrowawayOptions struct {
	Executable string        // gwdr
	Env        []string      // of the gateway: KEY=VALUE
	Timeout    time.Duration // to become ready; 0 means 30 s
	Log        *slog.Logger  // may be nil
}

// Throwaway is an empty gateway of one process, on free ports of the loopback, whose upstreams are all one echo in this process.
// It lives in a temporary directory that nobody else may enter, and no longer than this process. Close ends it.
type Throwaway struct {
	Listen, Admin string // base URLs of the data plane and the admin API
	Token         string // of the admin API

	dir   string
	lock  *os.File // held for as long as this process lives
	echo  *http.Server
	spawn spawner
	child *child
}

// throwawayID names the gateway in logs and errors.
const throwawayID = "gateway"

// StartThrowaway starts one and waits until it serves. After an error nothing is left of it; what is left of one whose process was
// killed is removed.
func StartThrowaway(ctx context.Context, o ThrowawayOptions) (*Throwaway, error) {
	sweepThrowaways(os.TempDir())
	dir, err := os.MkdirTemp("", throwawayPrefix) // 0700
	if err != nil {
		return nil, fmt.Errorf("start gateway: %w", err)
	}
	t := &Throwaway{Token: rand.Text(), dir: dir}
	if err := t.start(ctx, o); err != nil {
		return nil, fmt.Errorf("start gateway: %w", errors.Join(err, t.Close()))
	}
	return t, nil
}

func (t *Throwaway) start(ctx context.Context, o ThrowawayOptions) error {
	if err := t.claim(); err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	t.echo = &http.Server{Handler: Echo(), ReadHeaderTimeout: 10 * time.Second}
	go t.echo.Serve(l) // until Close
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	executable, err := openExecutable(o.Executable)
	if err != nil {
		return err
	}
	defer executable.file.Close()
	config, tokens, ready := filepath.Join(t.dir, "gwdr.yaml"), filepath.Join(t.dir, "tokens"), filepath.Join(t.dir, "ready.json")
	if err := errors.Join(os.WriteFile(config, []byte("{}\n"), 0o600), os.WriteFile(tokens, []byte("admin:"+t.Token+"\n"), 0o600)); err != nil {
		return err
	}
	t.spawn = newSpawner()
	t.child = &child{dir: layout(t.dir), executable: executable, env: append([]string{"HOME=" + t.dir}, o.Env...), spawn: t.spawn, log: o.Log,
		program: program{Instance: fleet.Instance{ID: throwawayID}, Args: []string{"serve", "--config", config, "--role", "all", "--data", filepath.Join(t.dir, "data"),
			"--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--token-file", tokens, "--ready-file", ready, "--exit-on-stdin-eof",
			"--upstreams-at", l.Addr().String(), "--drain", "1s", "--quiet"}}}
	if err := errors.Join(os.MkdirAll(t.child.dir.node(throwawayID), 0o700), os.MkdirAll(t.child.dir.logs(), 0o700)); err != nil {
		return err
	}
	r, err := t.child.launch()
	if err != nil {
		return err
	}
	t.child.run = r
	return t.ready(ctx, ready, o.Timeout)
}

// ready waits until the gateway says where it serves.
func (t *Throwaway) ready(ctx context.Context, file string, timeout time.Duration) error {
	if timeout == 0 {
		timeout = 30 * time.Second
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("not ready within %s", timeout))
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		var at struct{ Listen, Admin string }
		raw, err := os.ReadFile(file)
		if err == nil {
			err = json.NewDecoder(bytes.NewReader(raw)).Decode(&at)
		}
		if err == nil && at.Listen != "" && at.Admin != "" {
			t.Listen, t.Admin = "http://"+at.Listen, "http://"+at.Admin
			return nil
		}
		select {
		case <-tick.C:
		case <-t.child.run.over:
			return t.Ended(0)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Context returns a context that also ends when the gateway does.
func (t *Throwaway) Context(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	r, _ := t.child.current()
	go func() {
		select {
		case <-r.over:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// Ended says how the gateway ended, if it has, or does within the patience: it does not by itself.
func (t *Throwaway) Ended(patience time.Duration) error {
	r, _ := t.child.current()
	if r.running() {
		select {
		case <-r.over:
		case <-time.After(patience):
			return nil
		}
	}
	if last := tail(t.child.dir.log(throwawayID), 5); len(last) > 0 {
		return fmt.Errorf("it %s: %s", t.child.died(r), strings.Join(last, " | "))
	}
	return fmt.Errorf("it %s", t.child.died(r))
}

// Close ends the gateway and the echo, and removes the directory.
func (t *Throwaway) Close() error {
	var errs []error
	if t.child != nil {
		errs = append(errs, t.end())
	}
	if t.spawn != nil {
		close(t.spawn) // its thread was the child's parent
	}
	if t.echo != nil {
		errs = append(errs, t.echo.Close())
	}
	if err := os.RemoveAll(t.dir); err != nil {
		errs = append(errs, fmt.Errorf("remove what the gateway held: %w", err))
	}
	if t.lock != nil {
		errs = append(errs, t.lock.Close())
	}
	return errors.Join(errs...)
}

// end asks the process to end, as its parent's end would, and makes it end if it does not.
func (t *Throwaway) end() error {
	r, _ := t.child.current()
	if r == nil {
		return nil
	}
	r.stdin.Close()
	ctx, cancel := context.WithTimeout(context.Background(), goodbye)
	defer cancel()
	if t.child.gone(ctx) == nil {
		return nil
	}
	return t.child.kill(context.Background())
}
