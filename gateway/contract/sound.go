package contract

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
)

// check reports why requests cannot be held against the operation.
func (d *Document) check(o *operation) error {
	for _, ref := range o.route.Operation.Parameters {
		p := *ref.Value
		if p.Schema == nil && len(p.Content) == 0 {
			continue
		}
		err := errors.Join(d.checkSchema(p.Schema), d.checkContent(p.Content))
		if p.Schema != nil {
			p.Schema = alone()
		}
		if err == nil {
			err = p.Validate(d.asVersion())
		}
		if err != nil {
			return fmt.Errorf("parameter %q in %s: %w", p.Name, p.In, err)
		}
	}
	if body := o.body(); body != nil {
		if err := d.checkContent(body.Content); err != nil {
			return fmt.Errorf("body: %w", err)
		}
	}
	return nil
}

func (d *Document) checkContent(content openapi3.Content) error {
	for kind, media := range content {
		if media == nil {
			continue
		}
		if err := d.checkSchema(media.Schema); err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
	}
	return nil
}

// checkSchema looks at each schema once: those of a document refer to each other, and operations to the same.
func (d *Document) checkSchema(root *openapi3.SchemaRef) error {
	if root == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	var fresh []*openapi3.Schema
	err := root.WalkSubtree(func(_ string, ref *openapi3.SchemaRef) error {
		if ref.Value == nil {
			return fmt.Errorf("reference %q leads nowhere", ref.Ref)
		}
		if d.sound[ref.Value] {
			return openapi3.SkipSubtree
		}
		if d.doc.IsOpenAPI31OrLater() { // which does not have it any more
			ref.Value.Nullable = false
			if ref.Value.DynamicRef != "" {
				return errDynamic
			}
		}
		fresh = append(fresh, ref.Value)
		return childless(ref.Value).Validate(d.asVersion())
	})
	if err != nil {
		return err
	}
	for _, schema := range fresh { // and all that they consist of
		d.sound[schema] = true
	}
	return nil
}

// errDynamic is of a reference that the library does not follow: what it leads to would neither be checked here, nor count in isCostly.
var errDynamic = errors.New("$dynamicRef is not supported")

// checkDecoding reports a parameter, or a property of a form, of which the library can read no value at all.
func (o *operation) checkDecoding() error {
	for _, ref := range o.route.Operation.Parameters {
		if p := ref.Value; !isDecoded(p.Schema, map[*openapi3.Schema]bool{}) {
			return fmt.Errorf("parameter %q in %s: %w", p.Name, p.In, errUnwritten)
		}
	}
	if o.body() == nil || o.body().Content[form] == nil || o.body().Content[form].Schema == nil {
		return nil
	}
	for name, property := range o.body().Content[form].Schema.Value.Properties {
		if !isDecoded(property, map[*openapi3.Schema]bool{}) {
			return fmt.Errorf("body: %s: property %q: %w", form, name, errUnwritten)
		}
	}
	return nil
}

var errUnwritten = errors.New(`its schema does not say how a value is written: it has "not", or is of an array without "items"`)

func isDecoded(ref *openapi3.SchemaRef, seen map[*openapi3.Schema]bool) bool {
	if ref == nil || ref.Value == nil || seen[ref.Value] {
		return true
	}
	seen[ref.Value] = true
	for _, part := range slices.Concat(ref.Value.AllOf, ref.Value.AnyOf, ref.Value.OneOf) {
		if !isDecoded(part, seen) {
			return false
		}
	}
	return ref.Value.Not == nil && (ref.Value.Items != nil || !ref.Value.Type.Is(openapi3.TypeArray))
}

// alone returns a schema that any value meets.
func alone() *openapi3.SchemaRef { return &openapi3.SchemaRef{Value: &openapi3.Schema{}} }

// childless is the schema without those that it consists of.
func childless(s *openapi3.Schema) *openapi3.Schema {
	own := &openapi3.Schema{Type: s.Type, Format: s.Format, Pattern: s.Pattern, Min: s.Min, Max: s.Max, MinLength: s.MinLength, MaxLength: s.MaxLength}
	if own.Type.Includes(openapi3.TypeArray) {
		own.Items = alone()
	}
	return own
}

// asVersion has the library judge by the rules of the document's version.
func (d *Document) asVersion() context.Context {
	options := []openapi3.ValidationOption{openapi3.DisableExamplesValidation(), openapi3.DisableSchemaDefaultsValidation()}
	if d.doc.IsOpenAPI31OrLater() {
		options = append(options, openapi3.IsOpenAPI31OrLater())
	}
	return openapi3.WithValidationOptions(context.Background(), options...)
}
