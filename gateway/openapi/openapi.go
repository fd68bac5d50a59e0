// Package openapi turns an OpenAPI document, of version 2 or 3, in JSON or YAML, into routes: one for each operation.
//
// It reads only what routing needs, and leniently: real documents are often invalid where it does not matter.
package openapi

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"gwdr/gateway"
)

// Operation is one method at one path of a document.
type Operation struct {
	Method string        // upper case
	Key    string        // the path as the document spells it
	Path   string        // the path as clients see it: with the base path of the document or the path of its server
	Match  gateway.Match // what tells its requests from those of operations with the same method and path
	Like   string        // key of the operation whose requests are, for all that the document says, the same; empty: none
}

// Read returns the document's operations by path and method. A document without operations is no error; what is no
// OpenAPI document is.
func Read(text []byte) ([]Operation, error) {
	doc, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("read OpenAPI document: %w", err)
	}
	var base string
	switch version := fmt.Sprint(cmp.Or(doc.OpenAPI, doc.Swagger)); {
	case doc.OpenAPI == nil && doc.Swagger == nil:
		return nil, errors.New("read OpenAPI document: it has neither openapi nor swagger, which say its version")
	case strings.HasPrefix(version, "2"):
		base = doc.BasePath
	case strings.HasPrefix(version, "3"):
		base = doc.Servers.path("")
	default:
		return nil, fmt.Errorf("read OpenAPI document: version %.20q is neither 2 nor 3", version)
	}
	var ops []*described
	for _, key := range slices.Sorted(maps.Keys(doc.Paths)) {
		if strings.HasPrefix(key, "/") { // others are extensions
			ops = append(ops, doc.operations(key, base)...)
		}
	}
	tellApart(ops)
	read := make([]Operation, len(ops))
	for i, op := range ops {
		read[i] = op.Operation
		read[i].Match = op.match()
	}
	return read, nil
}

// operations returns the operations of one path, by method.
func (d *document) operations(key, base string) (ops []*described) {
	p := d.Paths[key]
	base = p.Servers.path(base)
	path, _, _ := strings.Cut(strings.ReplaceAll(key, "?", "#"), "#")
	methods := []string{"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
	for i, op := range []*operation{p.Delete, p.Get, p.Head, p.Options, p.Patch, p.Post, p.Put, p.Query, p.Trace} {
		if op != nil {
			o := Operation{Method: methods[i], Key: key, Path: join(op.Servers.path(base), path)}
			ops = append(ops, d.describe(o, op, p.Parameters))
		}
	}
	return ops
}

// Import says how a document becomes routes.
type Import struct {
	Spec     string // id of the Spec that the document is stored as
	Upstream string // id of the Upstream that all routes lead to
	Host     string // the routes' host; empty: any
	Prefix   bool   // put /<Spec> before each path, so that documents with equal paths do not collide
	Auth     string // the routes' Auth
	Validate bool   // the routes' Validate
}

// Skipped is an operation that has no route of its own: none can stand for it, or another's does.
type Skipped struct {
	Operation string `json:"operation"`
	Reason    string `json:"reason"`
	Route     string `json:"route,omitempty"` // that serves its requests, too
}

// Routes returns one route for each operation of the document, of which one serves those whose requests are the same. The same
// document always gives the same routes.
func (i Import) Routes(document []byte) (routes []gateway.Entity, skipped []Skipped, err error) {
	ops, err := Read(document)
	if err != nil {
		return nil, nil, err
	}
	made := map[string]bool{}
	for _, op := range ops {
		if like := i.routeID(Operation{Method: op.Method, Key: op.Like}); made[like] {
			skipped = append(skipped, Skipped{op.Method + " " + op.Key, "nothing tells its requests from those of " + op.Like, like})
			continue
		}
		route := i.route(op)
		if err := gateway.Check(route); err != nil {
			skipped = append(skipped, Skipped{Operation: op.Method + " " + op.Key, Reason: err.Error()})
			continue
		}
		made[route.ID] = true
		routes = append(routes, route)
	}
	return routes, skipped, nil
}

// Check reports why no operation of any document can become a route: an option that no route can have.
func (i Import) Check() error {
	if err := gateway.Check(i.route(Operation{Method: "GET", Key: "/", Path: "/"})); err != nil {
		return fmt.Errorf("no operation can become a route: %w", err)
	}
	return nil
}

// route returns the route of the operation.
func (i Import) route(op Operation) gateway.Entity {
	body := gateway.RouteBody{Methods: []string{op.Method}, Path: i.Path(op), Upstream: i.Upstream, Auth: i.Auth, Spec: i.Spec,
		Validate: i.Validate}
	if i.Host != "" {
		body.Hosts = []string{i.Host}
	}
	if op.isMatched() {
		body.Match = &op.Match
	}
	return gateway.Entity{Ref: gateway.Ref{Kind: gateway.Route, ID: i.routeID(op)}, Body: gateway.Encode(body)}
}

// Path returns the path of the operation's route.
func (i Import) Path(op Operation) string {
	if i.Prefix {
		return (&url.URL{Path: "/" + i.Spec}).EscapedPath() + op.Path
	}
	return op.Path
}

func (o Operation) isMatched() bool {
	return len(o.Match.Headers)+len(o.Match.Query)+len(o.Match.Params) > 0
}

// RoutePrefix is what the ids of all routes of a spec begin with.
func RoutePrefix(spec string) string { return spec + ":" }

// routeID is <spec>:<METHOD>:<path>; a path that is too long for an id is shortened to its beginning and hash.
func (i Import) routeID(op Operation) string {
	id := RoutePrefix(i.Spec) + op.Method + ":" + op.Key
	if len(id) <= gateway.MaxIDLength {
		return id
	}
	hash := fmt.Sprintf("~%x", sha256.Sum256([]byte(op.Key)))
	return strings.ToValidUTF8(id[:gateway.MaxIDLength-len(hash)], "") + hash
}
