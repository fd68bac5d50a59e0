package cmd

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// openAccessLog opens --access-log; without one there is nobody to tell.
func (in *instance) openAccessLog() (*slog.Logger, error) {
	switch name := in.options.accessLog; name {
	case "":
		return nil, nil
	case "-":
		return in.newAccessLog(in.Stdout, "standard output"), nil
	default:
		var err error
		if in.access, err = os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640); err != nil {
			return nil, fmt.Errorf("open --access-log: %w", err)
		}
		return in.newAccessLog(in.access, name), nil
	}
}

func (in *instance) newAccessLog(to io.Writer, name string) *slog.Logger {
	lost := prometheus.NewCounter(prometheus.CounterOpts{Name: "gwdr_access_log_lost_total", Help: "Lines of the access log that could not be written."})
	in.metrics.MustRegister(lost)
	return slog.New(slog.NewJSONHandler(&lossy{Writer: &lines{Writer: to}, file: name, log: in.Log, total: lost}, nil))
}

// lossy is the writer of a log that may lose lines, as on a full disk, but not in silence, as slog does. It is told of no more than
// once a minute, and once when lines are written again. The handler calls it for one line at a time.
type lossy struct {
	io.Writer
	file  string
	log   *slog.Logger
	total prometheus.Counter

	lost int       // since it was last said how many
	at   time.Time // of the last error in the log
	open bool      // nobody was told yet that what the last error was about is over
}

// Write writes one line.
func (l *lossy) Write(line []byte) (int, error) {
	n, err := l.Writer.Write(line)
	due := time.Since(l.at) >= time.Minute
	switch {
	case err != nil:
		l.total.Inc()
		l.lost++
		if due {
			l.at, l.open = time.Now(), true
			l.log.Error("access log cannot be written, lines are lost", "file", l.file, "error", err)
		}
	case l.lost > 0 && (l.open || due):
		l.log.Warn("access log is written again", "file", l.file, "lost", l.lost)
		l.lost, l.open = 0, false
	}
	return n, err
}

// lines is a writer of whole lines: behind a part of one, which was all that there was room for, the next begins anew.
type lines struct {
	io.Writer
	cut bool
}

// Write writes one line.
func (l *lines) Write(line []byte) (n int, err error) {
	if l.cut {
		if _, err = l.Writer.Write([]byte{'\n'}); err != nil {
			return 0, err
		}
	}
	n, err = l.Writer.Write(line)
	l.cut = err != nil && n > 0
	return n, err
}
