package gatewaytest

import (
	"errors"
	"testing"

	"gwdr/gateway"
)

func TestGateway(t *testing.T) {
	TestTarget(t, func(*testing.T) gateway.Target { return New() })
}

func TestTracked(t *testing.T) {
	TestTarget(t, func(*testing.T) gateway.Target { return Tracked{New()} })
}

func TestReferences(t *testing.T) {
	g := New(Sample()...)
	before := export(t, g).State
	for name, change := range map[string]gateway.Change{
		"route without upstream": {Op: gateway.Create, Entity: route("lost", "nowhere")},
		"upstream of a route":    {Op: gateway.Delete, Entity: gateway.Entity{Ref: gateway.Ref{Kind: gateway.Upstream, ID: "echo"}}},
		"consumer of a key":      {Op: gateway.Delete, Entity: gateway.Entity{Ref: gateway.Ref{Kind: gateway.Consumer, ID: "acme"}}},
	} {
		if err := g.Apply(t.Context(), []gateway.Change{change}); err == nil {
			t.Errorf("%s: applied", name)
		}
	}
	sameState(t, export(t, g).State, before)
}

func TestFailures(t *testing.T) {
	g := New()
	changes := gateway.Diff(gateway.NewState(), gateway.NewState(Sample()...))
	broken := errors.New("disk full")
	g.FailApply(3, broken)
	err := g.Apply(t.Context(), changes)
	partial := (*gateway.PartialError)(nil)
	if !errors.As(err, &partial) || partial.Applied != 3 || !errors.Is(err, broken) {
		t.Errorf("apply: %v", err)
	}
	g.Wipe()
	g.CutApply(3, broken)
	if err := g.Apply(t.Context(), changes); !errors.Is(err, broken) || errors.As(err, &partial) {
		t.Errorf("apply over a cut connection: %v", err)
	}
	if got := export(t, g).State.Len(); got != 3 || !g.Blank() {
		t.Errorf("%d changes made, blank %v", got, g.Blank())
	}
	g.FailExport(broken)
	if _, _, err := g.Revocations(t.Context()); !errors.Is(err, broken) {
		t.Errorf("revocations: %v", err)
	}
}
