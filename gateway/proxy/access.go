package proxy

import (
	"context"
	"log/slog"
	"net/http"
	"time"
)

// Outcome is what became of a request. It holds no query and no header but the trace's: they may be secret.
type Outcome struct {
	Client string // address that it comes from, as far as trusted proxies say
	Method string
	Scheme string // http or https, of the connection
	Host   string
	Path   string // as it came
	Proto  string

	Status int           // 0: the answer never began
	Bytes  int64         // of the answer's body
	Took   time.Duration // until the end of the answer

	Route, Upstream string // empty: none was found
	Key             string // id of the key; empty: none was asked for, or it was refused
	Issuer          string // name of the token's issuer, likewise; its subject is nobody else's business
	Endpoint        string // host:port of the last one that was tried
	Attempts        int
	Trace           string // the client's Traceparent
}

// Tracer makes spans of requests.
type Tracer interface {
	// Begin is called with the client's header.
	Begin(header http.Header, at time.Time) Span
}

// Span is that of one request.
type Span interface {
	Pass(header http.Header) // says in the header of the upstream's request what it is below
	End(Outcome)             // is called once
}

// outcome of the call, which is over.
func (c *call) outcome(took time.Duration) Outcome {
	r := c.request
	o := Outcome{Client: c.clientAddress(r), Method: r.Method, Scheme: protocol(r), Host: r.Host, Path: r.URL.EscapedPath(), Proto: r.Proto,
		Status: c.answer.status, Bytes: c.answer.bytes, Took: took, Key: c.key, Issuer: c.issuer,
		Attempts: len(c.tried), Trace: r.Header.Get("Traceparent")}
	if c.route != nil {
		o.Route, o.Upstream = c.route.id, c.route.upstream
	}
	if n := len(c.tried); n > 0 {
		o.Endpoint = c.tried[n-1].url.Host
	}
	return o
}

// write puts a line of the access log.
func (o Outcome) write(log *slog.Logger) {
	attrs := make([]slog.Attr, 0, 16)
	attrs = append(attrs, slog.String("client", o.Client), slog.String("method", o.Method), slog.String("host", o.Host), slog.String("path", o.Path),
		slog.String("proto", o.Proto), slog.Int("status", o.Status), slog.Int64("bytes", o.Bytes), slog.Float64("took_s", o.Took.Seconds()))
	for _, known := range []struct{ key, value string }{{"route", o.Route}, {"upstream", o.Upstream}, {"key", o.Key}, {"issuer", o.Issuer},
		{"endpoint", o.Endpoint}, {"traceparent", o.Trace}} {
		if known.value != "" {
			attrs = append(attrs, slog.String(known.key, known.value))
		}
	}
	if o.Attempts > 0 {
		attrs = append(attrs, slog.Int("attempts", o.Attempts))
	}
	log.LogAttrs(context.Background(), slog.LevelInfo, "request", attrs...)
}
