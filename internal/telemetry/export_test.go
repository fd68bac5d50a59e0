package telemetry

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	otlp "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// receive starts a collector that answers with the statuses in turn, the last one again and again, and returns what it got.
func receive(t *testing.T, statuses ...int) (got *[]*http.Request, bodies *[][]byte) {
	t.Helper()
	got, bodies = &[]*http.Request{}, &[][]byte{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*got, *bodies = append(*got, r), append(*bodies, body)
		w.WriteHeader(statuses[min(len(*got), len(statuses))-1])
	}))
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	return got, bodies
}

func export(t *testing.T, ctx context.Context) error {
	t.Helper()
	f, r := lost()
	return Export(ctx, "v1.2.3", f, r)
}

// TestExport reads what a collector gets, which was too busy at first.
func TestExport(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "X-Api-Key=s3cr3t")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=lab,garbage")
	got, bodies := receive(t, http.StatusServiceUnavailable, http.StatusOK)
	if err := export(t, t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(*got) != 2 || (*got)[1].URL.Path != "/v1/traces" || (*got)[1].Header.Get("X-Api-Key") != "s3cr3t" {
		t.Fatalf("%d requests, last %+v", len(*got), (*got)[len(*got)-1])
	}
	var sent otlp.ExportTraceServiceRequest
	if err := proto.Unmarshal((*bodies)[1], &sent); err != nil {
		t.Fatal(err)
	}
	text := sent.ResourceSpans[0].Resource.String()
	for _, want := range []string{"gwdr", "v1.2.3", "deployment.environment"} {
		if !strings.Contains(text, want) {
			t.Errorf("the resource lacks %s: %s", want, text)
		}
	}
	if n := len(sent.ResourceSpans[0].ScopeSpans[0].Spans); n != 16 {
		t.Errorf("%d spans, want 16", n)
	}
}

// TestExportRefused: the collector's word is passed on, what it was sent is not.
func TestExportRefused(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "X-Api-Key=s3cr3t")
	receive(t, http.StatusUnauthorized)
	if err := export(t, t.Context()); err == nil || !strings.Contains(err.Error(), "401") || strings.Contains(err.Error(), "s3cr3t") {
		t.Errorf("error %v", err)
	}
}

// TestExportFollowsNobody: headers may hold a token, which is for the collector and for nobody that it points to.
func TestExportFollowsNobody(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "X-Api-Key=s3cr3t")
	for _, status := range []int{http.StatusFound, http.StatusTemporaryRedirect} {
		got, _ := receive(t, http.StatusOK)
		elsewhere := os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
		collector := httptest.NewServer(http.RedirectHandler(elsewhere, status))
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
		if err := export(t, t.Context()); err == nil || !strings.Contains(err.Error(), "points elsewhere") {
			t.Errorf("%d: error %v", status, err)
		}
		collector.Close()
		for _, r := range *got {
			t.Errorf("%d: another host got %s with X-Api-Key %q", status, r.Method, r.Header.Get("X-Api-Key"))
		}
	}
}

// TestExportGivesUp when its time is over, whatever the collector does.
func TestExportGivesUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { cancel(); <-hang }))
	defer func() { close(hang); server.Close() }()
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", server.URL)
	if err := export(t, ctx); err == nil {
		t.Error("no error")
	}
}
