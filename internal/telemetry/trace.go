package telemetry

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"gwdr/drills"
)

// TraceID returns the id of the trace of a run, the first half of SHA-256 over its id, a line feed, and its start in RFC 3339
// with nanoseconds: who has the record finds the trace.
func TraceID(runID string, started time.Time) trace.TraceID {
	sum := sha256.Sum256([]byte(runID + "\n" + started.UTC().Format(time.RFC3339Nano)))
	return trace.TraceID(sum[:16])
}

// Spans returns the trace of a drill that has ended: a root for the drill, below it its phases, its faults, from just before
// the injector was called to when they were gone, the recovery actions, and the outages of each series. It is a pure function
// of the record. Every instant is one of the drill's clock, laid upon the wall time of its start; only when somebody else
// reverted a fault after the drill's death, that instant is of his clock.
func Spans(f drills.Facts, r *drills.Result, of *resource.Resource) []sdk.ReadOnlySpan {
	c := &collector{ids: ids{trace: TraceID(f.ID, f.Started)}}
	unlimited := sdk.SpanLimits{AttributeValueLengthLimit: -1, AttributeCountLimit: -1, EventCountLimit: -1, LinkCountLimit: -1,
		AttributePerEventCountLimit: -1, AttributePerLinkCountLimit: -1}
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(c), sdk.WithIDGenerator(&c.ids), sdk.WithSampler(sdk.AlwaysSample()),
		sdk.WithRawSpanLimits(unlimited), sdk.WithResource(of))
	d := &drawing{facts: f, result: r, tracer: provider.Tracer("gwdr")}
	d.root()
	d.phases()
	d.faults()
	d.steps()
	d.outages()
	d.close()
	return c.spans
}

// drawing is a trace in the making.
type drawing struct {
	facts  drills.Facts
	result *drills.Result
	tracer trace.Tracer
	ctx    context.Context // of the root
	drill  trace.Span      // the root
	end    time.Time       // of the latest span
}

// at returns the wall time of an instant of the drill's clock.
func (d *drawing) at(offset time.Duration) time.Time { return d.facts.Started.Add(offset) }

