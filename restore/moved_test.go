package restore

import (
	"context"
	"errors"
	"testing"

	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
)

// TestRebase: what the gateway did itself of what was agreed to is left out, and what is left leads to the same; with anything
// else it is refused. A revocation is taken as it is.
func TestRebase(t *testing.T) {
	log := gatewaytest.Sample()[0]
	other := log
	other.Body = []byte(`{"other":true}`)
	for name, c := range map[string]struct {
		meanwhile func(g *gatewaytest.Gateway, p *Plan)
		left      int
		refused   bool
	}{
		"nothing":           {func(*gatewaytest.Gateway, *Plan) {}, 11, false},
		"the first changes": {func(g *gatewaytest.Gateway, p *Plan) { apply(t, g, p.Changes[:4]) }, 7, false},
		"all of them":       {func(g *gatewaytest.Gateway, p *Plan) { apply(t, g, p.Changes) }, 0, false},
		"a revocation":      {func(g *gatewaytest.Gateway, p *Plan) { apply(t, g, p.Changes[:4]); g.Put(newlyRevoked) }, 7, false},
		"another entity":    {func(g *gatewaytest.Gateway, _ *Plan) { g.Put(entity(gateway.Setting, "other", `{}`)) }, 0, true},
		"another body":      {func(g *gatewaytest.Gateway, _ *Plan) { g.Put(other) }, 0, true},
		"one is gone":       {func(g *gatewaytest.Gateway, _ *Plan) { g.Remove(log.Ref) }, 0, true},
	} {
		g := gatewaytest.New(extraSetting, log)
		r := &Restore{}
		p := planFor(t, r, g)
		c.meanwhile(g, p)
		next, err := r.Rebase(t.Context(), p, &Result{})
		if errors.Is(err, ErrMoved) != c.refused || (err != nil) != c.refused {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil {
			continue
		}
		for _, change := range next.Changes {
			if !planned(p, change) {
				t.Errorf("%s: %s of %s was not agreed to", name, change.Op, change.Entity.Ref)
			}
		}
		res, err := r.Apply(t.Context(), next)
		if err != nil || !res.Verified || len(next.Changes) != c.left || res.Created+res.Updated+res.Deleted != c.left {
			t.Errorf("%s: %v, %d changes left: %+v", name, err, len(next.Changes), res)
		}
		if _, revoked := exportOf(t, g).State.Get(newlyRevoked.Ref); revoked != (name == "a revocation") {
			t.Errorf("%s: revoked: %v", name, revoked)
		}
	}
}

func apply(t *testing.T, g *gatewaytest.Gateway, changes []gateway.Change) {
	t.Helper()
	if err := g.Apply(context.Background(), changes); err != nil {
		t.Fatal(err)
	}
}

func planned(p *Plan, c gateway.Change) bool {
	for _, old := range p.Changes {
		if old.Op == c.Op && old.Entity.Ref == c.Entity.Ref && string(old.Entity.Body) == string(c.Entity.Body) && string(old.Old) == string(c.Old) {
			return true
		}
	}
	return false
}
