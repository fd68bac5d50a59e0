package openapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// document is the part of a document that routing needs. The syntaxes share it: both decoders skip what has another type
// than expected and go on.
type document struct {
	Swagger    any                 `json:"swagger" yaml:"swagger"`
	OpenAPI    any                 `json:"openapi" yaml:"openapi"`
	BasePath   string              `json:"basePath" yaml:"basePath"`
	Servers    servers             `json:"servers" yaml:"servers"`
	Paths      map[string]pathItem `json:"paths" yaml:"paths"`
	Consumes   []string            `json:"consumes" yaml:"consumes"`
	components `yaml:",inline"`    // of version 2
	Components components          `json:"components" yaml:"components"`
}

// components are what is referred to.
type components struct {
	Parameters    map[string]parameter   `json:"parameters" yaml:"parameters"`
	RequestBodies map[string]requestBody `json:"requestBodies" yaml:"requestBodies"`
	Schemas       map[string]schema      `json:"schemas" yaml:"schemas"`
}

type pathItem struct {
	Parameters []parameter `json:"parameters" yaml:"parameters"`
	Servers    servers     `json:"servers" yaml:"servers"`
	Delete     *operation  `json:"delete" yaml:"delete"`
	Get        *operation  `json:"get" yaml:"get"`
	Head       *operation  `json:"head" yaml:"head"`
	Options    *operation  `json:"options" yaml:"options"`
	Patch      *operation  `json:"patch" yaml:"patch"`
	Post       *operation  `json:"post" yaml:"post"`
	Put        *operation  `json:"put" yaml:"put"`
	Query      *operation  `json:"query" yaml:"query"`
	Trace      *operation  `json:"trace" yaml:"trace"`
}

type operation struct {
	Servers     servers     `json:"servers" yaml:"servers"`
	Parameters  []parameter `json:"parameters" yaml:"parameters"`
	RequestBody requestBody `json:"requestBody" yaml:"requestBody"`
	Consumes    []string    `json:"consumes" yaml:"consumes"`
}

type parameter struct {
	Ref      string `json:"$ref" yaml:"$ref"`
	Name     string `json:"name" yaml:"name"`
	In       string `json:"in" yaml:"in"`
	Required bool   `json:"required" yaml:"required"`
	Schema   schema `json:"schema" yaml:"schema"`
	Type     any    `json:"type" yaml:"type"` // this and what follows: version 2
	Format   string `json:"format" yaml:"format"`
	Enum     []any  `json:"enum" yaml:"enum"`
}

type requestBody struct {
	Ref     string              `json:"$ref" yaml:"$ref"`
	Content map[string]struct{} `json:"content" yaml:"content"`
}

type schema struct {
	Ref    string `json:"$ref" yaml:"$ref"`
	Type   any    `json:"type" yaml:"type"`
	Format string `json:"format" yaml:"format"`
	Enum   []any  `json:"enum" yaml:"enum"`
}

type servers []struct {
	URL       string `json:"url" yaml:"url"`
	Variables map[string]struct {
		Default string `json:"default" yaml:"default"`
	} `json:"variables" yaml:"variables"`
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

// parameter returns what p refers to, or p itself, with its schema in Schema.
func (d *document) parameter(p parameter) parameter {
	if name, ok := strings.CutPrefix(p.Ref, "#/parameters/"); ok {
		p = d.Parameters[name]
	} else if name, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
		p = d.Components.Parameters[name]
	}
	if p.Type != nil {
		p.Schema = schema{Type: p.Type, Format: p.Format, Enum: p.Enum}
	}
	if name, ok := strings.CutPrefix(p.Schema.Ref, "#/components/schemas/"); ok {
		p.Schema = d.Components.Schemas[name]
	}
	return p
}

// media returns the media types that the bodies of the operation's requests may have; none means that there is no body.
func (d *document) media(op *operation, all []parameter) []string {
	body := op.RequestBody
	if name, ok := strings.CutPrefix(body.Ref, "#/components/requestBodies/"); ok {
		body = d.Components.RequestBodies[name]
	}
	inBody := func(p parameter) bool { return p.In == "body" || p.In == "formData" }
	switch {
	case len(body.Content) > 0:
		return slices.Sorted(maps.Keys(body.Content))
	case !slices.ContainsFunc(all, inBody):
		return nil
	case len(op.Consumes) > 0:
		return op.Consumes
	}
	return d.Consumes
}
