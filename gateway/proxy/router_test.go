package proxy

import (
	"bufio"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gwdr/gateway"
)

// routerOf builds a router from lines "id [METHOD[,METHOD]] [host]/path".
func routerOf(t testing.TB, lines ...string) *router {
	t.Helper()
	routes := map[string]*route{}
	for _, line := range lines {
		fields := strings.Fields(line)
		body := gateway.RouteBody{Upstream: "x", Path: fields[len(fields)-1]}
		if host, path, ok := strings.Cut(body.Path, "/"); ok && host != "" {
			body.Hosts, body.Path = []string{host}, "/"+path
		}
		if len(fields) == 3 {
			body.Methods = strings.Split(fields[1], ",")
		}
		r, err := newRoute(fields[0], gateway.Encode(body))
		if err != nil {
			t.Fatal(err)
		}
		routes[fields[0]] = r
	}
	return newRouter(routes)
}

func newRouter(routes map[string]*route) *router {
	edit := (&router{}).edit()
	for _, r := range routes {
		edit.add(r)
	}
	return edit.router
}

func request(t testing.TB, line string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(line + " HTTP/1.1\r\nHost: h.example:8080\r\n\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// answer is the id of the route that a request line leads to, "-" for none, "!" for a refused path.
func answer(t testing.TB, r *router, line string) string {
	found, err := r.match(request(t, line))
	switch {
	case err != nil:
		return "!"
	case found == nil:
		return "-"
	}
	return found.id
}

func TestMostSpecificRouteWins(t *testing.T) {
	r := routerOf(t,
		"root /",
		"orders GET /orders", "order GET /orders/{id}", "order-new /orders/new", "order-put PUT /orders/{id}",
		"order-json GET /orders/{id}.json", "order-v GET /orders/v{n}.json", "order-cancel POST /orders/{id}:cancel",
		"item GET /orders/{id}/items/{item}", "export GET /orders/export/{kind}/all", "deep GET /orders/{id}/{x}/{y}",
		"files GET /files/{path...}", "file-index GET /files/", "file-a GET /files/a",
		"host h.example/orders/{id}/here", "other other.example/orders/{id}",
		"twin-b GET /twins/{b}", "twin-a GET /twins/{a}",
		"any /any/{x}", "any-get GET /any/{y}",
		"space /a%20b/{x}",
	)
	for line, want := range map[string]string{
		"GET /":                              "root",
		"GET /orders":                        "orders",
		"HEAD /orders":                       "orders",
		"GET /orders/":                       "-",
		"GET /orders/7":                      "order",
		"PUT /orders/7":                      "order-put",
		"GET /orders/new":                    "order-new",
		"PUT /orders/new":                    "order-new",
		"GET /orders/7.json":                 "order-json",
		"GET /orders/v7.json":                "order-v",
		"GET /orders/v.json":                 "order-json",
		"POST /orders/7:cancel":              "order-cancel",
		"POST /orders/7":                     "-",
		"GET /orders/7:cancel":               "order",
		"GET /orders/7/items/8":              "item",
		"GET /orders/export/pdf/all":         "export",
		"GET /orders/export/pdf/some":        "deep",
		"GET /orders/export/items/8":         "item",
		"GET /files":                         "-",
		"GET /files/":                        "file-index",
		"GET /files/a":                       "file-a",
		"GET /files/a/b":                     "files",
		"GET /files/b/c/":                    "files",
		"GET /orders/7/here":                 "host",
		"GET http://OTHER.example./orders/7": "other",
		"GET http://third.example/orders/7":  "order",
		"GET /twins/1":                       "twin-a",
		"GET /any/1":                         "any-get",
		"POST /any/1":                        "any",
		"GET /Orders":                        "-",
		"GET /a%20b/c":                       "space",
	} {
		if got := answer(t, r, line); got != want {
			t.Errorf("%s leads to %s, want %s", line, got, want)
		}
	}
}

// TestAmbiguousHostsAreRefused: nobody gets to a host by a name that is none for the gateway, and one for a server behind it.
func TestAmbiguousHostsAreRefused(t *testing.T) {
	g := newGateway(t, Options{}, upstreamOf("u", backend(t, "u").URL), open("any", "/{x...}", "u"),
		entity(gateway.Route, "admin", gateway.RouteBody{Hosts: []string{"admin.example"}, Path: "/{x...}", Upstream: "u"}))
	for host, want := range map[string]int{
		"admin.example": 401, "ADMIN.example.:80": 401, "admin.example:": 401,
		"admin.example:x:80": 400, "admin.example:80:80": 400, "admin.example:x": 400, "admin.example..": 400, "admin.example..:80": 400,
		"admin.example,x": 400, "admin%2eexample": 400, "admin.example;x": 400, "x@admin.example": 400, "[::1": 400, "[admin.example]": 400,
		"[::1]": 200, "[::1]:80": 200, "127.0.0.1:80": 200, "a_b-c.example": 200, "": 200,
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = host
		g.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%q: %d, want %d", host, w.Code, want)
		}
	}
}

// TestWildcardHosts: a name before a wildcard, the longest wildcard first, any host last; whoever has no route for the path leaves
// it to the next.
func TestWildcardHosts(t *testing.T) {
	r := routerOf(t, "any /{x...}", "all *.example/{x...}", "shops *.shop.example/{x}", "one a.shop.example/a", "apex shop.example/{x}",
		"star *.star.example/{x...}", "put PUT *.shop.example/a")
	for line, want := range map[string]string{
		"a.shop.example/a":                      "one",
		"A.Shop.Example.:8080/b":                "shops",
		"a.shop.example/b/c":                    "all",
		"b.shop.example/a":                      "shops",
		"x.y.shop.example/a":                    "shops",
		"shop.example/a":                        "apex",
		"other.example/a":                       "all",
		"example/a":                             "any",
		"xshop.example/a":                       "all",
		"notexample/a":                          "any",
		".example/a":                            "any",
		"*.star.example/a":                      "star", // what is asked to try a route of a wildcard
		"[::1]:80/a":                            "any",
		strings.Repeat("a.", 130) + "example/a": "any", // no name is so long
	} {
		if got := answer(t, r, "GET http://"+line); got != want {
			t.Errorf("%s leads to %s, want %s", line, got, want)
		}
	}
	if got := strings.Join(r.methods("x.shop.example", "/a"), " "); got != " PUT" {
		t.Errorf("methods are %q", got)
	}
}

func TestNoPathReachesARouteThatItDoesNotName(t *testing.T) {
	r := routerOf(t, "public /public/{rest...}", "admin /admin/{rest...}", "order /orders/{id}", "secret /orders/a/secret",
		"home /home", "apis /v1/{rest...}", "at /at(path='{p}')")
	for line, want := range map[string]string{
		"GET /public/a":                            "public",
		"GET /public/../admin/x":                   "!",
		"GET /public/%2e%2e/admin/x":               "!",
		"GET /public/.%2E/admin/x":                 "!",
		"GET /public/..%2fadmin/x":                 "!",
		"GET /public/%2e%2e%2fadmin/x":             "!",
		"GET /public/%252e%252e/admin/x":           "!",
		"GET /public/%25252e%25252e%25252fad":      "!",
		`GET /public/..\admin\x`:                   "!",
		"GET /public/..%5cadmin":                   "!",
		"GET /public/..;/admin/x":                  "!",
		"GET /public/..;a=b/admin/x":               "!",
		"GET /public/./a":                          "!",
		"GET /public/.":                            "!",
		"GET /public/a%00":                         "!",
		"GET /public/%c0%ae%c0%ae/admin":           "!",
		"GET //admin/x":                            "!",
		"GET /public//a":                           "public",
		"GET /public/http://a.example/":            "public",
		"GET /public/...":                          "public",
		"GET /public/.well-known/x":                "public",
		"GET /public/a;v=1/b":                      "public",
		"GET /admin;x/y":                           "!",
		"GET /orders/a%2Fsecret":                   "!",
		"GET /orders/a%2Fb":                        "!",
		"GET /orders%2Fa":                          "!",
		"GET /orders/a%252Fsecret":                 "!",
		`GET /orders/a\secret`:                     "!",
		"GET /orders/100%25":                       "order",
		"GET /orders/why%3F":                       "order",
		"GET /orders/%23":                          "!",
		"GET /home%3Fx":                            "!",
		"GET /home%23x":                            "!",
		"GET /home#x":                              "!",
		"GET /home%253Fx":                          "!",
		"GET /orders/%F0%9F%92%A1":                 "order",
		"GET /%68ome":                              "home",
		"GET /home/":                               "-",
		"GET /home//":                              "-",
		"GET /v1/route/GET%20%2Forders%2F%7Bid%7D": "apis",
		"GET /v1/route/a%2F..%2Fb":                 "!",
		"OPTIONS *":                                "!",
	} {
		if got := answer(t, r, line); got != want {
			t.Errorf("%s leads to %s, want %s", line, got, want)
		}
	}
}

func TestShadowedRoutes(t *testing.T) {
	g := newGateway(t, Options{}, upstreamOf("u"), open("a", "/x/{a}", "u"), open("b", "/x/{b}", "u"), open("c", "/x/{c}/", "u"),
		entity(gateway.Route, "d", gateway.RouteBody{Path: "/x/{d}", Methods: []string{"GET"}, Upstream: "u"}),
		entity(gateway.Route, "e", gateway.RouteBody{Path: "/x/{e}", Methods: []string{"GET", "PUT"}, Upstream: "u"}),
		entity(gateway.Route, "f", gateway.RouteBody{Path: "/x/{f}", Methods: []string{"GET"}, Hosts: []string{"h"}, Upstream: "u"}),
		entity(gateway.Route, "g", gateway.RouteBody{Path: "/x/{g}", Methods: []string{"GET"}, Upstream: "u"}))
	if d := cmp.Diff([]string{"b", "g"}, g.Status().Shadowed); d != "" {
		t.Error(d)
	}
}

// TestRouterEdits takes routes in and out in any order: each edit must be as if it was built anew, and leave the router it
// began with as it was.
func TestRouterEdits(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	segments := []string{"a", "b", "{x}", "{y}", "v{x}", "{x}.json", "", "{r...}"}
	r, routes := &router{}, map[string]*route{}
	for i := range 400 {
		before, answers := r, answersOf(r, routes)
		beforeRoutes := maps.Clone(routes)
		edit := r.edit()
		for range 1 + random.IntN(3) {
			id := fmt.Sprint(random.IntN(12))
			if old := routes[id]; old != nil {
				edit.remove(old)
				delete(routes, id)
			}
			body := gateway.RouteBody{Upstream: "u", Methods: [][]string{nil, {"GET"}, {"POST", "GET"}}[random.IntN(3)],
				Hosts: [][]string{nil, nil, {"h", "*.s.t"}, {"h", "i", "*.t"}}[random.IntN(4)], Match: randomMatch(random), Priority: random.IntN(2)}
			for range 1 + random.IntN(3) {
				body.Path += "/" + segments[random.IntN(len(segments))]
			}
			if added, err := newRoute(id, gateway.Encode(body)); err == nil && random.IntN(3) > 0 {
				edit.add(added)
				routes[id] = added
			}
		}
		r = edit.router
		if d := cmp.Diff(answersOf(newRouter(routes), routes), answersOf(r, routes)); d != "" {
			t.Fatalf("edit %d: %s", i, d)
		}
		if d := cmp.Diff(answers, answersOf(before, beforeRoutes)); d != "" {
			t.Fatalf("edit %d altered the router before it: %s", i, d)
		}
	}
	edit := r.edit()
	for _, route := range routes {
		edit.remove(route)
	}
	if edit.router.anyHost != nil || len(edit.router.hosts)+len(edit.router.below) > 0 {
		t.Error("nodes are left although all routes are gone")
	}
}

func answersOf(r *router, routes map[string]*route) map[string]string {
	answers := map[string]string{}
	for _, path := range []string{"/", "/a", "/b", "/c", "/v1", "/v1.json", "/a/", "/a/b", "/c/b", "/c/v1", "/a/c/b", "/c/c/c.json", "/a//"} {
		for _, where := range []string{"h GET", "i POST", "j GET", "j PUT", "r.s.t GET", "s.t POST"} {
			host, method, _ := strings.Cut(where, " ")
			answers[host+path] = strings.Join(r.methods(host, path), ",")
			for _, query := range []string{"", "q", "q=1&r=2", "p=0"} {
				a := &ask{Request: &http.Request{Method: method, URL: &url.URL{Path: path, RawQuery: query}, Header: http.Header{"Q": {"1"}}}}
				found := r.find(a, host, path)
				if found != nil {
					answers[where+path+query] = found.id
				}
				if found != slowFind(routes, a.Request, host) {
					answers[where+path+query] = "is not the best"
				}
			}
		}
	}
	return answers
}

func TestMethodsOfAPath(t *testing.T) {
	r := routerOf(t, "a GET,HEAD /orders/{id}", "b PUT /orders/7", "c POST h.example/orders/{id}", "d DELETE /orders/{rest...}")
	for path, want := range map[string]string{"/orders/7": "DELETE GET HEAD POST PUT", "/orders/8": "DELETE GET HEAD POST", "/x": ""} {
		if got := strings.Join(r.methods("h.example", path), " "); got != want {
			t.Errorf("%s takes %q, want %q", path, got, want)
		}
	}
}

// slowFind looks at every route: the definition that the router must agree with.
func slowFind(routes map[string]*route, req *http.Request, host string) *route {
	var best *route
	for _, id := range slices.Sorted(maps.Keys(routes)) {
		r := routes[id]
		if matchesSlowly(r, req, host) && (best == nil || better(r, best, host, req.Method)) {
			best = r
		}
	}
	return best
}

func matchesSlowly(r *route, req *http.Request, host string) bool {
	if placeRank(r, host) < 0 {
		return false
	}
	if !slices.Contains(r.methods, req.Method) && !slices.Contains(r.methods, "") {
		return false
	}
	segments := strings.Split(req.URL.Path[1:], "/")
	n := len(r.template.Segments)
	if len(segments) < n || (len(segments) == n) == r.template.Rest {
		return false
	}
	for i, s := range r.template.Segments {
		if !s.Match(segments[i]) {
			return false
		}
	}
	return !slices.ContainsFunc(r.conditions, func(c condition) bool { return !c.holds(req, segments) })
}

func (c condition) holds(req *http.Request, segments []string) bool {
	switch c.in {
	case inParam:
		return gateway.HasForm(c.form, segments[c.param])
	case inHeader:
		return req.Header[c.name] != nil && (c.value == "" || slices.Equal(req.Header[c.name], []string{c.value}))
	}
	query := req.URL.Query()
	return query[c.name] != nil && (c.value == "" || slices.Equal(query[c.name], []string{c.value}))
}

// placeRank is how well the route's hosts fit: -1 not at all, 0 as any does.
func placeRank(r *route, host string) int {
	best := -1
	for _, place := range r.places() {
		below, wild := strings.CutPrefix(place, "*")
		switch {
		case place == "":
			best = max(best, 0)
		case place == host:
			best = 1000
		case wild && strings.HasSuffix(host, below) && len(host) > len(below) && len(host) <= longestHost:
			best = max(best, len(below))
		}
	}
	return best
}

func better(a, b *route, host, method string) bool {
	if x, y := placeRank(a, host), placeRank(b, host); x != y {
		return x > y
	}
	for i := range max(len(a.template.Segments), len(b.template.Segments)) {
		x, y := rankAt(a, i), rankAt(b, i)
		if c := slices.Compare(x[:2], y[:2]); c != 0 {
			return c < 0
		}
		if x[0] == "1" {
			if c := bySpecificity(a.template.Segments[i], b.template.Segments[i]); c != 0 {
				return c < 0
			}
		}
	}
	if x, y := slices.Contains(a.methods, method), slices.Contains(b.methods, method); x != y {
		return x
	}
	return compareRivals(a, b) < 0
}

// rankAt orders text, mixed, parameter, rest.
func rankAt(r *route, i int) []string {
	if i >= len(r.template.Segments) {
		return []string{"3", ""}
	}
	s := r.template.Segments[i]
	if _, text := s.Literal(); text {
		return []string{"0", ""}
	}
	if len(s) == 2 && s[0]+s[1] == "" {
		return []string{"2", ""}
	}
	return []string{"1", ""}
}

func FuzzRouter(f *testing.F) {
	f.Add("/a/{x}\n/a/b\n/{y}/b\n/{z...}", "/a/b")
	f.Add("/{x}.json\n/v{x}.json\n/{x}\n/v{a}{b}", "/v1.json")
	f.Add("/public/{r...}\n/admin", "/public/..%2f/admin")
	f.Add("/a//b\n/a/{x}/b\n/a/{r...}", "/a//b")
	f.Add("/a\n/a\n/a\n/a\n/a", "/a?q=1&q=%31")
	f.Fuzz(func(t *testing.T, paths, target string) {
		routes := map[string]*route{}
		for i, path := range strings.Split(paths, "\n") {
			body := gateway.RouteBody{Upstream: "x", Path: path, Methods: [][]string{nil, {"GET"}, {"POST"}}[i%3], Priority: i % 4 / 3}
			if i%2 == 1 {
				body.Match = &gateway.Match{Query: map[string]string{"q": []string{"", "1"}[i%4/2]}, Headers: map[string]string{"Host-Of": "x"}}
			}
			if i%5 == 4 {
				body.Hosts = []string{"h.example"}
			}
			if r, err := newRoute(fmt.Sprintf("%03d", i), gateway.Encode(body)); err == nil {
				routes[r.id] = r
			}
		}
		req, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + target + " HTTP/1.1\r\nHost: h.example\r\nHost-Of: x\r\n\r\n")))
		if err != nil {
			return
		}
		found, err := newRouter(routes).match(req)
		if err != nil {
			return
		}
		want := slowFind(routes, req, hostName(req.Host))
		if found != want {
			t.Fatalf("%q leads to %+v, want %+v", target, found, want)
		}
		for _, s := range strings.FieldsFunc(req.URL.Path, func(c rune) bool { return c == '/' || c == '\\' }) {
			if s == ".." || s == "." {
				t.Fatalf("%q passes with a dot segment", target)
			}
		}
	})
}

