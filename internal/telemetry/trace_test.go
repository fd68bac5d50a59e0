package telemetry

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"gwdr/drills"
	"gwdr/fleet"
	"gwdr/probes"
)

var t0 = time.Date(2026, 11, 21, 2, 46, 1, 123456789, time.UTC)

// lost is the record of a region that was lost: a fault, a promotion that worked at the second try, and two outages.
func lost() (drills.Facts, *drills.Result) {
	f := drills.Facts{ID: "20261121T024601Z-region-loss-a1b2", Started: t0, Complete: true, Length: ms(22200),
		Faults: []drills.FaultFacts{{ID: "power-cut", Kind: fleet.Kill, Targets: []string{"us-east-1"}, Injected: ms(8000), InjectedAt: t0.Add(ms(8100)),
			Verified: true, VerifiedOffset: ms(8180), Detail: "no process is alive", Reverted: true, RevertedOffset: ms(17400), RevertedAt: t0.Add(ms(17401))}},
		Detected: []drills.DetectedFact{{At: ms(8150), Series: "admin", Plane: probes.ControlPlane}},
		Steps: []drills.StepFact{{ID: "promote", Action: "promote", To: "us-west", At: ms(8400)}, {ID: "promote", Action: "promote", Error: "refused", At: ms(9000)},
			{ID: "promote", Action: "promote", Done: true, At: ms(10800)}}}
	for _, p := range []struct {
		at int
		drills.Phase
	}{{0, drills.Planned}, {950, drills.Baseline}, {7900, drills.Injecting}, {8200, drills.Observing}, {8400, drills.Recovering}, {10800, drills.Observing},
		{12950, drills.Recovered}, {13000, drills.Sustain}, {16000, drills.Reverting}, {17500, drills.Settling}, {22100, drills.Clean}} {
		f.Phases = append(f.Phases, drills.TimelineEntry{Phase: p.Phase, OffsetS: ms(p.at).Seconds()})
	}
	r := &drills.Result{ID: f.ID, RunNo: 7, Scenario: "region-loss", Fleet: "lab", Verdict: drills.Pass, Clean: true, Started: t0, Timeline: f.Phases,
		RTA: map[string]drills.RTA{"data": {LowS: .36, PointS: .38, HighS: .39, Recovered: true, Impact: "outage", Series: "orders/live/fresh"},
			"control": {LowS: 2.8, PointS: 2.84, HighS: 2.9, Recovered: true, Impact: "outage", Series: "admin"}},
		Outages: []probes.Outage{{Series: "orders/live/fresh", Plane: probes.DataPlane, Start: ms(8010), End: ms(8380), Low: ms(350), High: ms(400), Affected: 18},
			{Series: "admin", Plane: probes.ControlPlane, Start: ms(8020), Low: ms(14000), Affected: 300}}}
	return f, r
}

