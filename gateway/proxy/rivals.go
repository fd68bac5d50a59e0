package proxy

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
)

// rivals are the routes of one path and method, the best first. Those that ask for more are found by what the request has of it, so
// that a lookup costs the same for 2 as for 10,000 of them.
type rivals struct {
	plain  []*route // that ask for nothing more
	asking *asking  // nil: none does
}

// asking are routes by what they look at, which few differ in.
type asking struct {
	shapes []shape
	owner  *edition
}

// shape stands for routes that look at the same things, by the values that they want there.
type shape struct {
	looks  []look
	routes map[string][]*route
}

// best returns the route that the request leads to, or nil.
func (r rivals) best(a *ask) (best *route) {
	if len(r.plain) > 0 {
		best = r.plain[0]
	}
	if r.asking == nil {
		return best
	}
	for i := range r.asking.shapes {
		if found := r.asking.shapes[i].find(a); found != nil && (best == nil || compareRivals(found, best) < 0) {
			best = found
		}
	}
	return best
}

func (s *shape) find(a *ask) *route {
	var room [128]byte
	key := room[:0]
	for _, l := range s.looks {
		value, there := l.at(a)
		if !there {
			return nil
		}
		key = l.appendValue(key, value)
	}
	if equals := s.routes[string(key)]; len(equals) > 0 {
		return equals[0]
	}
	return nil
}

// appendValue appends a value that counts to the key of routes that want it.
func (l look) appendValue(key []byte, value string) []byte {
	if !l.exact {
		return key
	}
	return append(binary.AppendUvarint(key, uint64(len(value))), value...)
}

// compareRivals orders routes of the same host, path and method: the better one first.
func compareRivals(a, b *route) int {
	return cmp.Or(cmp.Compare(b.priority, a.priority), cmp.Compare(len(b.conditions), len(a.conditions)),
		cmp.Compare(b.exact(), a.exact()), cmp.Compare(a.id, b.id))
}

func (r rivals) isEmpty() bool { return len(r.plain) == 0 && r.asking == nil }

// with returns the rivals and the route. What does not belong to the edition is not changed.
func (r rivals) with(route *route, own *edition) rivals {
	if len(route.conditions) == 0 {
		r.plain = insert(r.plain, route)
		return r
	}
	r.asking = r.asking.writable(own)
	s, key := r.asking.shapeOf(route), route.values()
	s.routes[key] = insert(s.routes[key], route)
	return r
}

// without returns the rivals without the route, which is one of them.
func (r rivals) without(route *route, own *edition) rivals {
	if len(route.conditions) == 0 {
		r.plain = drop(r.plain, route)
		return r
	}
	r.asking = r.asking.writable(own)
	s, key := r.asking.shapeOf(route), route.values()
	if s.routes[key] = drop(s.routes[key], route); len(s.routes[key]) == 0 {
		delete(s.routes, key)
	}
	r.asking.shapes = slices.DeleteFunc(r.asking.shapes, func(s shape) bool { return len(s.routes) == 0 })
	if len(r.asking.shapes) == 0 {
		r.asking = nil
	}
	return r
}

// writable returns the edition's own copy.
func (a *asking) writable(own *edition) *asking {
	switch {
	case a == nil:
		return &asking{owner: own}
	case a.owner == own:
		return a
	}
	copied := &asking{shapes: slices.Clone(a.shapes), owner: own}
	for i := range copied.shapes {
		copied.shapes[i].routes = maps.Clone(copied.shapes[i].routes)
	}
	return copied
}

// shapeOf returns the shape that the route belongs to.
func (a *asking) shapeOf(r *route) *shape {
	i := slices.IndexFunc(a.shapes, func(s shape) bool {
		return slices.EqualFunc(s.looks, r.conditions, func(l look, c condition) bool { return l == c.look })
	})
	if i < 0 {
		i = len(a.shapes)
		a.shapes = append(a.shapes, shape{looks: r.looks(), routes: map[string][]*route{}})
	}
	return &a.shapes[i]
}

func insert(routes []*route, r *route) []*route {
	i, _ := slices.BinarySearchFunc(routes, r, compareRivals)
	return slices.Insert(slices.Clone(routes), i, r)
}

func drop(routes []*route, gone *route) []*route {
	return slices.DeleteFunc(slices.Clone(routes), func(r *route) bool { return r == gone })
}
