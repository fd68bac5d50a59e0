package lab

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	otlp "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"gwdr/drills"
)

// collector takes traces by OTLP over HTTP, as the protocol says.
type collector struct {
	*httptest.Server
	mu    sync.Mutex
	spans [][]*tracepb.Span // of each request
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var sent otlp.ExportTraceServiceRequest
		if r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" || err != nil ||
			proto.Unmarshal(body, &sent) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		var all []*tracepb.Span
		for _, of := range sent.ResourceSpans {
			for _, scope := range of.ScopeSpans {
				all = append(all, scope.Spans...)
			}
		}
		c.spans = append(c.spans, all)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Close)
	return c
}

// last returns the spans of the last request.
func (c *collector) last(t *testing.T) []*tracepb.Span {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.spans) == 0 {
		t.Fatal("no trace")
	}
	return c.spans[len(c.spans)-1]
}

// TestDrillIsTraced wants one trace of a drill, whose spans are those of its evidence.
func TestDrillIsTraced(t *testing.T) {
	u, c := newUser(t), newCollector(t)
	u.env = append(u.env, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL)
	end := u.reach(calm(), "armed").result()
	if end.code != 0 && !end.starved() {
		t.Fatalf("exit code %d\n%s", end.code, end.stderr)
	}
	r := decode[drills.Result](t, end.stdout)
	u.want(0, "report", "verify", r.Evidence)
	id := fmt.Sprintf("%x", sha256.Sum256([]byte(r.ID+"\n"+r.Started.Format(time.RFC3339Nano))))[:32]
	contains(t, end.stderr, "trace      "+id+" at "+c.Listener.Addr().String())
	spans := c.last(t)
	root := spans[len(spans)-1]
	if root.Name != "drill quick" || len(root.ParentSpanId) != 0 || text(root, "gwdr.verdict") != string(r.Verdict) || text(root, "gwdr.id") != r.ID {
		t.Errorf("root %v", root)
	}
	for _, s := range spans {
		if fmt.Sprintf("%x", s.TraceId) != id || s != root && string(s.ParentSpanId) != string(root.SpanId) {
			t.Errorf("%s is not of the trace %s", s.Name, id)
		}
		if s.StartTimeUnixNano > s.EndTimeUnixNano || s.StartTimeUnixNano < root.StartTimeUnixNano || s.EndTimeUnixNano > root.EndTimeUnixNano {
			t.Errorf("%s, from %s to %s, is not within the root", s.Name, start(s), stop(s))
		}
	}
	phasesAre(t, spans[:len(r.Timeline)], r)
	fault := named(t, spans, "fault power-cut")
	if start(fault).After(*r.Faults[0].Injected) || !near(stop(fault), *r.Faults[0].Reverted, time.Second) || len(fault.Events) != 1 || fault.Events[0].Name != "verified" {
		t.Errorf("fault %v, in the evidence %+v", fault, r.Faults[0])
	}
	named(t, spans, "promote promote")
	for _, o := range r.Outages {
		named(t, spans, "outage "+o.Series)
	}
	u.want(0, "report", "trace")
	for i, again := range c.last(t) { // from the record alone
		if !proto.Equal(again, spans[i]) {
			t.Errorf("sent again, span %d is %v, and was %v", i, again, spans[i])
		}
	}
}

// phasesAre compares the first spans with the timeline of the evidence.
func phasesAre(t *testing.T, spans []*tracepb.Span, r drills.Result) {
	t.Helper()
	for i, phase := range r.Timeline {
		s, at := spans[i], r.Started.Add(time.Duration(phase.OffsetS*1e9))
		if s.Name != string(phase.Phase) || !near(start(s), at, time.Microsecond) || i > 0 && stop(spans[i-1]) != start(s) {
			t.Errorf("span %d is %s from %s to %s, the evidence has %s at %s", i, s.Name, start(s), stop(s), phase.Phase, at)
		}
	}
}

func start(s *tracepb.Span) time.Time { return time.Unix(0, int64(s.StartTimeUnixNano)) }
func stop(s *tracepb.Span) time.Time  { return time.Unix(0, int64(s.EndTimeUnixNano)) }

func near(a, b time.Time, most time.Duration) bool { return a.Sub(b).Abs() <= most }

// text returns a text attribute.
func text(s *tracepb.Span, key string) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value.GetStringValue()
		}
	}
	return ""
}

func named(t *testing.T, spans []*tracepb.Span, name string) *tracepb.Span {
	t.Helper()
	for _, s := range spans {
		if s.Name == name {
			return s
		}
	}
	t.Errorf("no span is named %s", name)
	return &tracepb.Span{}
}

// TestDeadCollectors: whatever a collector does, the drill passes as without one, and a line says that it has no trace.
func TestDeadCollectors(t *testing.T) {
	asked := make(chan struct{}, 100)
	over := make(chan struct{})
	hangs := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- struct{}{}; <-over }))
	defer func() { close(over); hangs.Close() }()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, env := range map[string][]string{
		"hangs":   {"OTEL_EXPORTER_OTLP_ENDPOINT=" + hangs.URL, "OTEL_EXPORTER_OTLP_HEADERS=s3cr3t", "OTEL_RESOURCE_ATTRIBUTES=s3cr3t"},
		"is gone": {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=" + gone.URL},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUser(t)
			u.env = append(u.env, env...)
			r := u.measure("pass", u.sound, "drill", "run", u.write("quick.yaml", quick), "--json")
			if strings.Count(r.stderr, "no trace at the collector") != 1 || strings.Contains(r.stderr, "s3cr3t") {
				t.Errorf("stderr:\n%s", r.stderr)
			}
			if name == "hangs" && len(asked) == 0 {
				t.Error("the collector was not asked")
			}
		})
	}
}
