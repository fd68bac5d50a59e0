package proxy

import (
	"context"
	"log/slog"
	"time"
)

// tell writes the line of the access log. It holds no query and no header but the trace's: they may be secret.
func (c *call) tell(took time.Duration) {
	r := c.request
	attrs := make([]slog.Attr, 0, 16)
	attrs = append(attrs,
		slog.String("client", c.clientAddress(r)),
		slog.String("method", r.Method),
		slog.String("host", r.Host),
		slog.String("path", r.URL.EscapedPath()),
		slog.String("proto", r.Proto),
		slog.Int("status", c.answer.status),
		slog.Int64("bytes", c.answer.bytes),
		slog.Float64("took_s", took.Seconds()))
	if c.route != nil {
		attrs = append(attrs, slog.String("route", c.route.id), slog.String("upstream", c.route.upstream))
	}
	if c.key != "" {
		attrs = append(attrs, slog.String("key", c.key))
	}
	if n := len(c.tried); n > 0 {
		attrs = append(attrs, slog.String("endpoint", c.tried[n-1].url.Host), slog.Int("attempts", n))
	}
	if trace := r.Header.Get("Traceparent"); trace != "" {
		attrs = append(attrs, slog.String("traceparent", trace))
	}
	c.options.Access.LogAttrs(context.Background(), slog.LevelInfo, "request", attrs...)
}
