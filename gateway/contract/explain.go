package contract

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
)

// explain keeps of the library's error what is no value. Where the library refused what it does not check by itself, that is judged here.
func (o *operation) explain(err error) *Violation {
	if err == nil {
		return nil
	}
	v := &Violation{In: "body", Rule: unreadable}
	failed, known := errors.AsType[*openapi3filter.RequestError](err)
	if known && failed.Parameter != nil {
		v.In, v.Name = failed.Parameter.In, failed.Parameter.Name
	}
	schema, isSchema := errors.AsType[*openapi3.SchemaError](err)
	switch {
	case errors.Is(err, openapi3filter.ErrInvalidRequired):
		v.Rule = missing
	case errors.Is(err, openapi3filter.ErrInvalidEmptyValue):
		v.Rule = empty
	case !isSchema && v.In == "body":
		if text, ok := errors.AsType[*openapi3filter.ParseError](err); ok {
			v.Name = o.spell(textOf(text.Path()))
		}
	case isSchema:
		at, rule := schema.JSONPointer(), schema.SchemaField
		if by := o.modern[schema.Schema]; by != nil {
			if !by.refuses(schema.Value) {
				return nil
			}
			at, rule = by.reason(schema.Value, schema.Schema)
		}
		v.Rule = o.keyword(rule)
		if v.In == "body" {
			v.Name = o.spell(at)
		}
	}
	return v
}

// keyword is what the document calls what the library names by a word of its own.
func (o *operation) keyword(rule string) string {
	switch {
	case rule == "properties":
		return "additionalProperties"
	case rule == "nullable" && o.newer:
		return "type"
	}
	return rule
}

func textOf(path []any) (all []string) {
	for _, step := range path {
		all = append(all, fmt.Sprint(step))
	}
	return all
}

// spell spells a JSON pointer. Names of properties that the document does not know may be values.
func (o *operation) spell(path []string) string {
	var text strings.Builder
	for _, step := range path {
		if _, err := strconv.ParseUint(step, 10, 32); err != nil && !o.words()[step] {
			step = "*"
		}
		text.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(step))
	}
	return text.String()
}

// properties returns the names of the properties of all that a body can be.
func (o *operation) properties() map[string]bool {
	names := map[string]bool{}
	if o.body() == nil {
		return names
	}
	for _, media := range o.body().Content {
		if media.Schema == nil {
			continue
		}
		_ = media.Schema.WalkSubtree(func(_ string, ref *openapi3.SchemaRef) error { // the function never fails
			if ref.Value != nil {
				for name := range ref.Value.Properties {
					names[name] = true
				}
			}
			return nil
		})
	}
	return names
}
