package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"gwdr/drills"
	"gwdr/internal/telemetry"
)

// reportTracePatience is how long a collector may take when sending a trace is all that was asked for.
const reportTracePatience = 20 * time.Second

func newReportTraceCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:               "trace [RUN|DIR]",
		ValidArgsFunction: a.completeEvidence,
		Short:             "Send a drill as a trace to a collector of OpenTelemetry",
		Long: `Draws the trace of a drill from its record, and sends it by OTLP over HTTP to the collector that the variables of OpenTelemetry
name: OTEL_EXPORTER_OTLP_ENDPOINT, or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT. 'gwdr drill run' does so by itself; this is for a drill
that was killed, or that is older than the collector. Its ids come from the record: sent again, it is the same trace.`,
		Example: `  OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 gwdr report trace`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runReportTrace(cmd.Context(), a, first(args))
		},
	}
}

func runReportTrace(ctx context.Context, a *app, run string) error {
	dir, err := a.findRun(run)
	if err != nil {
		return err
	}
	if drills.IsWatch(dir) {
		return usageError(errors.New("what 'gwdr probe' recorded has no trace; drills have"))
	}
	collector, err := a.traceEndpoint()
	if err == nil && collector == nil {
		err = withHint(errors.New("no collector is named"), "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 gwdr report trace")
	}
	if err != nil {
		return usageError(err)
	}
	facts, scenario, err := drills.ReadFacts(dir)
	if err != nil {
		return err
	}
	if err := exportTrace(ctx, collector, reportTracePatience, facts, drills.Judge(scenario, facts)); err != nil {
		return err
	}
	id := telemetry.TraceID(facts.ID, facts.Started).String()
	if a.JSON {
		return a.writeJSON(struct {
			Schema    string `json:"schema"`
			Run       string `json:"run"`
			Trace     string `json:"trace"`
			Collector string `json:"collector"`
		}{"gwdr/trace/v1", facts.ID, id, collector.Host})
	}
	_, err = fmt.Fprintf(a.Stdout, "%-10s %s at %s\n", "trace", id, collector.Host)
	return err
}
