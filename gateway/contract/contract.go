// Package contract holds requests against the OpenAPI document that their route comes from.
//
// Only the document itself is ever read, no file and nothing on a network. What it says of security is left to the gateway's keys.
package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"

	"gwdr/gateway"
	"gwdr/gateway/openapi"
)

// Document is a compiled document. It may be used by many at once.
type Document struct {
	doc        *openapi3.T
	operations map[string][]openapi.Operation // by keyOf
	schemas    func() (*schemas, error)       // of its text

	mu    sync.Mutex
	sound map[*openapi3.Schema]bool // schemas that were found to be in order, with all that they consist of
}

// Compile reads a document of version 2 or 3, in JSON or YAML: what it says of requests. One that refers to other documents, or
// that readers may understand differently, is an error. The text is not the caller's to change any more.
func Compile(text []byte) (d *Document, err error) {
	defer func() { // of a library that reads what strangers wrote
		if cause := recover(); cause != nil {
			d, err = nil, fmt.Errorf("compile OpenAPI document: %v", cause)
		}
	}()
	operations, err := openapi.Read(text)
	if err != nil {
		return nil, err
	}
	fields, err := readRequests(text)
	if err != nil {
		return nil, fmt.Errorf("compile OpenAPI document: %w", err)
	}
	doc, err := load(fields)
	if err != nil {
		return nil, fmt.Errorf("compile OpenAPI document: %w", err)
	}
	d = &Document{doc: doc, operations: map[string][]openapi.Operation{}, sound: map[*openapi3.Schema]bool{}}
	d.schemas = sync.OnceValues(func() (*schemas, error) { return newSchemas(text) })
	for _, op := range operations {
		key := keyOf(op.Method, op.Path, &op.Match)
		d.operations[key] = append(d.operations[key], op)
	}
	return d, nil
}

// load resolves references within the document.
func load(fields map[string]any) (*openapi3.T, error) {
	text := gateway.Encode(fields)
	loader := openapi3.NewLoader()
	loader.ReadFromURIFunc = func(*openapi3.Loader, *url.URL) ([]byte, error) { return nil, errElsewhere }
	if _, old := fields["swagger"]; old {
		var doc openapi2.T
		if err := json.Unmarshal(text, &doc); err != nil {
			return nil, err
		}
		return openapi2conv.ToV3WithLoader(&doc, loader, nil)
	}
	doc := new(openapi3.T)
	if err := json.Unmarshal(text, doc); err != nil {
		return nil, err
	}
	return doc, loader.ResolveRefsIn(doc, nil)
}

var (
	errElsewhere = errors.New("it refers to another document")
	errDiffering = errors.New("it is not one value for every reader, such as when a key is there twice")
)

// readRequests returns of a document what says something about requests.
func readRequests(text []byte) (map[string]any, error) {
	canonical, ok := gateway.Canonical(gateway.Spec, text)
	if !ok {
		return nil, errDiffering
	}
	dec := json.NewDecoder(bytes.NewReader(canonical))
	dec.UseNumber()
	var fields map[string]any
	if err := dec.Decode(&fields); err != nil {
		return nil, err
	}
	keep(fields, "swagger", "openapi", "paths", "components", "definitions", "parameters", "consumes")
	fields["info"] = map[string]any{"title": "", "version": ""}
	if components, ok := fields["components"].(map[string]any); ok {
		keep(components, "schemas", "parameters", "requestBodies", "headers")
		for _, kind := range []string{"parameters", "requestBodies", "headers"} {
			withoutExamples(components[kind])
		}
	}
	paths, _ := fields["paths"].(map[string]any)
	for _, item := range paths {
		keepItem(item)
	}
	if version, _ := fields["openapi"].(string); (&openapi3.T{OpenAPI: version}).IsOpenAPI31OrLater() {
		spellNull(fields)
	}
	return fields, onlyItself(fields)
}

// spellNull has schemas say by "enum" that a value is null: the library takes a "const" of null for none.
func spellNull(value any) {
	for fields := range objects(value) {
		if constant, there := fields["const"]; there && constant == nil {
			delete(fields, "const")
			fields["enum"] = []any{nil}
		}
	}
}

// objects are all that the value consists of, each before those that are in it.
func objects(value any) iter.Seq[map[string]any] {
	return func(yield func(map[string]any) bool) { walk(value, yield) }
}

func walk(value any, yield func(map[string]any) bool) bool {
	switch v := value.(type) {
	case []any:
		return !slices.ContainsFunc(v, func(item any) bool { return !walk(item, yield) })
	case map[string]any:
		if !yield(v) {
			return false
		}
		for _, item := range v {
			if !walk(item, yield) {
				return false
			}
		}
	}
	return true
}

func keepItem(item any) {
	fields, _ := item.(map[string]any)
	keep(fields, "parameters", "delete", "get", "head", "options", "patch", "post", "put", "query", "trace")
	withoutExamples(fields["parameters"])
	for name, op := range fields {
		if op, ok := op.(map[string]any); ok && name != "parameters" {
			keep(op, "parameters", "requestBody", "consumes")
			withoutExamples(op["parameters"])
			withoutExamples([]any{op["requestBody"]})
		}
	}
}

// withoutExamples takes the examples out of parameters, headers or bodies, in a list or by name. They may refer to what is not kept.
func withoutExamples(all any) {
	switch all := all.(type) {
	case []any:
		for _, one := range all {
			takeExamples(one)
		}
	case map[string]any:
		for _, one := range all {
			takeExamples(one)
		}
	}
}

func takeExamples(one any) {
	fields, _ := one.(map[string]any)
	delete(fields, "example")
	delete(fields, "examples")
	media, _ := fields["content"].(map[string]any)
	withoutExamples(media)
	encoding, _ := fields["encoding"].(map[string]any)
	for _, part := range encoding {
		fields, _ := part.(map[string]any)
		withoutExamples(fields["headers"])
	}
}

func keep(fields map[string]any, names ...string) {
	for name := range fields {
		if !slices.Contains(names, name) {
			delete(fields, name)
		}
	}
}

// draft is the one vocabulary that is known without a look elsewhere.
const draft = "https://json-schema.org/draft/2020-12/schema"

// onlyItself reports whether the value names another document, in any of the ways of JSON Schema.
func onlyItself(value any) error {
	for fields := range objects(value) {
		for _, name := range []string{"$ref", "$dynamicRef", "$recursiveRef", "$id", "$schema"} {
			if to, isText := fields[name].(string); isText && !strings.HasPrefix(to, "#") && to != draft {
				return fmt.Errorf("%w: %s %.100q", errElsewhere, name, to)
			}
		}
	}
	return nil
}
