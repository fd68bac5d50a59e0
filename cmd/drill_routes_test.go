package cmd

import (
	"strings"
	"testing"

	"gwdr/scenarios"
)

// TestRoutesOfTheLab: a fresh lab has the routes that it is seeded with, and a probe of another is refused by name.
func TestRoutesOfTheLab(t *testing.T) {
	for route, known := range map[string]bool{
		"orders": true, "/orders": true, "orders/42": true, "/orders?page=2": true, "/items/7/stock": true,
		"ordrs": false, "/": false, "/orders/42/lines": false, "": false,
	} {
		s, err := scenarios.Load("region-loss")
		if err != nil {
			t.Fatal(err)
		}
		s.SteadyState.Probes[1].Route = route
		a := &app{Config: &Config{State: t.TempDir()}}
		err = a.checkRoutes(t.Context(), s)
		if (err == nil) != known || !known && (exitCodeOf(t.Context(), err) != exitRefused ||
			!strings.Contains(err.Error(), "steadyState.probes[1].route: the lab has no route /"+strings.TrimPrefix(route, "/")+"; it has /items, /items/{id}, ")) {
			t.Errorf("%q: %v", route, err)
		}
		s.SteadyState.Probes[1].Expect.Status = 404
		if err := a.checkRoutes(t.Context(), s); err != nil {
			t.Errorf("%q, which is to be unknown: %v", route, err)
		}
	}
}

// TestPathTemplates: a parameter is one part of a path, but for the last, which may be all that follows.
func TestPathTemplates(t *testing.T) {
	for _, c := range []struct {
		template, path string
		fits           bool
	}{
		{"/files/{name...}", "/files/a/b", true}, {"/files/{name...}", "/files", false}, {"/{id}", "/a/b", false}, {"/{id}", "/a", true}, {"/a", "/a/", false},
	} {
		if got := onPath(c.template, c.path); got != c.fits {
			t.Errorf("%s, %s: %v", c.template, c.path, got)
		}
	}
}

// TestCatalogueFitsItsGuardrails: no drill of the catalogue that goes well is aborted because it takes as long as it may.
func TestCatalogueFitsItsGuardrails(t *testing.T) {
	all, err := scenarios.Catalogue()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		s.DrawSeeds(func() uint64 { return 1 })
		plan, err := s.Plan(s.Topology.Instances())
		if err != nil {
			t.Fatal(err)
		}
		if r, err := describePlan(plan, scenarios.Bounds{}, nil); err != nil || len(r.Warnings) > 0 {
			t.Errorf("%s: %q, %v", s.Metadata.Name, r.Warnings, err)
		}
	}
}
