package proxy

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"gwdr/gateway"
)

// router finds the route of a request: for each host a trie of path segments, so that a lookup costs the length of the
// path, however many routes there are. It is never changed; edit makes another one.
//
// The most specific route wins: one of the host before one of a wildcard (the longest first) before one of any host, then
// segment by segment text before text mixed with parameters (more text first), before a parameter, before a final {name...};
// then one of the method before one of any method, then a higher priority, then more conditions on the request, then more of
// them on a value; at last the lowest id. A route that lacks the method, or asks for what the request has not, does not match.
type router struct {
	hosts   map[string]*node
	below   map[string]*node // wildcards, by what follows the star: ".example.com"
	anyHost *node
}

// node stands for what the routes below it have in common: their first segments.
type node struct {
	text  map[string]*node
	mixed []mixed // most specific first
	param *node
	ends  choices // routes whose path ends here
	rest  choices // routes whose path goes on with {name...}
	owner *edition
}

type mixed struct {
	segment gateway.Segment
	next    *node
}

// choices are the routes of one path, by method; "" is any.
type choices map[string]rivals

// find returns the route for the decoded path, which begins with a slash; nil means none.
func (r *router) find(a *ask, host, path string) *route {
	a.path = path
	if route := r.hosts[host].find(path[1:], a); route != nil {
		return route
	}
	for above := r.parent(host); above != ""; above = r.parent(above) {
		if route := r.below[above].find(path[1:], a); route != nil {
			return route
		}
	}
	return r.anyHost.find(path[1:], a)
}

// longestHost is the most bytes that a host name can have (RFC 1035, section 2.3.4); a longer one is below nothing.
const longestHost = 253

// parent returns what a wildcard above the host ends with: ".example.com" for both shop.example.com and .shop.example.com. It is
// empty at the top, or if there are no wildcards.
func (r *router) parent(host string) string {
	if len(r.below) == 0 || len(host) > longestHost || host == "" {
		return ""
	}
	if i := strings.IndexByte(host[1:], '.'); i >= 0 {
		return host[1+i:]
	}
	return ""
}

// trie is what serves the place: a host, a wildcard, or "" for any.
func (r *router) trie(place string) *node {
	if place == "" {
		return r.anyHost
	}
	if below, ok := strings.CutPrefix(place, "*."); ok {
		return r.below["."+below]
	}
	return r.hosts[place]
}

// find follows the first segment of path, most specific child first, and comes back if that leads nowhere.
func (n *node) find(path string, a *ask) *route {
	if n == nil {
		return nil
	}
	segment, tail, more := strings.Cut(path, "/")
	if next := n.text[segment]; next != nil {
		if route := next.follow(tail, more, a); route != nil {
			return route
		}
	}
	for _, m := range n.mixed {
		if m.segment.Match(segment) {
			if route := m.next.follow(tail, more, a); route != nil {
				return route
			}
		}
	}
	if n.param != nil && segment != "" {
		if route := n.param.follow(tail, more, a); route != nil {
			return route
		}
	}
	return n.rest.pick(a)
}

func (n *node) follow(tail string, more bool, a *ask) *route {
	if more {
		return n.find(tail, a)
	}
	return n.ends.pick(a)
}

// pick prefers the method to any method; a HEAD is also served where a GET is. A TRACE, whose answer shows the credentials that it came
// with (RFC 9110, section 9.3.8), is served by name only.
func (c choices) pick(a *ask) *route {
	if len(c) == 0 {
		return nil
	}
	route := c[a.Method].best(a)
	if route == nil && a.Method == "HEAD" {
		route = c["GET"].best(a)
	}
	if route == nil && a.Method != http.MethodTrace {
		route = c[""].best(a)
	}
	return route
}

// methods returns, sorted, what could be asked of the path with another method; none means that nothing is there.
func (r *router) methods(host, path string) []string {
	found := map[string]bool{}
	r.hosts[host].methods(path[1:], found)
	for above := r.parent(host); above != ""; above = r.parent(above) {
		r.below[above].methods(path[1:], found)
	}
	r.anyHost.methods(path[1:], found)
	return slices.Sorted(maps.Keys(found))
}

// takes reports whether the method is among those of methods.
func takes(methods []string, method string) bool {
	return slices.Contains(methods, method) || slices.Contains(methods, "") && method != http.MethodTrace ||
		method == "HEAD" && slices.Contains(methods, "GET")
}

// allow is what the Allow header says of those of methods. Any method means the usual ones: there is no word for it.
func allow(methods []string) string {
	if methods[0] == "" {
		methods = append(methods[1:], "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
		slices.Sort(methods)
		methods = slices.Compact(methods)
	}
	return strings.Join(methods, ", ")
}

func (n *node) methods(path string, found map[string]bool) {
	if n == nil {
		return
	}
	segment, tail, more := strings.Cut(path, "/")
	var next []*node
	if c := n.text[segment]; c != nil {
		next = append(next, c)
	}
	for _, m := range n.mixed {
		if m.segment.Match(segment) {
			next = append(next, m.next)
		}
	}
	if n.param != nil && segment != "" {
		next = append(next, n.param)
	}
	for _, c := range next {
		if more {
			c.methods(tail, found)
			continue
		}
		for m := range c.ends {
			found[m] = true
		}
	}
	for m := range n.rest {
		found[m] = true
	}
}

// shadows reports whether no request reaches the route, as another one equals it wherever it could be reached.
func (r *router) shadows(route *route) bool {
	least := route.least()
	for _, place := range route.places() {
		n := r.trie(place)
		for _, s := range route.template.Segments {
			n = n.child(s)
		}
		for _, m := range route.methods {
			if (*n.choices(route))[m].best(least) == route {
				return false
			}
		}
	}
	return true
}
