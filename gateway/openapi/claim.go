package openapi

import (
	"fmt"
	"maps"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"gwdr/gateway"
)

// described is an operation with what the document says of its requests.
type described struct {
	Operation
	claims claims
	names  map[string]string // of the parameters that are segments of the path, by index
	must   claims            // what its requests must have in header and query
	forms  claims            // that segments of the path must have
	media  claims            // of the body
}

// claims are what requests of an operation have: a value, or any if that is empty.
type claims map[place]string

// place is where a claim is to be seen: in "header", in "query", or in "path" by the index of a segment.
type place struct{ in, name string }

var contentType = place{"header", "content-type"}

// unclaimed are headers that OpenAPI does not take for parameters, and those that a proxy may not rely on.
var unclaimed = []string{"accept", "authorization", "connection", "content-length", "content-type", "expect", "host", "te", "trailer",
	"transfer-encoding", "upgrade"}

func (d *document) describe(o Operation, op *operation, shared []parameter) *described {
	var all []parameter
	for _, p := range slices.Concat(shared, op.Parameters) {
		all = append(all, d.parameter(p))
	}
	its := &described{Operation: o, claims: fragment(o.Key, all), names: map[string]string{}, must: claims{}, forms: claims{}, media: claims{}}
	for _, p := range all {
		its.learn(p)
	}
	switch media := d.media(op, all); {
	case len(media) == 1 && !strings.Contains(media[0], "*"):
		kind, _, _ := strings.Cut(media[0], ";")
		its.media[contentType] = strings.ToLower(strings.TrimSpace(kind))
	case len(media) > 0:
		its.media[contentType] = ""
	}
	return its
}

// learn notes what the parameter says of requests.
func (o *described) learn(p parameter) {
	switch {
	case p.In == "path":
		o.learnSegment(p)
	case !p.Required:
	case p.In == "query", p.In == "header" && !slices.Contains(unclaimed, strings.ToLower(p.Name)):
		o.must[placeOf(p)] = onlyValue(p.Schema)
	}
}

func (o *described) learnSegment(p parameter) {
	index, whole := gateway.ParamSegment(o.Path, p.Name)
	if !whole {
		return
	}
	at := strconv.Itoa(index)
	o.names[at] = p.Name
	if p.Schema.Type == "integer" {
		o.forms[place{"path", at}] = gateway.Integer
	} else if p.Schema.Format == "uuid" {
		o.forms[place{"path", at}] = gateway.UUID
	}
}

func placeOf(p parameter) place {
	if p.In == "header" {
		return place{p.In, strings.ToLower(p.Name)}
	}
	return place{p.In, p.Name}
}

// onlyValue returns the one value that the schema allows, or "".
func onlyValue(s schema) string {
	if len(s.Enum) == 1 {
		value, _ := s.Enum[0].(string)
		return value
	}
	return ""
}

// fragment reads what documents put behind a path so that operations of one path have different keys: /#X-Amz-Target=Shop.Buy, or
// /users#name. A name counts if a parameter has it, or if it is in a query.
func fragment(key string, all []parameter) claims {
	found := claims{}
	end := strings.IndexAny(key, "?#")
	if end < 0 {
		return found
	}
	query, rest, _ := strings.Cut(key[end:], "#")
	for i, part := range []string{strings.TrimPrefix(query, "?"), rest} {
		for _, pair := range strings.FieldsFunc(part, func(c rune) bool { return c == '&' || c == '#' }) {
			name, value, _ := strings.Cut(pair, "=")
			if decoded, err := url.QueryUnescape(value); err == nil {
				value = decoded
			}
			if strings.Contains(value, "{") { // a parameter again
				value = ""
			}
			known := slices.IndexFunc(all, func(p parameter) bool {
				return p.Name == name && p.In == "query" || strings.EqualFold(p.Name, name) && p.In == "header"
			})
			if known >= 0 {
				found[placeOf(all[known])] = value
			} else if i == 0 && name != "" {
				found[place{"query", name}] = value
			}
		}
	}
	return found
}

// tellApart adds to the claims of operations with the same method and path until no two have the same, as far as the document
// says how they differ. What all of them must have is no difference.
func tellApart(ops []*described) {
	stages := []func(*described) claims{
		func(o *described) claims { return o.must },
		func(o *described) claims { return o.forms },
		func(o *described) claims { return o.media },
	}
	for _, equals := range groups(ops, (*described).target) {
		for _, stage := range stages {
			for _, same := range groups(equals, (*described).claimed) {
				differ(same, stage)
			}
		}
		for _, same := range groups(equals, (*described).claimed) {
			for _, o := range same[1:] {
				o.Like = same[0].Key
			}
		}
	}
}

// differ adds to the claims of each what not all of them have.
func differ(ops []*described, has func(*described) claims) {
	if len(ops) == 1 {
		return
	}
	common := maps.Clone(has(ops[0]))
	for _, o := range ops[1:] {
		maps.DeleteFunc(common, func(at place, value string) bool { other, there := has(o)[at]; return !there || other != value })
	}
	for _, o := range ops {
		for at, value := range has(o) {
			if _, all := common[at]; !all {
				o.claims[at] = value
			}
		}
	}
}

// target is the same for operations whose paths match the same requests.
func (o *described) target() string {
	template, err := gateway.ParseTemplate(o.Path)
	if err != nil {
		return o.Method + " " + o.Path
	}
	return fmt.Sprintf("%s %q %t", o.Method, template.Segments, template.Rest)
}

// claimed is the same for operations with the same claims.
func (o *described) claimed() string { return fmt.Sprintf("%q", o.claims) } // fmt sorts

// match puts the claims into the form that routes have.
func (o *described) match() (m gateway.Match) {
	put := func(to *map[string]string, name, value string) {
		if *to == nil {
			*to = map[string]string{}
		}
		(*to)[name] = value
	}
	for at, value := range o.claims {
		switch at.in {
		case "header":
			put(&m.Headers, textproto.CanonicalMIMEHeaderKey(at.name), value)
		case "query":
			put(&m.Query, at.name, value)
		default:
			put(&m.Params, o.names[at.name], value)
		}
	}
	return m
}

// groups puts together what has the same key, in the order of the first.
func groups(ops []*described, key func(*described) string) (all [][]*described) {
	index := map[string]int{}
	for _, o := range ops {
		i, known := index[key(o)]
		if !known {
			i = len(all)
			index[key(o)] = i
			all = append(all, nil)
		}
		all[i] = append(all[i], o)
	}
	return all
}
