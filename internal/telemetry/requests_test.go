package telemetry

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	otlp "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// TestRequests reads what a collector gets: below the client's span, and above the upstream's.
func TestRequests(t *testing.T) {
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off") // only who is traced already
	_, bodies := receive(t, http.StatusOK)
	all, err := NewRequests(t.Context(), "v1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	const parent, id = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "0af7651916cd43dd8448eb211c80319c"
	r := all.Begin(http.Header{"Traceparent": {parent}}, time.Now())
	passed := http.Header{"Traceparent": {parent}}
	r.Pass(passed)
	if got := passed.Get("Traceparent"); !strings.HasPrefix(got, "00-"+id+"-") || got == parent || !strings.HasSuffix(got, "-01") {
		t.Errorf("passed on: %s", got)
	}
	r.End(Served{Method: "GET", Route: "r", Status: http.StatusBadGateway, Attempts: 2})
	unseen := all.Begin(http.Header{}, time.Now())
	unseen.End(Served{Method: "GET", Status: http.StatusOK})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := all.Close(ctx); err != nil {
		t.Fatal(err)
	}
	var sent otlp.ExportTraceServiceRequest
	if err := proto.Unmarshal((*bodies)[0], &sent); err != nil {
		t.Fatal(err)
	}
	spans := sent.ResourceSpans[0].ScopeSpans[0].Spans
	if len(spans) != 1 || len(*bodies) != 1 {
		t.Fatalf("%d spans in %d requests", len(spans), len(*bodies))
	}
	text := spans[0].String()
	for _, want := range []string{`name:"GET r"`, "SPAN_KIND_SERVER", "http.response.status_code", "int_value:502", "gwdr.attempts", "STATUS_CODE_ERROR"} {
		if !strings.Contains(strings.ReplaceAll(text, ":  ", ":"), want) && !strings.Contains(text, want) {
			t.Errorf("the span lacks %s: %s", want, text)
		}
	}
	if len(spans[0].ParentSpanId) == 0 {
		t.Error("the span is below no other")
	}
}