// length returns when the drill ended.
func (d *drawing) length() time.Duration {
	end := d.facts.Length
	if n := len(d.facts.Phases); n > 0 {
		end = max(end, seconds(d.facts.Phases[n-1].OffsetS))
	}
	return end
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (d *drawing) root() {
	d.ctx, d.drill = d.tracer.Start(context.Background(), "drill "+d.result.Scenario, trace.WithTimestamp(d.at(0)),
		trace.WithAttributes(about(d.result)...))
	d.end = d.at(d.length())
	d.milestones()
	code, reason := status(d.result)
	d.drill.SetStatus(code, reason)
}

// status says that a promise was broken, or the drill did not come to its end; what is inconclusive is neither ok nor an error.
func status(r *drills.Result) (codes.Code, string) {
	switch {
	case !r.Clean:
		return codes.Error, "a fault may still be in effect"
	case r.Verdict == drills.Pass:
		return codes.Ok, ""
	case r.Verdict == drills.Inconclusive:
		return codes.Unset, ""
	}
	return codes.Error, r.Reason
}

// milestones are the instants of the recovery, as events of the root.
func (d *drawing) milestones() {
	inject, injected := time.Duration(0), false
	for _, f := range d.facts.Faults {
		if !f.InjectedAt.IsZero() && (!injected || f.Injected < inject) {
			inject, injected = f.Injected, true
		}
	}
	for _, seen := range d.facts.Detected {
		d.event("detected", seen.At, attribute.String("gwdr.series", seen.Series), attribute.String("gwdr.plane", string(seen.Plane)))
	}
	for _, plane := range planes {
		if rta, ok := d.result.RTA[plane]; ok && injected && rta.Recovered && rta.Impact != "none" {
			d.event("first ok", inject+seconds(rta.HighS), attribute.String("gwdr.series", rta.Series), attribute.String("gwdr.plane", plane))
		}
	}
	for _, p := range d.facts.Phases {
		if p.Phase == drills.Recovered {
			d.event("stable", seconds(p.OffsetS))
		}
	}
}

func (d *drawing) event(name string, at time.Duration, with ...attribute.KeyValue) {
	d.drill.AddEvent(name, trace.WithTimestamp(d.at(at)), trace.WithAttributes(with...))
}

// span draws one below the root. It does not end before it begins.
func (d *drawing) span(name string, from, to time.Time, with ...attribute.KeyValue) drawn {
	if to.Before(from) {
		to = from
	}
	if to.After(d.end) {
		d.end = to
	}
	_, s := d.tracer.Start(d.ctx, name, trace.WithTimestamp(from), trace.WithAttributes(with...))
	return drawn{s, to}
}

// drawn is a span with its end.
type drawn struct {
	trace.Span
	to time.Time
}

func (s drawn) finish() { s.End(trace.WithTimestamp(s.to)) }

// fails marks the span as failed, if there is a reason.
func (s drawn) fails(reason string) {
	if reason != "" {
		s.SetStatus(codes.Error, reason)
	}
}

// phases draws each phase until the next one; the last one ends with the drill.
func (d *drawing) phases() {
	for i, p := range d.facts.Phases {
		to := d.length()
		if i+1 < len(d.facts.Phases) {
			to = seconds(d.facts.Phases[i+1].OffsetS)
		}
		d.span(string(p.Phase), d.at(seconds(p.OffsetS)), d.at(to)).finish()
	}
}

// faults draws those that were injected.
func (d *drawing) faults() {
	for _, f := range d.facts.Faults {
		if f.InjectedAt.IsZero() {
			continue
		}
		to, wrong := d.at(d.length()), f.Error
		switch {
		case !f.Reverted:
			wrong = cmp.Or(wrong, "not reverted")
		case f.RevertedOffset > 0:
			to = d.at(f.RevertedOffset)
		default:
			to = f.RevertedAt
		}
		s := d.span("fault "+f.ID, d.at(f.Injected), to, attribute.String("gwdr.fault.kind", string(f.Kind)),
			attribute.StringSlice("gwdr.fault.targets", f.Targets), attribute.Bool("gwdr.fault.verified", f.Verified))
		if f.Verified {
			s.AddEvent("verified", trace.WithTimestamp(d.at(f.VerifiedOffset)), trace.WithAttributes(attribute.String("gwdr.fault.detail", f.Detail)))
		}
		s.fails(wrong)
		s.finish()
	}
}

// steps draws the recovery actions, from when one began to when it succeeded.
func (d *drawing) steps() {
	for i, s := range d.facts.Steps {
		if i > 0 && d.begun(i) {
			continue
		}
		to, wrong := d.length(), "not done"
		for _, later := range d.facts.Steps[i+1:] {
			switch {
			case later.ID != s.ID:
			case later.Done && later.Error == "":
				to, wrong = later.At, ""
			default:
				wrong = later.Error
			}
		}
		span := d.span(fmt.Sprintf("%s %s", s.Action, s.ID), d.at(s.At), d.at(to), attribute.String("gwdr.recovery.to", s.To))
		span.fails(wrong)
		span.finish()
	}
}

// begun reports whether an earlier entry is of the same action as entry i.
func (d *drawing) begun(i int) bool {
	for _, earlier := range d.facts.Steps[:i] {
		if earlier.ID == d.facts.Steps[i].ID {
			return true
		}
	}
	return false
}

// maxOutages bounds what one trace holds: collectors refuse what is too large.
const maxOutages = 500

// outages draws when each series was down. One that lasts ends with the drill.
func (d *drawing) outages() {
	for i, o := range d.result.Outages {
		if i == maxOutages {
			d.drill.AddEvent(fmt.Sprintf("%d more outages are not shown", len(d.result.Outages)-maxOutages), trace.WithTimestamp(d.at(d.length())))
			return
		}
		to := o.End
		if to == 0 {
			to = d.length()
		}
		with := []attribute.KeyValue{attribute.String("gwdr.series", o.Series), attribute.String("gwdr.plane", string(o.Plane)),
			attribute.Float64("gwdr.outage.low_s", o.Low.Seconds()), attribute.Int("gwdr.outage.affected", o.Affected),
			attribute.Int("gwdr.outage.flaps", o.Flaps), attribute.Bool("gwdr.outage.lasting", o.End == 0)}
		if o.End != 0 {
			with = append(with, attribute.Float64("gwdr.outage.high_s", o.High.Seconds()))
		}
		d.span("outage "+o.Series, d.at(o.Start), d.at(to), with...).finish()
	}
}

// close ends the root, with the latest span.
func (d *drawing) close() { d.drill.End(trace.WithTimestamp(d.end)) }

// collector keeps the spans that have ended.
type collector struct {
	ids   ids
	spans []sdk.ReadOnlySpan
}

func (c *collector) OnStart(context.Context, sdk.ReadWriteSpan) {}
func (c *collector) OnEnd(s sdk.ReadOnlySpan)                   { c.spans = append(c.spans, s) }
func (c *collector) Shutdown(context.Context) error             { return nil }
func (c *collector) ForceFlush(context.Context) error           { return nil }

// ids numbers the spans of one trace.
type ids struct {
	trace trace.TraceID
	last  uint64
}

func (g *ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	return g.trace, g.NewSpanID(ctx, g.trace)
}

func (g *ids) NewSpanID(context.Context, trace.TraceID) trace.SpanID {
	g.last++
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(g.trace[:], g.last))
	return trace.SpanID(sum[:8])
}