// tree writes the tree as text: a span a line, with its instants in seconds since t0.
func tree(spans []sdk.ReadOnlySpan) string {
	spans = slices.Clone(spans)
	slices.SortStableFunc(spans, func(a, b sdk.ReadOnlySpan) int {
		return cmp.Or(a.StartTime().Compare(b.StartTime()), b.EndTime().Compare(a.EndTime()))
	})
	var b strings.Builder
	for _, s := range spans {
		indent := ""
		if s.Parent().IsValid() {
			indent = "  "
		}
		fmt.Fprintf(&b, "%s%s %.3f-%.3f", indent, s.Name(), s.StartTime().Sub(t0).Seconds(), s.EndTime().Sub(t0).Seconds())
		if status := s.Status(); status.Code != codes.Unset {
			b.WriteString(" " + status.Code.String() + strings.TrimSuffix(" "+status.Description, " "))
		}
		for _, e := range s.Events() {
			fmt.Fprintf(&b, ", %s at %.3f", e.Name, e.Time.Sub(t0).Seconds())
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestTheTraceOfADrill(t *testing.T) {
	f, r := lost()
	spans := Spans(f, r, resource.Empty())
	want := `drill region-loss 0.000-22.200 Ok, detected at 8.150, first ok at 8.390, first ok at 10.900, stable at 12.950
  planned 0.000-0.950
  baseline 0.950-7.900
  injecting 7.900-8.200
  fault power-cut 8.000-17.400, verified at 8.180
  outage orders/live/fresh 8.010-8.380
  outage admin 8.020-22.200
  observing 8.200-8.400
  recovering 8.400-10.800
  promote promote 8.400-10.800
  observing 10.800-12.950
  recovered 12.950-13.000
  sustain 13.000-16.000
  reverting 16.000-17.500
  settling 17.500-22.100
  clean 22.100-22.200
`
	if diff := gocmp.Diff(want, tree(spans)); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
	root := spans[len(spans)-1]
	ids := map[string]bool{}
	for _, s := range spans {
		if s.SpanContext().TraceID() != TraceID(f.ID, t0) || ids[s.SpanContext().SpanID().String()] {
			t.Errorf("%s: %v", s.Name(), s.SpanContext())
		}
		ids[s.SpanContext().SpanID().String()] = true
		if s != root && s.Parent().SpanID() != root.SpanContext().SpanID() {
			t.Errorf("%s is not below the root", s.Name())
		}
	}
	for _, want := range []attribute.KeyValue{attribute.String("gwdr.verdict", "pass"), attribute.Float64("gwdr.rta.data.high_s", .39),
		attribute.String("gwdr.id", f.ID), attribute.Int("gwdr.run_no", 7)} {
		if !slices.Contains(root.Attributes(), want) {
			t.Errorf("the root has no %v", want)
		}
	}
	if again := Spans(f, r, resource.Empty()); tree(again) != tree(spans) || again[3].SpanContext().SpanID() != spans[3].SpanContext().SpanID() {
		t.Error("the same record has another trace")
	}
}

// TestTheTraceOfAKilledDrill has a fault that its guard reverted by another clock, and one that nobody did.
func TestTheTraceOfAKilledDrill(t *testing.T) {
	f, r := lost()
	f.Phases, f.Length, f.Complete = f.Phases[:5], ms(8500), false
	f.Steps = f.Steps[:2]
	f.Faults[0].RevertedOffset = 0
	f.Faults = append(f.Faults, drills.FaultFacts{ID: "never"}, drills.FaultFacts{ID: "split", Injected: ms(8300), InjectedAt: t0.Add(ms(8300)), Error: "too late"})
	r.Verdict, r.Clean, r.Reason, r.RTA, r.Outages = drills.Errored, false, "killed", nil, nil
	want := `drill region-loss 0.000-17.401 Error a fault may still be in effect, detected at 8.150
  planned 0.000-0.950
  baseline 0.950-7.900
  injecting 7.900-8.200
  fault power-cut 8.000-17.401, verified at 8.180
  observing 8.200-8.400
  fault split 8.300-8.500 Error too late
  recovering 8.400-8.500
  promote promote 8.400-8.500 Error refused
`
	if diff := gocmp.Diff(want, tree(Spans(f, r, resource.Empty()))); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
}

// TestStatus: what is inconclusive is neither, and dirty wins.
func TestStatus(t *testing.T) {
	for _, c := range []struct {
		verdict drills.Verdict
		clean   bool
		want    codes.Code
	}{{drills.Pass, true, codes.Ok}, {drills.Pass, false, codes.Error}, {drills.Fail, true, codes.Error}, {drills.Inconclusive, true, codes.Unset},
		{drills.Aborted, true, codes.Error}, {drills.Errored, true, codes.Error}} {
		if got, _ := status(&drills.Result{Verdict: c.verdict, Clean: c.clean}); got != c.want {
			t.Errorf("%s, clean %v: %s, want %s", c.verdict, c.clean, got, c.want)
		}
	}
}

// TestTooManyOutages: what is left out is said.
func TestTooManyOutages(t *testing.T) {
	f, r := lost()
	r.Outages = slices.Repeat(r.Outages[:1], maxOutages+3)
	text := tree(Spans(f, r, resource.Empty()))
	if n := strings.Count(text, "outage orders"); n != maxOutages || !strings.Contains(text, "3 more outages are not shown") {
		t.Errorf("%d outages", n)
	}
}
