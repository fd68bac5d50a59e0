package contract

import (
	"encoding/json"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
)

// A value is looked at once for each way in which a schema that consists of itself by one of several (oneOf, anyOf, if and so on) leads to
// it. These double with each level, so that a few dozen bytes can take it for hours, and nothing would stop it. So many looks are enough for
// any body that is meant well: some at all, and some for each of its values.
const (
	looksAtAll   = 50_000
	looksAtValue = 50
)

// A compiled schema keeps of each value that is not as it says the way there: nested deeply, a body of 100 kB takes gigabytes. These
// are so many steps, some at all, and some for each value.
const (
	stepsAtAll   = 50_000
	stepsToValue = 20
)

// hasBranches reports whether schemas of a body consist of others in such a way.
func (o *operation) hasBranches() (found bool) {
	for _, media := range o.body().Content {
		if media == nil || media.Schema == nil {
			continue
		}
		_ = media.Schema.WalkSubtree(func(_ string, ref *openapi3.SchemaRef) error { // the function never fails
			s := ref.Value
			found = found || s != nil && (len(s.OneOf)+len(s.AnyOf)+len(s.AllOf)+len(s.DependentSchemas)+len(s.PatternProperties) > 0 ||
				s.Not != nil || s.If != nil || s.Contains != nil || s.UnevaluatedItems.Schema != nil || s.UnevaluatedProperties.Schema != nil)
			return nil
		})
	}
	return found
}

// node is a value of a body, and how often it will be looked at, with all that it holds, by the schema that it is held against.
type node struct {
	fields map[string]*node
	items  []*node
	looks  []looks
}

type looks struct {
	by    *openapi3.Schema
	count float64
}

// isCostly reports whether a body of valid JSON takes too long to be held against the schema.
func isCostly(schema *openapi3.SchemaRef, body []byte) bool {
	var value any
	if json.Unmarshal(body, &value) != nil {
		return true
	}
	t := tree{leaf: new(node)}
	root := t.node(value, 0)
	return t.steps > stepsAtAll+stepsToValue*t.values || root.cost(schema) > looksAtAll+looksAtValue*float64(t.values)
}

// isCostlyParameter reports whether a parameter of JSON does.
func isCostlyParameter(p *openapi3.Parameter, input *openapi3filter.RequestValidationInput) bool {
	media, texts := p.Content.Get("application/json"), textsOf(p, input)
	return media != nil && len(texts) == 1 && json.Valid([]byte(texts[0])) && isCostly(media.Schema, []byte(texts[0]))
}

// tree makes the nodes of a body.
type tree struct {
	values int
	steps  int   // to all of them together
	leaf   *node // of all values that hold nothing: they cost the same
}

func (t *tree) node(value any, deep int) *node {
	t.values++
	t.steps += deep
	n := t.leaf
	switch value := value.(type) {
	case map[string]any:
		n = &node{fields: make(map[string]*node, len(value))}
		for name, field := range value {
			n.fields[name] = t.node(field, deep+1)
		}
	case []any:
		n = &node{items: make([]*node, len(value))}
		for i, item := range value {
			n.items[i] = t.node(item, deep+1)
		}
	}
	return n
}

// cost is how many looks the value takes. A schema that is looked for while its cost is counted leads to itself without going deeper: it costs
// no more.
func (n *node) cost(ref *openapi3.SchemaRef) float64 {
	if n == nil || ref == nil || ref.Value == nil {
		return 0
	}
	s := ref.Value
	for _, known := range n.looks {
		if known.by == s {
			return known.count
		}
	}
	own := len(n.looks)
	n.looks = append(n.looks, looks{by: s})
	count := 1 + n.costOfAny(s.OneOf) + n.costOfAny(s.AnyOf) + n.costOfAny(s.AllOf) + n.costBelow(s)
	for _, part := range []*openapi3.SchemaRef{s.Not, s.If, s.Then, s.Else} {
		count += n.cost(part)
	}
	for _, part := range s.DependentSchemas {
		count += n.cost(part)
	}
	n.looks[own].count = count
	return count
}

// costOfAny counts the schema that fits twice, as the library looks again.
func (n *node) costOfAny(refs openapi3.SchemaRefs) (sum float64) {
	var most float64
	for _, ref := range refs {
		cost := n.cost(ref)
		sum, most = sum+cost, max(most, cost)
	}
	return sum + most
}

// costBelow is the cost of what the value holds.
func (n *node) costBelow(s *openapi3.Schema) (sum float64) {
	for i, item := range n.items {
		sum += item.cost(s.Items) + item.cost(s.Contains) + item.cost(s.UnevaluatedItems.Schema)
		if i < len(s.PrefixItems) {
			sum += item.cost(s.PrefixItems[i])
		}
	}
	for name, field := range n.fields {
		property := s.Properties[name]
		if property == nil {
			property = s.AdditionalProperties.Schema
		}
		sum += field.cost(property) + field.cost(s.UnevaluatedProperties.Schema)
		for _, pattern := range s.PatternProperties { // whether its name is such or not
			sum += field.cost(pattern)
		}
	}
	return sum
}
