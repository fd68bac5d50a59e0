package admin_test

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"

	"gopkg.in/yaml.v3"
)

// schema is the part of JSON Schema that openapi.yaml uses. Where an object's properties are named, others are an error, unless
// additionalProperties allows them: what is answered must be described.
type schema struct {
	Ref        string    `yaml:"$ref"`
	Type       yaml.Node // a string or a list of them
	Enum       []any
	Const      any
	Pattern    string
	Required   []string
	Properties map[string]*schema
	Additional yaml.Node `yaml:"additionalProperties"`
	Items      *schema
	AnyOf      []*schema `yaml:"anyOf"`
}

func (s *schema) types() (types []string) {
	if s.Type.Kind == yaml.ScalarNode {
		return []string{s.Type.Value}
	}
	_ = s.Type.Decode(&types) // not there: any
	return types
}

func (c *contract) resolve(s *schema) *schema {
	if s != nil && s.Ref != "" {
		return c.Components.Schemas[last(s.Ref)]
	}
	return s
}

// check reports where v, as encoding/json reads it, is not as the schema says.
func (c *contract) check(v any, s *schema, at string) error {
	if s = c.resolve(s); s == nil {
		return nil
	}
	if types := s.types(); len(types) > 0 && !slices.ContainsFunc(types, func(t string) bool { return isA(v, t) }) {
		return fmt.Errorf("%s is %v, not %v", at, v, types)
	}
	if s.Const != nil && v != s.Const || s.Enum != nil && !slices.Contains(s.Enum, v) {
		return fmt.Errorf("%s is %v, not one of %v%v", at, v, s.Enum, s.Const)
	}
	if text, ok := v.(string); ok && s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(text) {
		return fmt.Errorf("%s is %q, which is not as %s", at, text, s.Pattern)
	}
	return errors.Join(c.checkAny(v, s, at), c.checkItems(v, s, at), c.checkProperties(v, s, at))
}

func (c *contract) checkAny(v any, s *schema, at string) error {
	var errs []error
	for _, one := range s.AnyOf {
		err := c.check(v, one, at)
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (c *contract) checkItems(v any, s *schema, at string) error {
	list, _ := v.([]any)
	for i, item := range list {
		if err := c.check(item, s.Items, fmt.Sprintf("%s[%d]", at, i)); err != nil {
			return err
		}
	}
	return nil
}

func (c *contract) checkProperties(v any, s *schema, at string) error {
	object, ok := v.(map[string]any)
	if !ok || s.Properties == nil && s.Additional.Kind == 0 {
		return nil
	}
	for _, name := range s.Required {
		if _, there := object[name]; !there {
			return fmt.Errorf("%s lacks %s", at, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		of, named := s.Properties[name]
		if !named && (s.Additional.Kind == 0 || s.Additional.Value == "false") {
			return fmt.Errorf("%s.%s is not described", at, name)
		}
		if !named && s.Additional.Kind == yaml.MappingNode {
			of = new(schema)
			if err := s.Additional.Decode(of); err != nil {
				return err
			}
		}
		if err := c.check(object[name], of, at+"."+name); err != nil {
			return err
		}
	}
	return nil
}

func isA(v any, name string) bool {
	number, isNumber := v.(float64)
	switch name {
	case "null":
		return v == nil
	case "integer":
		return isNumber && number == math.Trunc(number)
	case "number":
		return isNumber
	}
	return v != nil && map[string]reflect.Kind{"string": reflect.String, "boolean": reflect.Bool, "array": reflect.Slice,
		"object": reflect.Map}[name] == reflect.TypeOf(v).Kind()
}
