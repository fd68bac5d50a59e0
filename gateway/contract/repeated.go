package contract

import (
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
)

// Of what is there more than once, and is no list of what is written one by one, one is checked, and the endpoint may go by another.

// repeatedParameter returns such a parameter, or nil.
func (o *operation) repeatedParameter(input *openapi3filter.RequestValidationInput) *Violation {
	for _, ref := range o.route.Operation.Parameters {
		if p := ref.Value; isRepeated(p, input) {
			return &Violation{In: p.In, Name: p.Name, Rule: repeated}
		}
	}
	return nil
}

func isRepeated(p *openapi3.Parameter, input *openapi3filter.RequestValidationInput) bool {
	how, err := p.SerializationMethod()
	if err != nil || p.In != openapi3.ParameterInQuery || p.Schema == nil {
		return len(textsOf(p, input)) > 1
	}
	if len(input.QueryParams[p.Name]) > 1 && !(how.Explode && isList(p.Schema)) {
		return true
	}
	if how.Style == openapi3.SerializationDeepObject { // p[name]=value
		return repeatsProperty(p.Schema, input.QueryParams, func(name string) (string, bool) {
			inner, ok := strings.CutPrefix(name, p.Name+"[")
			return strings.TrimSuffix(inner, "]"), ok
		})
	}
	return how.Explode && p.Schema.Value.Type.Is(openapi3.TypeObject) && // name=value
		repeatsProperty(p.Schema, input.QueryParams, func(name string) (string, bool) { return name, p.Schema.Value.Properties[name] != nil })
}

// repeatsProperty reports whether a property of the schema that is no list is there more than once. The function says whose values they are.
func repeatsProperty(schema *openapi3.SchemaRef, values url.Values, property func(name string) (string, bool)) bool {
	for name, all := range values {
		if of, ok := property(name); ok && len(all) > 1 && !isList(schema.Value.Properties[of]) {
			return true
		}
	}
	return false
}

// repeatedField returns a property of a form that is there more than once, or nil.
func repeatedField(as *openapi3.MediaType, values url.Values) *Violation {
	if as == nil || as.Schema == nil || as.Schema.Value == nil {
		return nil
	}
	for name, property := range as.Schema.Value.Properties {
		if len(values[name]) > 1 && !(as.Encoding[name].SerializationMethod().Explode && isList(property)) {
			return &Violation{In: "body", Name: "/" + name, Rule: repeated}
		}
	}
	return nil
}

// isList reports whether all that is of the schema, but for null, is a list.
func isList(ref *openapi3.SchemaRef) bool { return listed(ref, map[*openapi3.Schema]bool{}) }

func listed(ref *openapi3.SchemaRef, seen map[*openapi3.Schema]bool) bool {
	if ref == nil || ref.Value == nil || seen[ref.Value] {
		return false
	}
	s := ref.Value
	seen[s] = true
	if !s.Type.IsEmpty() {
		for _, name := range *s.Type {
			if name != openapi3.TypeArray && name != openapi3.TypeNull {
				return false
			}
		}
		return s.Type.Includes(openapi3.TypeArray)
	}
	for _, part := range s.AllOf {
		if listed(part, seen) {
			return true
		}
	}
	found := false
	for _, part := range slices.Concat(s.AnyOf, s.OneOf) {
		if part.Value != nil && part.Value.Type.Is(openapi3.TypeNull) {
			continue
		}
		if !listed(part, seen) {
			return false
		}
		found = true
	}
	return found
}
