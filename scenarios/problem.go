package scenarios

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Problem is something that makes a scenario file invalid.
type Problem struct {
	File    string
	Line    int    // 0 is the whole file
	Field   string // steps[0].fault
	Message string // names the allowed values
}

// Error returns file:line: field: message.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Field != "" {
		b.WriteString(": " + p.Field)
	}
	return strings.ReplaceAll(b.String()+": "+p.Message, "\t", " ")
}

// Problems is all that is wrong with a scenario file, by line.
type Problems []Problem

// Error returns one line per problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].Error()
	}
	return strings.Join(lines, "\n")
}

// checkFields finds fields that Scenario does not have, with the line and those that it has, and values that they cannot take. With
// these it says that there is no fleet: what else is wrong is known only once all can be read.
func checkFields(file string, root *yaml.Node) Problems {
	c := fieldChecker{file: file}
	c.check(root, reflect.TypeFor[Scenario](), "")
	if len(c.problems) > 0 && childOf(root, "fleet") == nil {
		c.problems = append(Problems{{File: file, Line: root.Line, Field: "fleet", Message: noFleet}}, c.problems...)
	}
	return c.problems
}

const noFleet = "is required: lab, or the name of a fleet in gwdr.yaml"

type fieldChecker struct {
	file     string
	problems Problems
}

func (c *fieldChecker) add(n *yaml.Node, field, format string, args ...any) {
	c.problems = append(c.problems, Problem{File: c.file, Line: n.Line, Field: field, Message: fmt.Sprintf(format, args...)})
}

func (c *fieldChecker) check(n *yaml.Node, t reflect.Type, field string) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		c.add(n, field, "anchors and aliases are not supported")
	case n.Kind == yaml.ScalarNode:
		if text := misread(n, t, field); text != "" {
			c.add(n, field, "%s", text)
		}
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for i, item := range n.Content {
			c.check(item, t.Elem(), fmt.Sprintf("%s[%d]", field, i))
		}
	case n.Kind == yaml.MappingNode && (t.Kind() == reflect.Struct || t.Kind() == reflect.Map):
		c.mapping(n, t, field)
	default:
		c.add(n, field, "must be a %s", yamlName(t))
	}
}

func (c *fieldChecker) mapping(n *yaml.Node, t reflect.Type, field string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		name := strings.TrimPrefix(field+"."+key.Value, ".")
		if t.Kind() == reflect.Map {
			c.check(value, t.Elem(), name)
			continue
		}
		fields := yamlFields(t)
		if i := slices.IndexFunc(fields, func(f reflect.StructField) bool { return yamlKey(f) == key.Value }); i >= 0 {
			c.check(value, fields[i].Type, name)
			continue
		}
		var known []string
		for _, f := range fields {
			known = append(known, yamlKey(f))
		}
		c.add(key, name, "unknown field; allowed: %s", strings.Join(known, ", "))
	}
}

func yamlFields(t reflect.Type) []reflect.StructField {
	return slices.DeleteFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool { return yamlKey(f) == "" })
}

func yamlKey(f reflect.StructField) string {
	key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return key
}

func yamlName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Slice:
		return "list"
	case reflect.Struct, reflect.Map:
		return "mapping of fields"
	}
	return "single value"
}

// line finds the line of a field such as steps[0].fault, or of the closest field above it that is there.
func line(n *yaml.Node, field string) int {
	found := n.Line
	for _, part := range strings.FieldsFunc(field, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		child := childOf(n, part)
		if child == nil {
			return found
		}
		n, found = child, child.Line
	}
	return found
}

func childOf(n *yaml.Node, part string) *yaml.Node {
	if n.Kind == yaml.SequenceNode {
		var i int
		if _, err := fmt.Sscan(part, &i); err == nil && i < len(n.Content) {
			return n.Content[i]
		}
		return nil
	}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == part {
			return n.Content[i+1]
		}
	}
	return nil
}
