package proxy

import (
	"cmp"
	"errors"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"gwdr/gateway"
)

// errUnclear is returned for a request of which two servers may not read the same in what its route depends on.
var errUnclear = errors.New("a header or query parameter that decides on the route is there twice, or the query cannot be read")

// condition is one thing that a route asks of a request beside host, method and path.
type condition struct {
	look
	value string // of the header or query parameter, if it is exact
}

// look is where a condition looks.
type look struct {
	in    string // one of those below
	name  string // of the header or query parameter
	param int    // index of the segment
	form  string // of the segment
	exact bool   // the value counts, not only that there is one
}

const (
	inHeader = "header"
	inQuery  = "query"
	inParam  = "param"
)

// ask is a request on its way through the router.
type ask struct {
	*http.Request
	path    string // its path as it is read
	unclear bool   // it has two values for what a route asks about
	query   query
}

// newConditions returns, in order, what the body of a route asks for.
func newConditions(b *gateway.RouteBody) (all []condition) {
	if b.Match == nil {
		return nil
	}
	for name, value := range b.Match.Headers {
		name = textproto.CanonicalMIMEHeaderKey(name)
		if name == contentType {
			value = strings.ToLower(value)
		}
		all = append(all, condition{look{in: inHeader, name: name, exact: value != ""}, value})
	}
	for name, value := range b.Match.Query {
		all = append(all, condition{look{in: inQuery, name: name, exact: value != ""}, value})
	}
	for name, form := range b.Match.Params {
		index, _ := gateway.ParamSegment(b.Path, name)
		all = append(all, condition{look: look{in: inParam, param: index, form: form}})
	}
	slices.SortFunc(all, func(a, b condition) int {
		return cmp.Or(cmp.Compare(a.in, b.in), cmp.Compare(a.name, b.name), cmp.Compare(a.param, b.param))
	})
	return all
}

// exact is how many of the route's conditions are on a value, be it only its form.
func (r *route) exact() (n int) {
	for _, c := range r.conditions {
		if c.exact || c.in == inParam {
			n++
		}
	}
	return n
}

func (r *route) looks() (looks []look) {
	for _, c := range r.conditions {
		looks = append(looks, c.look)
	}
	return looks
}

// values is the key of the route among those of its shape.
func (r *route) values() string {
	var key []byte
	for _, c := range r.conditions {
		key = c.appendValue(key, c.value)
	}
	return string(key)
}

// at returns what the request has there. Where it has two values of which only one can be meant, it has none.
func (l look) at(a *ask) (value string, there bool) {
	switch l.in {
	case inHeader:
		return a.header(l)
	case inQuery:
		return a.parameter(l)
	}
	return "", gateway.HasForm(l.form, a.segment(l.param))
}

const contentType = "Content-Type"

func (a *ask) header(l look) (value string, there bool) {
	values := a.Header[l.name]
	if len(values) > 1 && l.exact {
		a.unclear = true
		return "", false
	}
	if len(values) == 0 {
		return "", false
	}
	if l.name != contentType {
		return values[0], true
	}
	value, _, _ = strings.Cut(values[0], ";")
	return strings.ToLower(strings.TrimSpace(value)), true
}

func (a *ask) parameter(l look) (value string, there bool) {
	if !a.query.read {
		a.query.parse(a.URL.RawQuery)
	}
	for i := range a.query.pairs {
		p := a.query.pair(i)
		if p.name != l.name {
			continue
		}
		if there && l.exact {
			a.unclear = true
			return "", false
		}
		value, there = p.value, true
	}
	a.unclear = a.unclear || a.query.malformed
	return value, there && !a.query.malformed
}

// segment returns one of the path's.
func (a *ask) segment(index int) string {
	rest := strings.TrimPrefix(a.path, "/")
	for range index {
		_, rest, _ = strings.Cut(rest, "/")
	}
	segment, _, _ := strings.Cut(rest, "/")
	return segment
}

// least is a request with all that the route asks for, and nothing else.
func (r *route) least() *ask {
	segments := slices.Repeat([]string{"-"}, len(r.template.Segments))
	header, query := http.Header{}, url.Values{}
	for _, c := range r.conditions {
		switch c.in {
		case inHeader:
			header.Set(c.name, c.value)
		case inQuery:
			query.Set(c.name, c.value)
		case inParam:
			segments[c.param] = gateway.ExampleOf(c.form)
		}
	}
	return &ask{Request: &http.Request{Header: header, URL: &url.URL{RawQuery: query.Encode()}}, path: "/" + strings.Join(segments, "/")}
}
