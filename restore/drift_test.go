package restore

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
)

// sideOf returns a gateway's side that holds the entities.
func sideOf(entities ...gateway.Entity) *Side {
	return GatewaySide("g", &gateway.Export{State: gateway.NewState(entities...)})
}

func TestDrift(t *testing.T) {
	from := sideOf(entity(gateway.Route, "same", `{"path":"/a"}`), entity(gateway.Route, "layout", `{"path":"/a"}`), entity(gateway.Route, "changed", `{"path":"/a"}`),
		entity(gateway.Route, "gone", `{}`), entity(gateway.Key, "k", `{}`), entity(gateway.Cert, "c", "1"))
	to := sideOf(entity(gateway.Route, "same", `{"path":"/a"}`), entity(gateway.Route, "layout", `{ "path":"/a", "auth":"key" }`),
		entity(gateway.Route, "changed", `{"path":"/b"}`), entity(gateway.Revocation, "k", `{}`), entity(gateway.Key, "k", `{}`))
	to.Unreachable = []gateway.Kind{gateway.Cert}
	counts := func(create, update, remove, unchanged, layout int) DriftCounts {
		return DriftCounts{Counts{create, update, remove, unchanged}, layout}
	}
	for name, test := range map[string]struct {
		how   Comparison
		kinds map[gateway.Kind]DriftCounts
		total DriftCounts
		steps string
		not   int
	}{
		"all": {Comparison{}, map[gateway.Kind]DriftCounts{gateway.Route: counts(0, 1, 1, 1, 1), gateway.Key: counts(0, 0, 0, 1, 0),
			gateway.Revocation: counts(1, 0, 0, 0, 0)}, counts(1, 1, 1, 2, 1), "create revocation/k, update route/changed, update route/layout (layout), delete route/gone", 1},
		"exact": {Comparison{Exact: true, Only: []gateway.Kind{gateway.Route}}, map[gateway.Kind]DriftCounts{gateway.Route: counts(0, 2, 1, 1, 0)},
			counts(0, 2, 1, 1, 0), "update route/changed, update route/layout, delete route/gone", 0},
		"keys bring their revocations": {Comparison{Only: []gateway.Kind{gateway.Key}}, map[gateway.Kind]DriftCounts{gateway.Key: counts(0, 0, 0, 1, 0),
			gateway.Revocation: counts(1, 0, 0, 0, 0)}, counts(1, 0, 0, 1, 0), "create revocation/k", 0},
		"only what is unreachable": {Comparison{Only: []gateway.Kind{gateway.Cert}}, map[gateway.Kind]DriftCounts{}, counts(0, 0, 0, 0, 0), "", 1},
	} {
		d := test.how.Compare(from, to)
		var steps []string
		for _, s := range d.Steps {
			text := fmt.Sprintf("%s %s", s.Op, s.Ref)
			if s.LayoutOnly {
				text += " (layout)"
			}
			steps = append(steps, text)
		}
		if diff := cmp.Diff(test.kinds, d.Kinds) + cmp.Diff(test.total, d.Total) + cmp.Diff(test.steps, strings.Join(steps, ", ")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if len(d.NotCompared) != test.not || len(d.Findings) != test.not {
			t.Errorf("%s: not compared %v, findings %v", name, d.NotCompared, d.Findings)
		}
		if d.Equal != (test.total.Create+test.total.Update+test.total.Delete == 0) {
			t.Errorf("%s: equal %v", name, d.Equal)
		}
	}
}

// The numbers add up, both directions tell the same, and the changes lead from one side to the other but for layout.
func TestDriftAddsUp(t *testing.T) {
	state := rapid.Custom(func(t *rapid.T) *Side {
		bodies := []string{`{"path":"/a"}`, `{ "path":"/a" }`, `{"path":"/b"}`, "no JSON"}
		side := sideOf()
		for range rapid.IntRange(0, 8).Draw(t, "entities") {
			side.State.Put(entity(rapid.SampledFrom(gateway.Kinds()[5:]).Draw(t, "kind"), rapid.StringMatching("[a-d]").Draw(t, "id"),
				rapid.SampledFrom(bodies).Draw(t, "body")))
		}
		return side
	})
	rapid.Check(t, func(t *rapid.T) {
		from, to := state.Draw(t, "from"), state.Draw(t, "to")
		how := Comparison{Exact: rapid.Bool().Draw(t, "exact")}
		d, back := how.Compare(from, to), how.Compare(to, from)
		n := d.Total
		if n.Create+n.Update+n.Unchanged+n.Layout != to.State.Len() || n.Delete+n.Update+n.Unchanged+n.Layout != from.State.Len() {
			t.Fatalf("%+v of %d and %d entities", n, from.State.Len(), to.State.Len())
		}
		if want := (DriftCounts{Counts{n.Delete, n.Update, n.Create, n.Unchanged}, n.Layout}); back.Total != want || back.Equal != d.Equal {
			t.Fatalf("there %+v, back %+v", n, back.Total)
		}
		if len(d.Steps) != n.Create+n.Update+n.Delete+n.Layout || len(d.Layout) != n.Layout {
			t.Fatalf("%d steps, %d of layout, of %+v", len(d.Steps), len(d.Layout), n)
		}
		followed := sideOf()
		followed.State = from.State.Clone()
		for _, c := range d.Changes {
			followed.State.Apply(c)
		}
		if rest := how.Compare(followed, to); !rest.Equal || how.Exact && followed.State.Digest() != to.State.Digest() {
			t.Fatalf("%v is left", rest.Steps)
		}
	})
}

// A backup's side says where it is from, and what a restore would leave alone is named by the comparison.
func TestSnapshotSide(t *testing.T) {
	w := newWorld(t, gatewaytest.Sample()...)
	w.gateway.Withhold(gateway.Cert)
	taken := w.backup()
	w.gateway.Withhold()
	s, err := w.restore.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	side := s.Side(s.Time.Add(90 * time.Second))
	if side.Point != taken.Point || side.Lineage != taken.Lineage || side.Revision != taken.Revision || *side.AgeS != 90 || side.Logged {
		t.Errorf("side %+v of %+v", side, taken)
	}
	if s.Revision++; !s.Side(s.Time).Logged {
		t.Error("the log after the point is not named")
	}
	e, err := w.gateway.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	d := Comparison{}.Compare(side, GatewaySide("g", e))
	if !d.Equal || len(d.Findings) != 1 || !strings.Contains(d.Findings[0].Text, "NOT compared: could not be read at FROM, a backup") {
		t.Errorf("equal %v, findings %v", d.Equal, d.Findings)
	}
}

// Neither bodies nor anything in them get into the JSON, and what was not read is null.
func TestDriftJSON(t *testing.T) {
	from, to := sideOf(entity(gateway.Key, "k", `{"hash":"S3CR3T"}`)), sideOf(entity(gateway.Key, "k", `{"hash":"S3CR3T2"}`))
	text, err := json.Marshal(Comparison{}.Compare(from, to))
	if err != nil || strings.Contains(string(text), "S3CR3T") {
		t.Errorf("%s, %v", text, err)
	}
	text, err = json.Marshal(NewDrift(&Side{What: SideBackup, Findings: []Finding{{"nas", "is gone"}}}, nil))
	want := `{"schema":"gwdr/diff/v1","from":null,"to":null,"equal":false,"exact":false,"total":{"create":0,"update":0,"delete":0,"unchanged":0,"layout":0},` +
		`"kinds":{},"not_compared":[],"findings":[{"subject":"nas","finding":"is gone"}],"changes":[]}`
	if string(text) != want || err != nil {
		t.Errorf("%s, %v", text, err)
	}
}
