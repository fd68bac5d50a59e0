// Package openapi turns an OpenAPI document, of version 2 or 3, in JSON or YAML, into routes: one for each operation.
//
// It reads only what routing needs, and leniently: real documents are often invalid where it does not matter.
package openapi

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"gwdr/gateway"
)

// Operation is one method at one path of a document.
type Operation struct {
	Method string // upper case
	Key    string // the path as the document spells it
	Path   string // the path as clients see it: with the base path of the document or the path of its server
}

// document is the part of a document that routing needs. The syntaxes share it: both decoders skip what has another type
// than expected and go on.
type document struct {
	Swagger  any                 `json:"swagger" yaml:"swagger"`
	OpenAPI  any                 `json:"openapi" yaml:"openapi"`
	BasePath string              `json:"basePath" yaml:"basePath"`
	Servers  servers             `json:"servers" yaml:"servers"`
	Paths    map[string]pathItem `json:"paths" yaml:"paths"`
}

type pathItem struct {
	Servers servers    `json:"servers" yaml:"servers"`
	Delete  *operation `json:"delete" yaml:"delete"`
	Get     *operation `json:"get" yaml:"get"`
	Head    *operation `json:"head" yaml:"head"`
	Options *operation `json:"options" yaml:"options"`
	Patch   *operation `json:"patch" yaml:"patch"`
	Post    *operation `json:"post" yaml:"post"`
	Put     *operation `json:"put" yaml:"put"`
	Query   *operation `json:"query" yaml:"query"`
	Trace   *operation `json:"trace" yaml:"trace"`
}

type operation struct {
	Servers servers `json:"servers" yaml:"servers"`
}

type servers []struct {
	URL       string `json:"url" yaml:"url"`
	Variables map[string]struct {
		Default string `json:"default" yaml:"default"`
	} `json:"variables" yaml:"variables"`
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
	case strings.HasPrefix(version, "2"):
		base = doc.BasePath
	case strings.HasPrefix(version, "3"):
		base = doc.Servers.path("")
	default:
		return nil, fmt.Errorf("read OpenAPI document: version %.20q is neither 2 nor 3", version)
	}
	var ops []Operation
	for _, key := range slices.Sorted(maps.Keys(doc.Paths)) {
		if strings.HasPrefix(key, "/") { // others are extensions
			ops = append(ops, doc.Paths[key].operations(key, base)...)
		}
	}
	return ops, nil
}

// parse reads JSON, or else YAML. Published documents break their own rules where it does not matter here, so a value of
// the wrong type is no error.
func parse(text []byte) (document, error) {
	var doc document
	text = bytes.TrimPrefix(text, []byte("\uFEFF"))
	err := json.Unmarshal(text, &doc)
	if mistyped := (*json.UnmarshalTypeError)(nil); err == nil || errors.As(err, &mistyped) {
		return doc, nil
	}
	doc = document{}
	err = yaml.Unmarshal(text, &doc)
	if mistyped := (*yaml.TypeError)(nil); err == nil || errors.As(err, &mistyped) {
		return doc, nil
	}
	return document{}, fmt.Errorf("neither JSON nor YAML: %w", err)
}

// operations returns the operations of one path, by method.
func (p pathItem) operations(key, base string) (ops []Operation) {
	base = p.Servers.path(base)
	methods := []string{"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"}
	for i, op := range []*operation{p.Delete, p.Get, p.Head, p.Options, p.Patch, p.Post, p.Put, p.Query, p.Trace} {
		if op != nil {
			ops = append(ops, Operation{Method: methods[i], Key: key, Path: join(op.Servers.path(base), key)})
		}
	}
	return ops
}

// path returns the path of the first server, or inherited if there is none.
func (s servers) path(inherited string) string {
	if len(s) == 0 {
		return inherited
	}
	at := s[0].URL
	for _, name := range slices.Sorted(maps.Keys(s[0].Variables)) {
		if initial := s[0].Variables[name].Default; initial != "" {
			at = strings.ReplaceAll(at, "{"+name+"}", initial)
		}
	}
	return pathOf(at)
}

// pathOf cuts scheme, host, query and fragment off a URL that may still hold variables.
func pathOf(at string) string {
	if i := strings.IndexAny(at, "?#"); i >= 0 {
		at = at[:i]
	}
	_, rest, absolute := strings.Cut(at, "://")
	if !absolute {
		rest, absolute = strings.CutPrefix(at, "//")
	}
	if !absolute {
		return strings.TrimPrefix(at, ".")
	}
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[i:]
	}
	return ""
}

// join puts base before path, with one slash between.
func join(base, path string) string {
	if base = strings.Trim(base, "/"); base == "" {
		return path
	}
	return "/" + base + path
}

// Import says how a document becomes routes.
type Import struct {
	Spec     string // id of the Spec that the document is stored as
	Upstream string // id of the Upstream that all routes lead to
	Host     string // the routes' host; empty: any
	Prefix   bool   // put /<Spec> before each path, so that documents with equal paths do not collide
	Auth     string // the routes' Auth
}

// Skipped is an operation that no route can stand for.
type Skipped struct {
	Operation string `json:"operation"`
	Reason    string `json:"reason"`
}

// Routes returns one route for each operation of the document. The same document always gives the same routes.
func (i Import) Routes(document []byte) (routes []gateway.Entity, skipped []Skipped, err error) {
	ops, err := Read(document)
	if err != nil {
		return nil, nil, err
	}
	for _, op := range ops {
		body := gateway.RouteBody{Methods: []string{op.Method}, Path: op.Path, Upstream: i.Upstream, Auth: i.Auth, Spec: i.Spec}
		if i.Prefix {
			body.Path = (&url.URL{Path: "/" + i.Spec}).EscapedPath() + op.Path
		}
		if i.Host != "" {
			body.Hosts = []string{i.Host}
		}
		route := gateway.Entity{Ref: gateway.Ref{Kind: gateway.Route, ID: i.routeID(op)}, Body: gateway.Encode(body)}
		if err := gateway.Check(route); err != nil {
			skipped = append(skipped, Skipped{Operation: op.Method + " " + op.Key, Reason: err.Error()})
			continue
		}
		routes = append(routes, route)
	}
	return routes, skipped, nil
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
