package process

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gwdr/fleet"
)

func TestUndoOfAConfiguration(t *testing.T) {
	entities := func(pairs ...string) map[string][]byte {
		all := map[string][]byte{}
		for i := 0; i < len(pairs); i += 2 {
			all[pairs[i]] = []byte(pairs[i+1])
		}
		return all
	}
	keys := savedConfig{Kind: kindKey, Entities: entities("a", "A", "b", "B", "dead", "D"), Revoked: []string{"dead"}}
	upstreams := savedConfig{Kind: kindUpstream, Bad: []byte("bad"), Entities: entities("a", "A", "b", "B")}
	for name, test := range map[string]struct {
		saved        savedConfig
		now, revoked map[string][]byte
		want         []string
	}{
		"all keys":                   {keys, nil, entities("dead", ""), []string{"create key a A", "create key b B", "create key dead D"}},
		"a key revoked meanwhile":    {keys, nil, entities("dead", "", "a", ""), []string{"create key b B", "create key dead D"}},
		"a key restored meanwhile":   {keys, entities("a", "A", "x", "X"), entities("dead", ""), []string{"create key b B", "create key dead D"}},
		"all keys restored":          {keys, entities("a", "A", "b", "B", "dead", "D"), nil, nil},
		"all upstreams":              {upstreams, entities("a", "bad", "b", "bad"), nil, []string{"update upstream a A", "update upstream b B"}},
		"an upstream restored":       {upstreams, entities("a", "A", "b", "bad"), nil, []string{"update upstream b B"}},
		"an upstream made otherwise": {upstreams, entities("a", "bad", "b", "new"), nil, []string{"update upstream a A"}},
		"an upstream deleted":        {upstreams, entities("b", "bad", "c", "bad"), nil, []string{"update upstream b B"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, c := range test.saved.undo(map[string]map[string][]byte{test.saved.Kind: test.now, kindRevocation: test.revoked}) {
				got = append(got, fmt.Sprintf("%s %s %s %s", c.Op, c.Kind, c.ID, c.Body))
			}
			slices.Sort(got)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("changes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSetAsideConfig(t *testing.T) {
	s := &supervisor{plan: &plan{dir: layout(t.TempDir())}}
	c, f := &child{program: program{Instance: fleet.Instance{ID: "us-east-control"}}}, fleet.Fault{ID: "a"}
	if saved, err := s.savedConfig(c, f); saved != nil || err != nil {
		t.Fatalf("nothing was set aside: %+v, %v", saved, err)
	}
	if err := s.dropSavedConfig(c, f); err != nil {
		t.Errorf("drop nothing: %v", err)
	}
	if err := s.dir.make(); err != nil {
		t.Fatal(err)
	}
	want := savedConfig{Kind: kindKey, Entities: map[string][]byte{"a": []byte("{ \"odd\" : 1}\n"), "b": {0xff, 0}}, Revoked: []string{"b"}}
	mkdir(t, s.dir.node(c.ID))
	if err := s.setAsideConfig(c, f, want); err != nil {
		t.Fatal(err)
	}
	got, err := s.savedConfig(c, f)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, *got); diff != "" {
		t.Errorf("set aside (-want +got):\n%s", diff)
	}
	text := strings.Replace(read(t, s.configAside(c, f)), `"revoked":["b"]`, `"revoked":["c"]`, 1)
	if err := writeFile(s.configAside(c, f), []byte(text)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.savedConfig(c, f); err == nil || !strings.Contains(err.Error(), "is not what was set aside") {
		t.Errorf("a file that was changed: %v", err)
	}
}

func TestARoute(t *testing.T) {
	for name, test := range map[string]struct {
		routes map[string]string
		want   route
		ok     bool
	}{
		"none":       {nil, route{path: "/"}, false},
		"parameters": {map[string]string{"a": `{"path":"/items/{id}/stock/{rest...}"}`}, route{path: "/items/1/stock/1"}, true},
		"the first that will do": {map[string]string{
			"a": `{"path":"/a","methods":["POST"]}`, "b": `{"path":"/b","scopes":["read"]}`, "c": `{`, "c2": `{"path":"/c2","auth":"jwt"}`,
			"d": `{"path":"/d","methods":["GET","PUT"],"hosts":["shop.example","x"],"auth":"none"}`, "e": `{"path":"/e"}`,
		}, route{"shop.example", "/d", "none"}, true},
	} {
		all := map[string][]byte{}
		for id, body := range test.routes {
			all[id] = []byte(body)
		}
		if got, ok := aRoute(all); got != test.want || ok != test.ok {
			t.Errorf("%s: %+v, %v; want %+v", name, got, ok, test.want)
		}
	}
}

const twoKeys = `{"store":"s","revision":7,"epoch":1}
{"kind":"key","id":"a","body":"QQ=="}
{"kind":"route","id":"b","body":"Qg=="}
{"end":true,"count":2}
`

func TestReadState(t *testing.T) {
	revision, all, err := readState(kindKey, []byte(twoKeys))
	if diff := cmp.Diff(map[string][]byte{"a": []byte("A")}, all); diff != "" || revision != 7 || err != nil {
		t.Errorf("revision %d, %v, entities (-want +got):\n%s", revision, err, diff)
	}
	lines := strings.SplitAfter(twoKeys, "\n")
	for n := range len(lines) - 1 {
		if _, _, err := readState(kindKey, []byte(strings.Join(lines[:n], ""))); err == nil {
			t.Errorf("%d lines of %d were taken for all", n, len(lines)-1)
		}
	}
}

func FuzzReadState(f *testing.F) {
	for _, text := range []string{twoKeys, "", "{}", "null\n", `{"end":true}`, "{\"revision\":1}\n{\"end\":true,\"count\":0}"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, all, err := readState(kindKey, text); err == nil && all == nil {
			t.Fatalf("%q has no entities and no error", text)
		}
	})
}
