package proxy

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gwdr/gateway"
)

// rivalRouter has routes of one path, which differ in what they ask for.
func rivalRouter(t testing.TB) *router {
	t.Helper()
	routes := map[string]*route{}
	for id, body := range map[string]gateway.RouteBody{
		"plain":      {},
		"plain-twin": {},
		"get":        {Methods: []string{"GET"}},
		"get-a":      {Methods: []string{"GET"}, Match: &gateway.Match{Query: map[string]string{"action": "a"}}},
		"any":        {Match: &gateway.Match{Query: map[string]string{"action": ""}}},
		"a":          {Match: &gateway.Match{Query: map[string]string{"action": "a"}}},
		"a-target":   {Match: &gateway.Match{Query: map[string]string{"action": "a"}, Headers: map[string]string{"x-target": "T.a"}}},
		"target":     {Match: &gateway.Match{Headers: map[string]string{"X-TARGET": "T.a"}}},
		"first":      {Match: &gateway.Match{Headers: map[string]string{"X-First": ""}}, Priority: 1},
		"last":       {Match: &gateway.Match{Headers: map[string]string{"X-Last": "1"}}, Priority: -1},
		"json":       {Match: &gateway.Match{Headers: map[string]string{"content-type": "Application/JSON"}}},
	} {
		body.Path, body.Upstream = "/p", "u"
		r, err := newRoute(id, gateway.Encode(body))
		if err != nil {
			t.Fatal(err)
		}
		routes[id] = r
	}
	return newRouter(routes)
}

func TestRoutesOfOnePath(t *testing.T) {
	r := rivalRouter(t)
	for line, want := range map[string]string{
		"PUT /p":                                "plain",
		"GET /p":                                "get",
		"HEAD /p":                               "get",
		"GET /p?action=a":                       "get-a",
		"HEAD /p?action=a":                      "get-a",
		"PUT /p?action=a":                       "a",
		"PUT /p?x=y&action=%61":                 "a",
		"PUT /p?action=b":                       "any",
		"PUT /p?action":                         "any",
		"PUT /p?Action=a":                       "plain",
		"PUT /p?action=a+":                      "any",
		"PUT /p?action=a&action=b":              "!",
		"PUT /p?action=a&%61ction=a":            "!",
		"PUT /p?action=a;action=b":              "!",
		"PUT /p?x=%zz&action=a":                 "!",
		"PUT /p?action=a X-Target:T.a":          "a-target",
		"PUT /p X-Target:T.a":                   "target",
		"PUT /p?action=b X-Target:T.a":          "target",
		"PUT /p X-Target:t.a":                   "plain",
		"PUT /p X-Target:T.a X-Target:T.b":      "!",
		"PUT /p X-First:":                       "first",
		"PUT /p X-First:1 X-First:2":            "first",
		"PUT /p?action=a X-First:1":             "first",
		"GET /p X-First:1":                      "get", // the method comes before the priority
		"PUT /p X-Last:1":                       "plain",
		"PUT /p Content-Type:application/json":  "json",
		"PUT /p Content-Type:application/json;": "json",
		"PUT /p Content-Type:APPLICATION/json;charset=utf-8": "json",
		"PUT /p Content-Type:application/jsonx":              "plain",
		"PUT /q":                                             "-",
	} {
		fields := strings.Fields(line)
		req := request(t, fields[0]+" "+fields[1])
		for _, header := range fields[2:] {
			name, value, _ := strings.Cut(header, ":")
			req.Header.Add(name, value)
		}
		if got := idOf(r.match(req)); got != want {
			t.Errorf("%s leads to %s, want %s", line, got, want)
		}
	}
}

func idOf(r *route, err error) string {
	switch {
	case err != nil:
		return "!"
	case r == nil:
		return "-"
	}
	return r.id
}

// TestFormsOfParams: a route may ask for the form of a parameter; whoever has another leads on to the next.
func TestFormsOfParams(t *testing.T) {
	routes := map[string]*route{}
	for id, params := range map[string]map[string]string{"text": nil, "number": {"x": gateway.Integer}, "uuid": {"x": gateway.UUID}} {
		r, err := newRoute(id, gateway.Encode(gateway.RouteBody{Path: "/p/{x}/{y}", Upstream: "u", Match: &gateway.Match{Params: params}}))
		if err != nil {
			t.Fatal(err)
		}
		routes[id] = r
	}
	r := newRouter(routes)
	for path, want := range map[string]string{"7/8": "number", "-7/x": "number", "x/7": "text", "7x/8": "text", "-/7": "text", "1-2/3": "text",
		"0190A1b2-0000-7000-8000-00000000000f/1": "uuid", "0190a1b2-0000-7000-8000-00000000000g/1": "text", "0190a1b2-0000-7000-8000-00000000000/1": "text",
		"0190a1b2-0000-7000-8000-00000000000ff/1": "text", "0190a1b2000007000080000000000000000f/1": "text"} {
		if got := answer(t, r, "GET /p/"+path); got != want {
			t.Errorf("%s leads to %s, want %s", path, got, want)
		}
	}
}

