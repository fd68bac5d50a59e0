package proxy

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"gwdr/gateway"
)

// routerEdit is a router in the making. It copies a node of the router it began with before it changes it, once, so that
// one route among 10,000 costs little, and 10,000 at once no more than they must.
type routerEdit struct {
	router *router
	own    *edition
}

// edition marks the nodes that belong to one routerEdit.
type edition struct{ _ byte }

func (r *router) edit() *routerEdit {
	return &routerEdit{router: &router{hosts: clone(r.hosts), below: clone(r.below), anyHost: r.anyHost}, own: &edition{}}
}

// places are the hosts of the route, and its wildcards; "" is any.
func (r *route) places() []string {
	if len(r.hosts) == 0 {
		return []string{""}
	}
	return r.hosts
}

func (e *routerEdit) add(route *route) {
	for _, place := range route.places() {
		e.put(place, e.insert(e.router.trie(place), route, route.template.Segments))
	}
}

func (e *routerEdit) remove(route *route) {
	for _, place := range route.places() {
		e.put(place, e.cut(e.router.trie(place), route, route.template.Segments))
	}
}

// put has n serve the place; nothing does if it is nil.
func (e *routerEdit) put(place string, n *node) {
	if place == "" {
		e.router.anyHost = n
		return
	}
	tries, name := e.router.hosts, place
	if below, ok := strings.CutPrefix(place, "*."); ok {
		tries, name = e.router.below, "."+below
	}
	tries[name] = n
	if n == nil {
		delete(tries, name)
	}
}

// insert returns n with the route, of which path is still to go.
func (e *routerEdit) insert(n *node, route *route, path []gateway.Segment) *node {
	n = e.writable(n)
	if len(path) > 0 {
		n.setChild(path[0], e.insert(n.child(path[0]), route, path[1:]))
		return n
	}
	at := n.choices(route)
	if *at == nil {
		*at = choices{}
	}
	for _, m := range route.methods {
		(*at)[m] = (*at)[m].with(route, e.own)
	}
	return n
}

// cut returns n without the route, or nil if nothing is left.
func (e *routerEdit) cut(n *node, route *route, path []gateway.Segment) *node {
	n = e.writable(n)
	if len(path) > 0 {
		n.setChild(path[0], e.cut(n.child(path[0]), route, path[1:]))
	} else {
		for _, m := range route.methods {
			n.choices(route).remove(m, route, e.own)
		}
	}
	if len(n.text) == 0 && len(n.mixed) == 0 && n.param == nil && len(n.ends) == 0 && len(n.rest) == 0 {
		return nil
	}
	return n
}

func (c choices) remove(method string, gone *route, own *edition) {
	if c[method] = c[method].without(gone, own); c[method].isEmpty() {
		delete(c, method)
	}
}

// writable returns the edit's own copy of n.
func (e *routerEdit) writable(n *node) *node {
	if n == nil {
		return &node{owner: e.own}
	}
	if n.owner == e.own {
		return n
	}
	return &node{text: maps.Clone(n.text), mixed: slices.Clone(n.mixed), param: n.param, ends: maps.Clone(n.ends),
		rest: maps.Clone(n.rest), owner: e.own}
}

func (n *node) choices(route *route) *choices {
	if route.template.Rest {
		return &n.rest
	}
	return &n.ends
}

// child returns the node that segment s leads to, or nil.
func (n *node) child(s gateway.Segment) *node {
	if text, ok := s.Literal(); ok {
		return n.text[text]
	}
	if isParam(s) {
		return n.param
	}
	if i, found := n.findMixed(s); found {
		return n.mixed[i].next
	}
	return nil
}

// setChild makes segment s lead to next, or nowhere if that is nil.
func (n *node) setChild(s gateway.Segment, next *node) {
	if text, ok := s.Literal(); ok {
		if n.text == nil {
			n.text = map[string]*node{}
		}
		n.text[text] = next
		if next == nil {
			delete(n.text, text)
		}
		return
	}
	if isParam(s) {
		n.param = next
		return
	}
	i, found := n.findMixed(s)
	switch {
	case found && next == nil:
		n.mixed = slices.Delete(n.mixed, i, i+1)
	case found:
		n.mixed[i].next = next
	case next != nil:
		n.mixed = slices.Insert(n.mixed, i, mixed{segment: s, next: next})
	}
}

func (n *node) findMixed(s gateway.Segment) (int, bool) {
	return slices.BinarySearchFunc(n.mixed, s, func(m mixed, s gateway.Segment) int { return bySpecificity(m.segment, s) })
}

func isParam(s gateway.Segment) bool { return len(s) == 2 && s[0] == "" && s[1] == "" }

// bySpecificity orders segments: more text first, then by the text.
func bySpecificity(a, b gateway.Segment) int {
	return cmp.Or(cmp.Compare(len(strings.Join(b, "")), len(strings.Join(a, ""))), slices.Compare(a, b))
}
