package proxy

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"gwdr/gateway"
)

// router finds the route of a request: for each host a trie of path segments, so that a lookup costs the length of the
// path, however many routes there are. It is never changed once it is built.
//
// The most specific route wins: one of the host before one of any host, then segment by segment text before text mixed
// with parameters (more text first), before a parameter, before a final {name...}; at last one of the method before one of
// any method. Among routes that are equal in all this, the lowest id wins. A route that lacks the method does not match.
type router struct {
	hosts    map[string]*node
	anyHost  *node
	shadowed []string // ids of routes that no request can reach, as another is equal to them
}

// node stands for what the routes below it have in common: their first segments.
type node struct {
	text  map[string]*node
	mixed []mixed // most specific first
	param *node
	ends  choices // routes whose path ends here
	rest  choices // routes whose path goes on with {name...}
}

type mixed struct {
	segment gateway.Segment
	next    *node
}

// choices are the routes of one path, by method; "" is any.
type choices map[string]*route

func newRouter(routes map[string]*route) *router {
	r := &router{hosts: map[string]*node{}, anyHost: &node{}}
	for _, id := range slices.Sorted(maps.Keys(routes)) {
		r.add(routes[id])
	}
	return r
}

func (r *router) add(route *route) {
	roots := []*node{r.anyHost}
	if len(route.hosts) > 0 {
		roots = roots[:0]
	}
	for _, h := range route.hosts {
		if r.hosts[h] == nil {
			r.hosts[h] = &node{}
		}
		roots = append(roots, r.hosts[h])
	}
	added := false
	for _, root := range roots {
		if root.add(route) {
			added = true
		}
	}
	if !added {
		r.shadowed = append(r.shadowed, route.id)
	}
}

func (n *node) add(route *route) (added bool) {
	for _, s := range route.template.Segments {
		n = n.child(s)
	}
	at := &n.ends
	if route.template.Rest {
		at = &n.rest
	}
	if *at == nil {
		*at = choices{}
	}
	for _, m := range route.methods {
		if _, taken := (*at)[m]; !taken {
			(*at)[m] = route
			added = true
		}
	}
	return added
}

// child returns the node that segment s leads to, and makes it if need be.
func (n *node) child(s gateway.Segment) *node {
	if text, ok := s.Literal(); ok {
		if n.text == nil {
			n.text = map[string]*node{}
		}
		if n.text[text] == nil {
			n.text[text] = &node{}
		}
		return n.text[text]
	}
	if len(s) == 2 && s[0] == "" && s[1] == "" {
		if n.param == nil {
			n.param = &node{}
		}
		return n.param
	}
	i, found := slices.BinarySearchFunc(n.mixed, s, func(m mixed, s gateway.Segment) int { return bySpecificity(m.segment, s) })
	if !found {
		n.mixed = slices.Insert(n.mixed, i, mixed{segment: s, next: &node{}})
	}
	return n.mixed[i].next
}

// bySpecificity orders segments: more text first, then by the text.
func bySpecificity(a, b gateway.Segment) int {
	return cmp.Or(cmp.Compare(len(strings.Join(b, "")), len(strings.Join(a, ""))), slices.Compare(a, b))
}

// find returns the route for the decoded path, which begins with a slash; nil means none.
func (r *router) find(host, method, path string) *route {
	if n := r.hosts[host]; n != nil {
		if route := n.find(path[1:], method); route != nil {
			return route
		}
	}
	return r.anyHost.find(path[1:], method)
}

// find follows the first segment of path, most specific child first, and comes back if that leads nowhere.
func (n *node) find(path, method string) *route {
	segment, tail, more := strings.Cut(path, "/")
	if next := n.text[segment]; next != nil {
		if route := next.follow(tail, more, method); route != nil {
			return route
		}
	}
	for _, m := range n.mixed {
		if m.segment.Match(segment) {
			if route := m.next.follow(tail, more, method); route != nil {
				return route
			}
		}
	}
	if n.param != nil && segment != "" {
		if route := n.param.follow(tail, more, method); route != nil {
			return route
		}
	}
	return n.rest.pick(method)
}

func (n *node) follow(tail string, more bool, method string) *route {
	if more {
		return n.find(tail, method)
	}
	return n.ends.pick(method)
}

// pick prefers the method to any method; a HEAD is also served where a GET is.
func (c choices) pick(method string) *route {
	if len(c) == 0 {
		return nil
	}
	if route := c[method]; route != nil {
		return route
	}
	if method == "HEAD" && c["GET"] != nil {
		return c["GET"]
	}
	return c[""]
}

// methods returns, sorted, what could be asked of the path with another method; none means that nothing is there.
func (r *router) methods(host, path string) []string {
	found := map[string]bool{}
	if n := r.hosts[host]; n != nil {
		n.methods(path[1:], found)
	}
	r.anyHost.methods(path[1:], found)
	return slices.Sorted(maps.Keys(found))
}

func (n *node) methods(path string, found map[string]bool) {
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
		} else {
			maps.Insert(found, c.ends.names())
		}
	}
	maps.Insert(found, n.rest.names())
}

func (c choices) names() func(yield func(string, bool) bool) {
	return func(yield func(string, bool) bool) {
		for m := range c {
			if !yield(m, true) {
				return
			}
		}
	}
}