// A path that no route takes as the request is, is not there for it; that it is there for others is no reason for a 405.
func TestNoRivalTakesTheRequest(t *testing.T) {
	g := newGateway(t, Options{}, upstreamOf("u"), entity(gateway.Route, "a", gateway.RouteBody{Path: "/p", Methods: []string{"GET"}, Upstream: "u",
		Auth: gateway.AuthNone, Match: &gateway.Match{Query: map[string]string{"action": "a"}}}))
	url := serve(t, g)
	for target, want := range map[string]int{"GET /p": 404, "HEAD /p": 404, "GET /p?action=b": 404, "POST /p?action=a": 405, "GET /p?action=a": 503,
		"GET /p?action=a&action=a": 400} {
		method, path, _ := strings.Cut(target, " ")
		if got := do(t, method, url+path, ""); got.Status != want {
			t.Errorf("%s: %d, want %d", target, got.Status, want)
		}
	}
}

func TestShadowedRivals(t *testing.T) {
	body := func(priority int, m gateway.Match) gateway.RouteBody {
		return gateway.RouteBody{Path: "/p/{x}", Upstream: "u", Priority: priority, Match: &m}
	}
	a, header, number := map[string]string{"q": "a"}, map[string]string{"X-H": ""}, map[string]string{"x": gateway.Integer}
	g := newGateway(t, Options{}, upstreamOf("u"), open("plain", "/p/{x}", "u"),
		entity(gateway.Route, "q-a", body(0, gateway.Match{Query: a})), entity(gateway.Route, "q-a-twin", body(0, gateway.Match{Query: a})),
		entity(gateway.Route, "q-b", body(0, gateway.Match{Query: map[string]string{"q": "b"}})),
		entity(gateway.Route, "q-any", body(0, gateway.Match{Query: map[string]string{"q": ""}})),
		entity(gateway.Route, "number", body(1, gateway.Match{Params: number})),
		entity(gateway.Route, "number-a", body(0, gateway.Match{Params: number, Query: a})),
		entity(gateway.Route, "header", body(2, gateway.Match{Headers: header})),
		entity(gateway.Route, "header-a", body(1, gateway.Match{Headers: header, Query: a})))
	if d := cmp.Diff([]string{"header-a", "number-a", "q-a-twin"}, g.Status().Shadowed); d != "" {
		t.Error(d)
	}
}

func randomMatch(random *rand.Rand) *gateway.Match {
	return []*gateway.Match{nil, nil, {Query: map[string]string{"q": ""}}, {Query: map[string]string{"q": "1"}}, {Query: map[string]string{"r": "2", "q": "1"}},
		{Headers: map[string]string{"q": "1"}}, {Headers: map[string]string{"q": fmt.Sprint(random.IntN(3))}, Query: map[string]string{"p": "0"}}}[random.IntN(7)]
}

// No allocation is made for what routes ask, unless an escape wants it.
func TestLookupsDoNotAllocate(t *testing.T) {
	r := rivalRouter(t)
	req := request(t, "PUT /p?x=y&action=a")
	req.Header = http.Header{"X-Target": {"T.a"}, "Content-Type": {"application/json; charset=utf-8"}}
	if n := testing.AllocsPerRun(100, func() { _, _ = r.match(req) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A query is read once, however many routes ask about it.
func TestQueriesAreReadOnce(t *testing.T) {
	routes := map[string]*route{}
	for i := range 200 {
		id := fmt.Sprintf("r%d", i)
		r, err := newRoute(id, gateway.Encode(gateway.RouteBody{Path: "/p", Upstream: "u", Match: &gateway.Match{Query: map[string]string{id: ""}}}))
		if err != nil {
			t.Fatal(err)
		}
		routes[id] = r
	}
	r, req := newRouter(routes), request(t, "GET /p?"+strings.Repeat("%61=1&", 20)+"r7=")
	if found, err := r.match(req); err != nil || found != routes["r7"] {
		t.Errorf("%v, %v", found, err)
	}
	if n := testing.AllocsPerRun(10, func() { _, _ = r.match(req) }); n > 40 {
		t.Errorf("%v allocations", n)
	}
}
