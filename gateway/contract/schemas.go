package contract

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// schemas compiles schemas of a document as JSON Schema 2020-12, each once. It may be used by many at once.
type schemas struct {
	document place

	mu       sync.Mutex
	compiler *jsonschema.Compiler
	judges   map[string]*judge // by pointer
}

// judge is a compiled schema.
type judge struct{ schema, not *jsonschema.Schema }

// refuses reports whether a value is not as the schema says: by its contrary, for which the compiler keeps no reasons. All that there are can take
// a thousand times what the value does.
func (j *judge) refuses(value any) bool { return j.not.Validate(value) == nil }

// mostLooks is how often a value may be looked at to say why it is refused.
const mostLooks = 10_000

// reason returns where in a value that it refuses that is not as the schema says, and by which keyword. The schema is the library's.
func (j *judge) reason(value any, schema *openapi3.Schema) (at []string, keyword string) {
	t := tree{leaf: new(node)}
	if t.node(value, 0).cost(&openapi3.SchemaRef{Value: schema}) <= mostLooks {
		if failed, ok := errors.AsType[*jsonschema.ValidationError](j.schema.Validate(value)); ok {
			return reasonOf(failed)
		}
	}
	return nil, "schema"
}

// itself is how the compiler knows the document.
const itself = "gwdr:document"

func newSchemas(text []byte) (*schemas, error) {
	fields, err := readRequests(text)
	if err != nil {
		return nil, err
	}
	s := &schemas{document: place{root: fields, value: fields}, compiler: jsonschema.NewCompiler(), judges: map[string]*judge{}}
	s.compiler.DefaultDraft(jsonschema.Draft2020)
	s.compiler.UseLoader(jsonschema.SchemeURLLoader{}) // which loads nothing
	s.compiler.AssertFormat()
	registerFormats(s.compiler, fields)
	s.compiler.RegisterVocabulary(readOnlyVocabulary)
	s.compiler.AssertVocabs()
	freeReadOnly(s.document)
	return s, s.compiler.AddResource(itself, fields)
}

// compile makes the schema of what is at the place ready.
func (s *schemas) compile(at place) (*judge, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.judges[at.pointer]; known != nil {
		return known, nil
	}
	pointer := "#" + (&url.URL{Fragment: at.pointer + "/schema"}).EscapedFragment()
	contrary := fmt.Sprintf("gwdr:not/%d", len(s.judges))
	j := new(judge)
	var err error
	if j.schema, err = s.compiler.Compile(itself + pointer); err != nil {
		return nil, err
	}
	if err = s.compiler.AddResource(contrary, map[string]any{"not": map[string]any{"$ref": itself + pointer}}); err != nil {
		return nil, err
	}
	if j.not, err = s.compiler.Compile(contrary); err != nil {
		return nil, err
	}
	s.judges[at.pointer] = j
	return j, nil
}

// registerFormats has the compiler check the formats in the value, and those alone, as the library does.
func registerFormats(c *jsonschema.Compiler, value any) {
	for fields := range objects(value) {
		if format, ok := fields["format"].(string); ok {
			c.RegisterFormat(&jsonschema.Format{Name: format, Validate: formatCheck(format)})
		}
	}
}

func formatCheck(format string) func(any) error {
	text, number := openapi3.Schema{Format: format}, openapi3.Schema{Format: format, Type: &openapi3.Types{openapi3.TypeInteger}}
	return func(value any) error {
		err := number.VisitJSON(value)
		if _, ok := value.(string); ok {
			err = text.VisitJSON(value)
		}
		if failed, ok := errors.AsType[*openapi3.SchemaError](err); ok && failed.SchemaField == "format" {
			return err
		}
		return nil
	}
}

// parameter returns the place of a parameter of the operation at the path "paths", its own, and its method.
func (s *schemas) parameter(operation []string, p *openapi3.Parameter) (place, error) {
	for _, owner := range [][]string{operation, operation[:len(operation)-1]} {
		list, err := s.document.in(append(slices.Clone(owner), "parameters")...)
		if err != nil {
			continue // it has none
		}
		items, _ := list.value.([]any)
		for i := range items {
			at, err := list.in(strconv.Itoa(i))
			if err != nil {
				return place{}, err
			}
			if fields, _ := at.value.(map[string]any); fields["name"] == p.Name && fields["in"] == p.In {
				return at, nil
			}
		}
	}
	return place{}, errors.New("it is not there any more")
}

// place is a value in a document.
type place struct {
	root    any
	pointer string // RFC 6901
	value   any
}

// in goes on to what is there by the names, each time to what it refers to, if it refers.
func (p place) in(names ...string) (place, error) { return p.within(100, names) }

func (p place) within(references int, names []string) (place, error) {
	for _, name := range names {
		there := false
		switch v := p.value.(type) {
		case map[string]any:
			p.value, there = v[name]
		case []any:
			if i, err := strconv.Atoi(name); err == nil && i >= 0 && i < len(v) {
				p.value, there = v[i], true
			}
		}
		p.pointer += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
		if !there || references == 0 {
			return p, fmt.Errorf("nothing is at #%s", p.pointer)
		}
		fields, _ := p.value.(map[string]any)
		ref, ok := fields["$ref"].(string)
		if !ok {
			continue
		}
		var err error
		if p, err = p.at(references-1, ref); err != nil {
			return p, err
		}
	}
	return p, nil
}

// at goes to what the reference leads to.
func (p place) at(references int, ref string) (place, error) {
	steps, err := stepsOf(ref)
	if err != nil {
		return p, err
	}
	return place{root: p.root, value: p.root}.within(references, steps)
}

// stepsOf returns the names of a reference within the document: #/a/b.
func stepsOf(ref string) ([]string, error) {
	pointer, err := url.PathUnescape(strings.TrimPrefix(ref, "#"))
	if err != nil || !strings.HasPrefix(pointer, "/") {
		return nil, fmt.Errorf("%.100q is no place in the document", ref)
	}
	steps := strings.Split(pointer, "/")[1:]
	for i, step := range steps {
		steps[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
	}
	return steps, nil
}

// reasonOf returns where in the value it is not as the schema says, and by which keyword. Of several reasons it is the same each time.
func reasonOf(failed *jsonschema.ValidationError) (at []string, keyword string) {
	for isGroup(failed) {
		failed = slices.MinFunc(failed.Causes, func(a, b *jsonschema.ValidationError) int {
			return cmp.Or(cmp.Compare(a.SchemaURL, b.SchemaURL), slices.Compare(a.ErrorKind.KeywordPath(), b.ErrorKind.KeywordPath()),
				slices.Compare(a.InstanceLocation, b.InstanceLocation))
		})
	}
	at = failed.InstanceLocation
	switch k := failed.ErrorKind.(type) {
	case *kind.FalseSchema:
		if keyword := path.Base(failed.SchemaURL); strings.HasPrefix(keyword, "unevaluated") {
			return at, keyword
		}
		return at, never
	case *kind.Not:
		return at, "not"
	case *kind.PropertyNames: // the compiler's place of it is not reliable
		return nil, "propertyNames"
	case *kind.Required:
		return append(slices.Clone(at), k.Missing[0]), "required"
	}
	if keywords := failed.ErrorKind.KeywordPath(); len(keywords) > 0 {
		return at, keywords[0]
	}
	return at, unreadable
}

// isGroup reports whether the error says nothing but that others are its causes.
func isGroup(failed *jsonschema.ValidationError) bool {
	switch failed.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		return len(failed.Causes) > 0
	}
	return false
}
