package cmd

import (
	"fmt"
	"io"
	"log/slog"
	"os"
)

// openAudit opens the file of --audit-log, to which each change of the configuration is appended as a line of JSON. Without one
// it returns nil: changes are in gwdr's own log.
func (in *instance) openAudit() (_ *slog.Logger, err error) {
	if in.options.auditLog == "" {
		return nil, nil
	}
	in.audit, err = os.OpenFile(in.options.auditLog, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open --audit-log: %w", err)
	}
	return newAudit(in.audit, in.Log), nil
}

func newAudit(to io.Writer, log *slog.Logger) *slog.Logger {
	return slog.New(slog.NewJSONHandler(&noticed{&lines{Writer: to}, log}, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			a.Value = slog.TimeValue(a.Value.Time().UTC())
		}
		return a
	}}))
}

// noticed is a writer whose errors somebody hears of: slog drops them. The line goes to the log in its place.
type noticed struct {
	io.Writer
	log *slog.Logger
}

// Write writes one line.
func (n *noticed) Write(line []byte) (int, error) {
	written, err := n.Writer.Write(line)
	if err != nil {
		n.log.Error("audit log could not be written", "error", err, "line", string(line))
	}
	return written, err
}