// TestMethodsThatAreNotAny: TRACE reflects credentials, and CONNECT is for forward proxies; who wants any method wants neither.
func TestMethodsThatAreNotAny(t *testing.T) {
	taking := func(methods ...string) gateway.Entity {
		path := "/" + strings.ToLower(methods[0])
		return entity(gateway.Route, methods[0], gateway.RouteBody{Path: path, Methods: methods, Upstream: "u", Auth: gateway.AuthNone})
	}
	url := serve(t, newGateway(t, Options{}, upstreamOf("u", backend(t, "u").URL), open("any", "/{rest...}", "u"), taking("POST", "LOCK"),
		taking("TRACE")))
	for line, want := range map[string]int{"GET /": 200, "PURGE /": 200, "TRACE /": 405, "TRACE /post": 405, "TRACE /trace": 200, "CONNECT /": 400,
		"CONNECT /trace": 400} {
		method, path, _ := strings.Cut(line, " ")
		got := do(t, method, url+path, "")
		if got.Status != want {
			t.Errorf("%s: %d, want %d", line, got.Status, want)
		}
	}
	if got := do(t, "TRACE", url+"/post", "").Header.Get("Allow"); got != "DELETE, GET, HEAD, LOCK, OPTIONS, PATCH, POST, PUT" {
		t.Errorf("allows %s", got)
	}
}
