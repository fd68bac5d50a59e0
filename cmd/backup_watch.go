package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"gwdr/backup"
)

// watch lets others know how backups go that nobody looks at: a monitor by pings, and node_exporter by a file of metrics.
// Neither can fail a backup, or hold it up: what goes wrong is a warning.
type watch struct {
	app     *app
	ping    *pinger // nil: none
	metrics string  // file; empty: none
	started time.Time
	begin   func()        // tells the monitor, once and beside the backup, that it has begun
	told    chan struct{} // closed when that ping is over; nil: it has not begun
	quit    context.CancelFunc
}

// newWatch makes a watch over a backup that has yet to begin.
func (a *app) newWatch(ctx context.Context, opts backupOptions) (*watch, error) {
	w := &watch{app: a, metrics: cmp.Or(opts.metrics, a.Config.MetricsFile), started: time.Now(), begin: func() {}, quit: func() {}}
	address := cmp.Or(opts.ping, a.Env("GWDR_PING"), a.Config.Ping.URL)
	if address == "" {
		return w, nil
	}
	var err error
	if w.ping, err = newPinger(address); err != nil {
		return nil, usageError(err)
	}
	w.begin = sync.OnceFunc(func() { w.tellStart(ctx) })
	return w, nil
}

func (w *watch) tellStart(ctx context.Context) {
	ctx, w.quit = context.WithCancel(ctx)
	w.told = make(chan struct{})
	go func() {
		defer close(w.told)
		if err := w.ping.send(ctx, "start", ""); err != nil && ctx.Err() == nil {
			w.app.Log.Warn("the monitor was not told that the backup begins", "error", err)
		}
	}()
}

// end tells what the backup came to. result may be nil. Where another backup is running there was none: that one tells.
func (w *watch) end(ctx context.Context, result *backup.Result, err error) {
	defer func() { w.quit() }()
	if errors.Is(err, backup.ErrLocked) {
		return
	}
	code := exitDone
	if err != nil {
		code = exitCode(ctx, err)
	}
	if w.metrics != "" {
		if err := writeMetrics(w.metrics, backupRun{result: result, code: code, started: w.started, ended: time.Now()}); err != nil {
			w.app.Log.Warn("metrics were not written", "error", err)
		}
	}
	if w.ping == nil {
		return
	}
	w.awaitStart()
	element := ""
	if code != exitDone {
		element = strconv.Itoa(code)
	}
	if err := w.ping.send(context.WithoutCancel(ctx), element, outcomeText(result, err)); err != nil {
		w.app.Log.Warn("the monitor was not told how the backup ended", "error", err)
	}
}

// awaitStart waits, not for long, for the ping of the start: pings in the wrong order would mislead.
func (w *watch) awaitStart() {
	if w.told == nil {
		return
	}
	stop := time.AfterFunc(time.Second, w.quit)
	defer stop.Stop()
	<-w.told
}

// outcomeText says in a few words how a backup ended. It holds no secret, like all that gwdr says.
func outcomeText(result *backup.Result, err error) string {
	var b strings.Builder
	if err != nil {
		fmt.Fprintf(&b, "%s\n", printableLines(err.Error()))
	}
	if result != nil {
		fmt.Fprintf(&b, "point %s: %s at %d of %s\n", strings.TrimPrefix(result.Point, "points/"), inventory(result.Entities),
			result.Stored(), count(len(result.Locations), "location"))
	}
	const enough = 2 << 10
	return strings.ToValidUTF8(b.String()[:min(enough, b.Len())], "")
}
