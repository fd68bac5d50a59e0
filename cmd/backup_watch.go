package cmd

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
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
	told    chan struct{} // closed when the ping of the start is over
	quit    context.CancelFunc
}

// startWatch tells the monitor that a backup begins, beside it.
func (a *app) startWatch(ctx context.Context, opts backupOptions) (*watch, error) {
	w := &watch{app: a, metrics: cmp.Or(opts.metrics, a.Config.MetricsFile), started: time.Now(), told: make(chan struct{})}
	var early context.Context
	early, w.quit = context.WithCancel(ctx)
	address := cmp.Or(opts.ping, a.Env("GWDR_PING"), a.Config.Ping.URL)
	if address == "" {
		close(w.told)
		return w, nil
	}
	var err error
	if w.ping, err = newPinger(address); err != nil {
		return nil, usageError(err)
	}
	go func() {
		defer close(w.told)
		if err := w.ping.send(early, "start", ""); err != nil && early.Err() == nil {
			a.Log.Warn("the monitor was not told that the backup begins", "error", err)
		}
	}()
	return w, nil
}

// end tells what the backup came to. result may be nil.
func (w *watch) end(ctx context.Context, result *backup.Result, err error) {
	code := exitDone
	if err != nil {
		code = exitCode(ctx, err)
	}
	if w.metrics != "" {
		if err := writeMetrics(w.metrics, backupRun{result: result, code: code, started: w.started, ended: time.Now()}); err != nil {
			w.app.Log.Warn("metrics were not written", "error", err)
		}
	}
	const patience = time.Second // for a start that is still on its way: pings in the wrong order would mislead
	stop := time.AfterFunc(patience, w.quit)
	<-w.told
	stop.Stop()
	w.quit()
	if w.ping == nil {
		return
	}
	element := ""
	if code != exitDone {
		element = strconv.Itoa(code)
	}
	if err := w.ping.send(context.WithoutCancel(ctx), element, outcomeText(result, err)); err != nil {
		w.app.Log.Warn("the monitor was not told how the backup ended", "error", err)
	}
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
