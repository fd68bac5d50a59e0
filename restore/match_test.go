package restore

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"gwdr/backup/backuptest"
	"gwdr/gateway"
)

func TestParseMatch(t *testing.T) {
	route, key := gateway.Ref{Kind: gateway.Route, ID: "orders-1/x"}, gateway.Ref{Kind: gateway.Key, ID: "orders-1/x"}
	for text, want := range map[string][2]bool{
		"route:orders-*": {true, false}, "routes:*": {true, false}, "Key:*x": {false, true}, "*": {true, true}, "orders-?/x": {true, true},
		"orders": {false, false}, "route:orders-1.x": {false, false}, "route:orders-1/x": {true, false},
	} {
		m, err := ParseMatch(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := [2]bool{m.matches(route), m.matches(key)}; got != want {
			t.Errorf("%s matches route and key: %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{"", "route:", "nonsense:x", ":x"} {
		if m, err := ParseMatch(text); err == nil {
			t.Errorf("%q is %v", text, m)
		}
	}
}

// TestMatch: what does not match stays as it is, on both sides.
func TestMatch(t *testing.T) {
	route := func(id, body string) gateway.Entity { return backuptest.Entity(gateway.Route, id, body) }
	point := gateway.NewState(route("a-1", "old"), route("a-2", "old"), route("b-1", "old"))
	live := gateway.NewState(route("a-1", "new"), route("b-1", "new"), route("b-2", "new"), route("a-3", "new"))
	m, err := ParseMatch("route:a-*")
	if err != nil {
		t.Fatal(err)
	}
	p := (&Restore{Match: []Match{m}}).compare(&gateway.Export{State: live}, &Snapshot{State: point})
	if diff := cmp.Diff([]string{"update route/a-1", "create route/a-2", "delete route/a-3"}, ops(p)); diff != "" {
		t.Error(diff)
	}
	if p.Total != (Counts{Create: 1, Update: 1, Delete: 1}) {
		t.Errorf("total %+v", p.Total)
	}
	if len(p.Findings) > 0 {
		t.Errorf("findings %v", p.Findings)
	}
	if m, err = ParseMatch("route:c-*"); err != nil {
		t.Fatal(err)
	}
	p = (&Restore{Match: []Match{m}}).compare(&gateway.Export{State: live}, &Snapshot{State: point})
	if len(p.Findings) != 1 || p.Findings[0].Subject != "match" {
		t.Errorf("nothing matches; findings %v", p.Findings)
	}
}
