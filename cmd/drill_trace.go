package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"gwdr/drills"
	"gwdr/internal/telemetry"
)

// tracePatience bounds what a collector that does not answer costs a drill that has ended.
const tracePatience = 2 * time.Second

// sendTrace sends the trace of a drill that has ended to the collector that the environment names, if it does. Whatever
// becomes of that is at most a warning: the drill is over.
func (a *app) sendTrace(ctx context.Context, r *drills.Result) {
	endpoint, err := a.traceEndpoint()
	if endpoint == nil && err == nil {
		return
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tracePatience) // an aborted drill has a trace, too
		defer cancel()
		err = traceOf(ctx, r)
	}
	if err != nil {
		a.Log.Warn("the drill has no trace at the collector", "error", err)
		return
	}
	a.progress("%-10s %s at %s", "trace", telemetry.TraceID(r.ID, r.Started), endpoint.Host)
}

// traceEndpoint returns where traces go, by the variables of OpenTelemetry; nil if they go nowhere. No error shows the URL,
// which may hold a secret.
func (a *app) traceEndpoint() (*url.URL, error) {
	name := "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	if strings.TrimSpace(a.Env(name)) == "" {
		name = "OTEL_EXPORTER_OTLP_ENDPOINT"
	}
	text := strings.TrimSpace(a.Env(name))
	if text == "" || a.Env("OTEL_TRACES_EXPORTER") == "none" || strings.EqualFold(a.Env("OTEL_SDK_DISABLED"), "true") {
		return nil, nil
	}
	if p := cmp.Or(a.Env("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"), a.Env("OTEL_EXPORTER_OTLP_PROTOCOL")); p != "" && !strings.HasPrefix(p, "http/") {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_PROTOCOL is %q; gwdr speaks http/protobuf, usually at port 4318", p)
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New(name + " is not of the form http://HOST:PORT")
	}
	return u, nil
}

// traceOf reads the journal of the run again, and sends what it says.
func traceOf(ctx context.Context, r *drills.Result) error {
	facts, err := drills.ReadJournal(r.Evidence)
	if err != nil {
		return err
	}
	of, err := telemetry.Resource(ctx, version())
	if err != nil {
		return err
	}
	return telemetry.Export(ctx, telemetry.Spans(facts, r, of))
}
