package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Difference is a field of the report that is not what the evidence gives. A field that is missing on one side is empty
// there.
type Difference struct {
	Field      string `json:"field"` // as in report.json: objectives[0].high_s
	Reported   string `json:"reported"`
	Recomputed string `json:"recomputed"`
}

// String names the field and both values.
func (d Difference) String() string {
	return fmt.Sprintf("%s: reported %s, recomputed %s", d.Field, dash(d.Reported), dash(d.Recomputed))
}

// tolerance is how far numbers may lie apart: processors differ in how they round.
const tolerance = 1e-9

// compare returns every field in which two JSON documents differ, by name.
func compare(reported, recomputed []byte) ([]Difference, error) {
	a, err := fields(reported)
	if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	b, err := fields(recomputed)
	if err != nil {
		return nil, err
	}
	var all []Difference
	for field, value := range a {
		if other, ok := b[field]; !ok || !same(value, other) {
			all = append(all, Difference{Field: field, Reported: value, Recomputed: other})
		}
	}
	for field, value := range b {
		if _, ok := a[field]; !ok {
			all = append(all, Difference{Field: field, Recomputed: value})
		}
	}
	slices.SortFunc(all, func(x, y Difference) int { return strings.Compare(x.Field, y.Field) })
	return all, nil
}

// fields flattens a document: a path to each value that holds no other, and the value as JSON.
func fields(doc []byte) (map[string]string, error) {
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if dec.More() {
		return nil, fmt.Errorf("more than one value")
	}
	all := map[string]string{}
	flatten(all, "", v)
	return all, nil
}

func flatten(all map[string]string, path string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for name, child := range v {
			flatten(all, strings.TrimPrefix(path+"."+name, "."), child)
		}
		if len(v) == 0 {
			all[path] = "{}"
		}
	case []any:
		for i, child := range v {
			flatten(all, path+"["+strconv.Itoa(i)+"]", child)
		}
		if len(v) == 0 {
			all[path] = "[]"
		}
	default:
		text, _ := json.Marshal(v) // a string, a number, a boolean or null
		all[path] = string(text)
	}
}

// same reports whether two values are equal, numbers within the tolerance.
func same(a, b string) bool {
	if a == b {
		return true
	}
	x, errX := strconv.ParseFloat(a, 64)
	y, errY := strconv.ParseFloat(b, 64)
	return errX == nil && errY == nil && math.Abs(x-y) <= tolerance*max(1, math.Abs(x), math.Abs(y))
}
