package contract

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// From version 3.1 of OpenAPI on, schemas are those of JSON Schema 2020-12. The library checks by itself what they have in common with the
// older ones; a schema that says more (if, const, prefixItems and so on) it would compile for each request. So those are compiled here,
// once: the library decodes a value, and the compiled schema judges it.

// isModern reports whether the schema, or one that it consists of, says what the library does not check by itself.
func isModern(root *openapi3.SchemaRef) bool {
	if root == nil {
		return false
	}
	return root.WalkSubtree(func(_ string, ref *openapi3.SchemaRef) error {
		s := ref.Value
		if s != nil && (s.Const != nil || s.PrefixItems != nil || s.Contains != nil || s.PatternProperties != nil || s.PropertyNames != nil ||
			s.DependentSchemas != nil || s.DependentRequired != nil || s.If != nil || s.Not != nil ||
			isThere(s.UnevaluatedItems) || isThere(s.UnevaluatedProperties) || isOfNull(s) || s.Always != nil && s.AllOf != nil) {
			return errModern
		}
		return nil
	}) != nil
}

// isOfNull reports whether the schema says of null by its type something else than by its values, or by a part. The library
// goes by one of both.
func isOfNull(s *openapi3.Schema) bool {
	null := s.Type.IncludesNull()
	differs := func(part *openapi3.SchemaRef) bool {
		return part.Value != nil && part.Value.Type.IncludesNull() != null
	}
	return len(s.Enum) > 0 && slices.Contains(s.Enum, nil) != null ||
		(len(s.Enum) > 0 || !s.Type.IsEmpty()) && slices.ContainsFunc(slices.Concat(s.OneOf, s.AnyOf, s.AllOf), differs)
}

var errModern = errors.New("it is modern")

func isThere(s openapi3.BoolSchema) bool { return s.Has != nil || s.Schema != nil }

// modernize compiles the modern schemas of the operation, and has the library refuse all values in their places: its error holds what it
// decoded.
func (d *Document) modernize(o *operation, path string) error {
	o.modern = map[*openapi3.Schema]*judge{}
	at := []string{"paths", path, strings.ToLower(o.route.Method)}
	for _, ref := range o.route.Operation.Parameters { // each is the operation's own copy
		p := ref.Value
		find := func(s *schemas) (place, error) { return s.parameter(at, p) }
		err := d.compileAt(o, &p.Schema, find)
		if err == nil {
			p.Content, err = d.compileContent(o, p.Content, find)
		}
		if err != nil {
			return fmt.Errorf("parameter %q in %s: %w", p.Name, p.In, err)
		}
	}
	if o.body() == nil {
		return nil
	}
	own := *o.body()
	content, err := d.compileContent(o, own.Content, func(s *schemas) (place, error) { return s.document.in(append(at, "requestBody")...) })
	if err != nil {
		return fmt.Errorf("body: %w", err)
	}
	own.Content = content
	o.route.Operation.RequestBody = &openapi3.RequestBodyRef{Value: &own}
	return nil
}

// compileContent returns the content with what stands for its modern schemas. The function says where that is which has the content.
func (d *Document) compileContent(o *operation, content openapi3.Content, find func(*schemas) (place, error)) (openapi3.Content, error) {
	if content == nil {
		return nil, nil
	}
	all := openapi3.Content{}
	for kind, media := range content {
		if media != nil {
			own := *media
			if err := d.compileAt(o, &own.Schema, find, "content", kind); err != nil {
				return nil, fmt.Errorf("%s: %w", kind, err)
			}
			media = &own
		}
		all[kind] = media
	}
	return all, nil
}

// compileAt puts a schema that refuses all values into the place of a modern one.
func (d *Document) compileAt(o *operation, ref **openapi3.SchemaRef, find func(*schemas) (place, error), steps ...string) error {
	if !isModern(*ref) {
		return nil
	}
	s, err := d.schemas()
	if err != nil {
		return err
	}
	at, err := find(s)
	if err == nil {
		at, err = at.in(steps...)
	}
	if err != nil {
		return err
	}
	compiled, err := s.compile(at)
	if err != nil {
		return err
	}
	refuses := refusing(**ref)
	o.modern[refuses.Value] = compiled
	*ref = refuses
	return nil
}

// refusing returns the schema, which says how values are written, as one that refuses them all, null too. What does not say how, and the
// library cannot decode, is not needed any more.
func refusing(ref openapi3.SchemaRef) *openapi3.SchemaRef {
	s, never := *ref.Value, false
	s.Always, s.Not = &never, nil
	if s.Type != nil {
		var types openapi3.Types
		for _, name := range *s.Type {
			if name != openapi3.TypeNull {
				types = append(types, name)
			}
		}
		s.Type = &types
	}
	return &openapi3.SchemaRef{Value: &s}
}
