package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"

	"gwdr/drills"
)

// Export sends the trace of a drill, by OTLP over HTTP, to the collector that the variables OTEL_EXPORTER_OTLP_... name, and
// gives up when ctx ends. Whoever may be up again in a moment is asked again until then. The exporter reads these variables, of
// which there are many, by itself, but the caller must have made sure that the endpoint is a URL. No error shows a header.
func Export(ctx context.Context, version string, f drills.Facts, r *drills.Result) (err error) {
	silence()
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithProxy(proxy), otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
		Enabled: true, InitialInterval: 200 * time.Millisecond, MaxInterval: time.Second, MaxElapsedTime: time.Minute}))
	if err != nil {
		return fmt.Errorf("send trace: %w", err)
	}
	defer func() { err = errors.Join(err, exporter.Shutdown(context.WithoutCancel(ctx))) }()
	if err := exporter.ExportSpans(ctx, Spans(f, r, program(ctx, version))); err != nil {
		return fmt.Errorf("send trace: %w", err)
	}
	return nil
}

// errElsewhere says that the collector answered with a redirect.
var errElsewhere = errors.New("the collector points elsewhere, and its headers are for nobody else: name the right endpoint")

// proxy is that of the environment, and the end of whatever follows a redirect: net/http takes all headers along but those that it
// knows to be secret. A client that follows none, in place of the exporter's, would have to read the variables of its TLS.
func proxy(r *http.Request) (*url.URL, error) {
	if r.Response != nil {
		return nil, errElsewhere
	}
	return http.ProxyFromEnvironment(r)
}

// silence keeps OpenTelemetry from writing to stderr what it cannot understand of its variables, which may be secrets.
func silence() {
	otel.SetLogger(logr.Discard())
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
}

// program says that gwdr sends the trace, unless the variables of OpenTelemetry say otherwise: OTEL_SERVICE_NAME and
// OTEL_RESOURCE_ATTRIBUTES. What cannot be understood of them is left out: a trace with less is better than none.
func program(ctx context.Context, version string) *resource.Resource {
	r, _ := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", "gwdr"), attribute.String("service.version", version)),
		resource.WithFromEnv())
	if r == nil {
		return resource.Empty()
	}
	return r
}
