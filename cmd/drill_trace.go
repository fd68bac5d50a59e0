package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"gwdr/drills"
	"gwdr/internal/telemetry"
)

// tracePatience bounds what a collector that does not answer costs a drill that has ended.
const tracePatience = 2 * time.Second

// drillCollector returns where the trace of a drill will go; nil if it goes nowhere. What is wrong with that is no more than a
// warning, but one before the drill.
func (a *app) drillCollector() *url.URL {
	collector, err := a.traceEndpoint()
	if err != nil {
		a.Log.Warn("the drill will have no trace", "error", err)
		return nil
	}
	return collector
}

// sendTrace sends the trace of a drill that has ended. Whatever becomes of that is at most a warning: the drill is over.
func (a *app) sendTrace(ctx context.Context, collector *url.URL, r *drills.Result) {
	if collector == nil {
		return
	}
	facts, err := drills.ReadJournal(r.Evidence)
	if err == nil {
		err = exportTrace(context.WithoutCancel(ctx), collector, tracePatience, facts, r) // an aborted drill has a trace, too
	}
	if err != nil {
		a.Log.Warn("the drill has no trace at the collector", "error", err)
		return
	}
	a.progress("%-10s %s at %s", "trace", telemetry.TraceID(r.ID, r.Started), collector.Host)
}

// exportTrace sends the trace of a run to the collector, which is the one that the environment names, and has so much time. No
// error shows its path, which may be a secret.
func exportTrace(ctx context.Context, collector *url.URL, patience time.Duration, f drills.Facts, r *drills.Result) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err := telemetry.Export(ctx, version(), f, r)
	if err != nil {
		err = errors.New(withoutPath(err.Error(), strings.Trim(collector.EscapedPath(), "/") != ""))
	}
	return err
}

// pathOfURL finds a URL that has a path.
var pathOfURL = regexp.MustCompile(`(https?://[^/\s"]+)/[^\s"]*[^\s":]`)

// withoutPath takes what a collector answered off the text of an error, which may be long and repeat what it was asked, and the
// paths of all URLs if they are secret: the exporter writes them in its own way.
func withoutPath(text string, secret bool) string {
	text, _, cut := strings.Cut(text, "body: ")
	if cut {
		text = strings.TrimRight(text, " (:")
	}
	if secret {
		text = pathOfURL.ReplaceAllString(text, "$1/***")
	}
	return text
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
