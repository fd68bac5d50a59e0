package cmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// checkConfig refuses what the decoder would pass over or bend into shape: keys that are none of Config, or that are there
// twice, values of another kind, a second document. What is no YAML at all, or has no end, is for the decoder to say.
func checkConfig(content []byte) error {
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	var document, second yaml.Node
	if decoder.Decode(&document) != nil || endless(&document, map[*yaml.Node]bool{}) {
		return nil
	}
	if err := decoder.Decode(&second); err == nil && second.Content[0].Tag != "!!null" {
		return fmt.Errorf("line %d: a second document begins; gwdr reads one", second.Content[0].Line)
	} else if err != nil && err != io.EOF {
		return err
	}
	var c configCheck
	switch root := document.Content[0]; {
	case root.Kind == yaml.MappingNode:
		c.value(root, reflect.TypeFor[Config](), "")
	case root.Tag != "!!null":
		c.say(root.Line, "it has to be KEY: VALUE")
	}
	return c.error()
}

// endless reports whether an alias leads back into what it is a part of. open says of each node that was seen whether it still is
// looked into.
func endless(node *yaml.Node, open map[*yaml.Node]bool) bool {
	if node == nil {
		return false
	}
	if looked, seen := open[node]; seen {
		return looked
	}
	open[node] = true
	inside := slices.ContainsFunc(append(slices.Clone(node.Content), node.Alias), func(n *yaml.Node) bool { return endless(n, open) })
	open[node] = false
	return inside
}

// configCheck collects what is wrong with a configuration file.
type configCheck struct{ said []string }

func (c *configCheck) say(line int, format string, args ...any) {
	c.said = append(c.said, fmt.Sprintf("line %d: ", line)+fmt.Sprintf(format, args...))
}

func (c *configCheck) error() error {
	if len(c.said) == 0 {
		return nil
	}
	return errors.New(strings.Join(c.said, "; "))
}

// value checks a node that is to become a value of the type. path leads to it.
func (c *configCheck) value(node *yaml.Node, t reflect.Type, path string) {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	fits := false
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		if fits = node.Kind == yaml.MappingNode; fits {
			c.keys(node, t, path, map[string]int{})
		}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct {
			c.list(node, t.Elem(), path)
			return
		}
		fits = isText(node) || node.Kind == yaml.SequenceNode && !slices.ContainsFunc(node.Content, func(n *yaml.Node) bool { return !isText(n) })
	case reflect.Bool:
		fits = node.Tag == "!!bool"
	case reflect.Int:
		n, err := strconv.Atoi(node.Value)
		fits = node.Kind == yaml.ScalarNode && err == nil && n >= 0
	default:
		fits = isText(node)
		if t == reflect.TypeFor[time.Duration]() {
			d, err := time.ParseDuration(node.Value)
			fits = fits && err == nil && (d == 0 || d >= time.Second)
		}
	}
	if !fits {
		c.say(node.Line, "%s%s cannot be used; it takes %s", path, shownNode(node, path), wanted(strings.ToLower(path)))
	}
}

// list checks each of several that have keys of their own.
func (c *configCheck) list(node *yaml.Node, t reflect.Type, path string) {
	if node.Kind != yaml.SequenceNode {
		c.say(node.Line, "%s cannot be used; it takes a list, such as [{...}, {...}]", path)
		return
	}
	for i, item := range node.Content {
		c.value(item, t, fmt.Sprintf("%s[%d]", path, i))
	}
}

// isText reports whether the node is one value, and not none.
func isText(node *yaml.Node) bool {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	return node.Kind == yaml.ScalarNode && node.Tag != "!!null"
}

// shownNode is a value for an error about it.
func shownNode(node *yaml.Node, path string) string {
	if node.Kind != yaml.ScalarNode || !showable(path) {
		return ""
	}
	return fmt.Sprintf(" %q", node.Value)
}

// keys checks the keys of a mapping, and those of mappings that are merged into it. lines says where each was seen, as viper
// folds case.
func (c *configCheck) keys(node *yaml.Node, t reflect.Type, path string, lines map[string]int) {
	inner := map[string]reflect.Type{}
	if t.Kind() == reflect.Struct {
		for f := range fieldsOf(t) {
			inner[f.name] = f.kind
		}
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		name := strings.ToLower(key.Value)
		to := strings.TrimPrefix(path+"."+key.Value, ".")
		if key.Tag == "!!merge" {
			c.merged(value, t, path)
			continue
		}
		if line, ok := lines[name]; ok {
			c.say(key.Line, "%s is there already, at line %d", to, line)
		}
		lines[name] = key.Line
		switch kind := inner[name]; {
		case t.Kind() == reflect.Map && !plainName(name):
			c.say(key.Line, "%s: a name has letters, digits, - and _", to)
		case t.Kind() == reflect.Map:
			c.value(value, t.Elem(), to)
			if t.Elem() == reflect.TypeFor[LocationConfig]() && !hasKey(value, "url") {
				c.say(key.Line, "%s has no url", to)
			}
		case kind == nil:
			c.unknown(key, path, inner)
		case kind.Kind() == reflect.Struct && value.Tag == "!!null": // its keys are comments
		default:
			c.value(value, kind, to)
		}
	}
}

// merged checks what is merged into a mapping: another one, or several.
func (c *configCheck) merged(value *yaml.Node, t reflect.Type, path string) {
	if value.Kind == yaml.SequenceNode {
		for _, one := range value.Content {
			c.merged(one, t, path)
		}
		return
	}
	c.value(value, t, path)
}

// hasKey reports whether the mapping has the key, by itself or merged.
func hasKey(node *yaml.Node, name string) bool {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind == yaml.SequenceNode {
		return slices.ContainsFunc(node.Content, func(n *yaml.Node) bool { return hasKey(n, name) })
	}
	for i := 0; node.Kind == yaml.MappingNode && i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if strings.EqualFold(key.Value, name) || key.Tag == "!!merge" && hasKey(node.Content[i+1], name) {
			return true
		}
	}
	return false
}

// plainName reports whether something can be called that: in a key, where a dot leads further down, and in a variable.
func plainName(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

func (c *configCheck) unknown(key *yaml.Node, path string, known map[string]reflect.Type) {
	text := "unknown key " + key.Value
	if path != "" {
		text += " in " + path
	}
	var names []string
	for name := range known {
		names = append(names, name)
	}
	slices.Sort(names)
	if near := nearest(strings.ToLower(key.Value), names); near != "" {
		c.say(key.Line, "%s; did you mean %s?", text, near)
		return
	}
	c.say(key.Line, "%s; there are %s", text, strings.Join(names, ", "))
}
