package gateway

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// readYAML reads the one document of a YAML text that JSON could say as well, as readJSON does. Aliases and merges are
// resolved. Bare text is no document: as YAML almost any text would be one.
func readYAML(text []byte) (any, error) {
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var document, more yaml.Node
	if err := dec.Decode(&document); err != nil {
		return nil, err
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errAmbiguous
	}
	if len(document.Content) != 1 || document.Content[0].Kind == yaml.ScalarNode {
		return nil, errAmbiguous
	}
	r := yamlReader{left: 1000 + 20*len(text)}
	return r.value(document.Content[0], 0)
}

// yamlReader bounds what is made of a text: few aliases say a lot.
type yamlReader struct {
	left int // nodes that may still be visited
}

const maxYAMLDepth = 1000

func (r *yamlReader) value(n *yaml.Node, depth int) (any, error) {
	if r.left--; r.left < 0 || depth > maxYAMLDepth {
		return nil, errAmbiguous
	}
	switch n.Kind {
	case yaml.AliasNode:
		return r.value(n.Alias, depth+1)
	case yaml.ScalarNode:
		return yamlScalar(n)
	case yaml.SequenceNode:
		return r.sequence(n, depth)
	case yaml.MappingNode:
		return r.mapping(n, depth)
	}
	return nil, errAmbiguous
}

func (r *yamlReader) sequence(n *yaml.Node, depth int) (any, error) {
	if n.ShortTag() != "!!seq" {
		return nil, errAmbiguous
	}
	array := []any{}
	for _, item := range n.Content {
		value, err := r.value(item, depth+1)
		if err != nil {
			return nil, err
		}
		array = append(array, value)
	}
	return array, nil
}

func (r *yamlReader) mapping(n *yaml.Node, depth int) (any, error) {
	if n.ShortTag() != "!!map" {
		return nil, errAmbiguous
	}
	object, merged := map[string]any{}, map[string]any{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.ShortTag() == "!!merge" {
			if err := r.merge(value, merged, depth); err != nil {
				return nil, err
			}
			continue
		}
		if err := r.member(object, key, value, depth); err != nil {
			return nil, err
		}
	}
	for key, value := range merged {
		if _, own := object[key]; !own {
			object[key] = value
		}
	}
	return object, nil
}

// member adds one key and its value. In JSON every key is text, so that 200 is the key "200".
func (r *yamlReader) member(object map[string]any, key, value *yaml.Node, depth int) (err error) {
	if key.Kind == yaml.AliasNode {
		key = key.Alias
	}
	if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!null" || key.ShortTag() == "!!binary" {
		return errAmbiguous
	}
	if _, twice := object[key.Value]; twice {
		return errAmbiguous
	}
	object[key.Value], err = r.value(value, depth+1)
	return err
}

// merge adds what a << key brings: one mapping, or several, of which the first one wins.
func (r *yamlReader) merge(n *yaml.Node, into map[string]any, depth int) error {
	value, err := r.value(n, depth+1)
	if err != nil {
		return err
	}
	list, several := value.([]any)
	if !several {
		list = []any{value}
	}
	for _, item := range list {
		object, isObject := item.(map[string]any)
		if !isObject {
			return errAmbiguous
		}
		for key, value := range object {
			if _, there := into[key]; !there {
				into[key] = value
			}
		}
	}
	return nil
}

// yamlScalar reads a scalar as the type that YAML sees in it. A date is the text that it is in JSON.
func yamlScalar(n *yaml.Node) (any, error) {
	switch n.ShortTag() {
	case "!!str", "!!timestamp":
		return n.Value, nil
	case "!!null":
		return nil, nil
	case "!!bool":
		return strconv.ParseBool(strings.ToLower(n.Value))
	case "!!float":
		return canonicalNumber(strings.ReplaceAll(n.Value, "_", ""))
	case "!!int":
		return yamlInteger(n)
	}
	return nil, errAmbiguous
}

// yamlInteger also reads what only YAML spells: 0x1f, 0o17, 1_000.
func yamlInteger(n *yaml.Node) (any, error) {
	digits := strings.TrimLeft(n.Value, "+-")
	if digits == "0" || strings.Trim(digits, "0123456789") == "" && !strings.HasPrefix(digits, "0") {
		return canonicalNumber(n.Value)
	}
	var signed int64
	if err := n.Decode(&signed); err == nil {
		return canonicalNumber(strconv.FormatInt(signed, 10))
	}
	var unsigned uint64
	if err := n.Decode(&unsigned); err != nil {
		return nil, errAmbiguous
	}
	return canonicalNumber(strconv.FormatUint(unsigned, 10))
}
