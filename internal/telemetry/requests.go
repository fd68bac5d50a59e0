package telemetry

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Requests makes a span of each request that a gateway serves, and sends them by OTLP over HTTP to the collector that the variables
// OTEL_EXPORTER_OTLP_... name, a batch every few seconds. Which requests have one, OTEL_TRACES_SAMPLER says. A collector that cannot
// keep up or be reached loses spans; no request waits for it.
type Requests struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// NewRequests connects to nobody yet. The caller must have made sure that the endpoint is a URL.
func NewRequests(ctx context.Context, version string) (*Requests, error) {
	silence()
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithProxy(proxy))
	if err != nil {
		return nil, fmt.Errorf("trace requests: %w", err)
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(program(ctx, version)))
	return &Requests{provider: provider, tracer: provider.Tracer("gwdr")}, nil
}

// Close sends what is left, until ctx ends.
func (t *Requests) Close(ctx context.Context) error {
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last traces: %w", err)
	}
	return nil
}

// Request is the span of one.
type Request struct {
	span trace.Span
	ctx  context.Context
}

// Begin begins a span below that of the client, if its header names one (W3C Trace Context).
func (t *Requests) Begin(header http.Header, at time.Time) Request {
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.HeaderCarrier(header))
	ctx, span := t.tracer.Start(ctx, "request", trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(at))
	return Request{span: span, ctx: ctx}
}

// Pass puts the span in the header of the request that is made of another server.
func (r Request) Pass(header http.Header) {
	propagation.TraceContext{}.Inject(r.ctx, propagation.HeaderCarrier(header))
}

// Served is what became of a request. What is empty is not known.
type Served struct {
	Method, Scheme, Host, Path, Client string
	Route, Upstream, Endpoint          string
	Key, Issuer                        string
	Status, Attempts                   int
}

// End ends the span, by the names of OpenTelemetry's semantic conventions for HTTP where they have one.
func (r Request) End(s Served) {
	defer r.span.End()
	if !r.span.IsRecording() {
		return
	}
	name := s.Method
	if s.Route != "" {
		name += " " + s.Route
	}
	r.span.SetName(name)
	for key, value := range map[string]string{"http.request.method": s.Method, "url.scheme": s.Scheme, "server.address": s.Host, "url.path": s.Path,
		"client.address": s.Client, "http.route": s.Route, "gwdr.upstream": s.Upstream, "gwdr.endpoint": s.Endpoint, "gwdr.key": s.Key,
		"gwdr.issuer": s.Issuer} {
		if value != "" {
			r.span.SetAttributes(attribute.String(key, value))
		}
	}
	r.span.SetAttributes(attribute.Int("http.response.status_code", s.Status), attribute.Int("gwdr.attempts", s.Attempts))
	if s.Status >= http.StatusInternalServerError || s.Status == 0 {
		r.span.SetStatus(codes.Error, "")
	}
}
