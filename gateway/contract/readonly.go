package contract

import (
	"slices"
	"strconv"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// OpenAPI gives readOnly a meaning that JSON Schema leaves open: such a property is not sent in requests, and if it is required, then of
// answers.

// readOnlyVocabulary has schemas of readOnly refuse what is sent, but for null.
var readOnlyVocabulary = &jsonschema.Vocabulary{URL: "gwdr:readOnly", Compile: func(_ *jsonschema.CompilerContext, schema map[string]any) (jsonschema.SchemaExt, error) {
	if schema["readOnly"] == true {
		return readOnly{}, nil
	}
	return nil, nil
}}

type readOnly struct{}

// Validate refuses the value. A body as a whole is no property.
func (readOnly) Validate(ctx *jsonschema.ValidatorContext, value any) {
	if value != nil && len(ctx.ValueLocation()) > 0 {
		ctx.AddError(new(isReadOnly))
	}
}

type isReadOnly struct{ kind.Not } // which is told to nobody

func (*isReadOnly) KeywordPath() []string { return []string{"readOnly"} }

// freeReadOnly takes out of what schemas at the place, and below, require those properties that are readOnly: by their own words, by those of
// a part (allOf), or of the schemas of which they are a part themselves.
func freeReadOnly(at place, owners ...place) {
	switch v := at.value.(type) {
	case []any:
		for _, item := range v {
			freeReadOnly(place{root: at.root, value: item}, owners...)
		}
	case map[string]any:
		owners = append(slices.Clip(owners), at)
		if required, ok := v["required"].([]any); ok {
			v["required"] = slices.DeleteFunc(required, func(item any) bool {
				name, ok := item.(string)
				return ok && slices.ContainsFunc(owners, func(s place) bool { return s.declaresReadOnly(name, map[string]bool{}) })
			})
		}
		for name, item := range v {
			of := owners
			if name != "allOf" {
				of = nil
			}
			freeReadOnly(place{root: at.root, value: item}, of...)
		}
	}
}

// declaresReadOnly reports whether the schema at the place, or one that it is made of, says of the property that it is readOnly.
// Each is looked at once: they may be made of each other.
func (p place) declaresReadOnly(name string, seen map[string]bool) bool {
	if seen[p.pointer] {
		return false
	}
	seen[p.pointer] = true
	properties, _ := p.in("properties")
	all, _ := properties.value.(map[string]any)
	said, _ := all[name].(map[string]any)
	referred, _ := properties.in(name)
	meant, _ := referred.value.(map[string]any)
	if said["readOnly"] == true || meant["readOnly"] == true {
		return true
	}
	return slices.ContainsFunc(p.parts(), func(part place) bool { return part.declaresReadOnly(name, seen) })
}

// parts returns what a schema is made of: what it refers to, and all of allOf.
func (p place) parts() (all []place) {
	fields, _ := p.value.(map[string]any)
	if ref, ok := fields["$ref"].(string); ok {
		if of, err := p.at(100, ref); err == nil {
			all = append(all, of)
		}
	}
	list, _ := fields["allOf"].([]any)
	for i := range list {
		if part, err := p.in("allOf", strconv.Itoa(i)); err == nil {
			all = append(all, part)
		}
	}
	return all
}
