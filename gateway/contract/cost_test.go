package contract

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const filters = `openapi: %s
info: {title: Shop, version: "1"}
components:
  schemas:
    node: {oneOf: [{$ref: "#/components/schemas/and"}, {$ref: "#/components/schemas/or"}, {type: string}]}
    and: {type: object, properties: {op: {enum: [and]}, in: {type: array, items: {$ref: "#/components/schemas/node"}}}}
    or: {type: object, properties: {op: {enum: [or]}, in: {type: array, items: {$ref: "#/components/schemas/node"}}}}
paths:
  /q: {post: {requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/node"}}}}}}
`

// A body of a few bytes cannot keep the gateway busy, and a large one that is plain passes.
func TestCostlyBodies(t *testing.T) {
	for _, version := range []string{"3.0.3", "3.1.0"} {
		c := contractOf(t, fmt.Sprintf(filters, version), "POST /q")
		nested := func(n int) string { return strings.Repeat(`{"in":[`, n) + `"x"` + strings.Repeat(`],"op":"or"}`, n) }
		for body, want := range map[string]string{
			nested(5):    "",
			nested(1000): "costly",
			`{"op":"or","in":[` + strings.Repeat(`"x",`, 10_000) + `"x"]}`:      "",
			`{"op":"or","in":[` + strings.Repeat(nested(6)+",", 1000) + `"x"]}`: "costly",
		} {
			v, err := c.Check(requestOf(t, "POST /q", body, "Content-Type: application/json"), []byte(body))
			if err != nil || (v == nil) != (want == "") || v != nil && v.Rule != want {
				t.Errorf("%s: %d bytes: %v, %v, want %q", version, len(body), v, err, want)
			}
		}
	}
}

// What is new in version 3.1 leads to itself in other ways.
func TestCostlyModernBodies(t *testing.T) {
	for _, schema := range []string{
		`{"if":{"properties":{"a":SELF}},"then":{"properties":{"a":SELF}},"else":{"properties":{"a":SELF}}}`,
		`{"dependentSchemas":{"a":{"properties":{"a":SELF}}},"patternProperties":{"a":SELF}}`,
		`{"patternProperties":{"a":SELF,"^a":SELF}}`,
		`{"properties":{"a":SELF},"not":{"type":"object","properties":{"a":SELF},"propertyNames":{"maxLength":0}}}`,
		`{"unevaluatedProperties":SELF,"anyOf":[{"propertyNames":true},{"patternProperties":{"a":SELF}}],"if":{"required":["b"]}}`,
	} {
		schema = strings.ReplaceAll(schema, "SELF", `{"$ref":"#/components/schemas/s"}`)
		c := contractOf(t, `{"openapi":"3.1.0","components":{"schemas":{"s":`+schema+`}},
			"paths":{"/q":{"post":{"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/s"}}}}}}}}`, "POST /q")
		for body, want := range map[string]bool{`{"a":{"a":1}}`: false, strings.Repeat(`{"a":`, 100) + "1" + strings.Repeat("}", 100): true} {
			v, err := c.Check(requestOf(t, "POST /q", "", "Content-Type: application/json"), []byte(body))
			if err != nil || (v != nil) != want || v != nil && v.Rule != costly {
				t.Errorf("%s: %d bytes: %v, %v", schema, len(body), v, err)
			}
		}
	}
}

// What is wrong at each of many levels is not kept with the way to each: that takes gigabytes.
func TestDeepModernBodies(t *testing.T) {
	c := contractOf(t, `{"openapi":"3.1.0","components":{"schemas":{"s":{"properties":{"a":{"$ref":"#/components/schemas/s"},"b":{"const":1}}}}},
		"paths":{"/q":{"post":{"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/s"}}}}}}}}`, "POST /q")
	for levels, want := range map[int]string{100: "const", 2000: costly} {
		body := strings.Repeat(`{"b":0,"a":`, levels) + "1" + strings.Repeat("}", levels)
		v, err := c.Check(requestOf(t, "POST /q", "", "Content-Type: application/json"), []byte(body))
		if err != nil || v == nil || v.Rule != want {
			t.Errorf("%d levels: %v, %v", levels, v, err)
		}
	}
}

// Nor can a parameter that is JSON.
func TestCostlyParameters(t *testing.T) {
	for _, version := range []string{"3.0.3", "3.1.0"} {
		for _, in := range []string{"query", "header", "path"} {
			document := strings.Replace(fmt.Sprintf(filters, version), "  /q: {post: {requestBody: {", "  /q/{n}: {post: {parameters: [{name: n, in: "+in+", ", 1)
			document = strings.Replace(document, "}}}}}}\n", "}}}}]}}\n", 1)
			c := contractOf(t, document, "POST /q/{n}")
			for levels, want := range map[int]*Violation{5: nil, 100: {in, "n", costly}} {
				value := strings.Repeat(`{"in":[`, levels) + `"x"` + strings.Repeat(`],"op":"or"}`, levels)
				r := requestOf(t, "POST /q/"+url.PathEscape(value)+"?n="+url.QueryEscape(value), "", "n: "+value)
				if v, err := c.Check(r, nil); err != nil || !cmp.Equal(want, v) {
					t.Errorf("%s: %s: %d levels: %v, %v", version, in, levels, v, err)
				}
			}
		}
	}
}

// Of a body that is refused in thousands of places it is not said where: the reasons would take a thousand times its memory.
func TestManyReasons(t *testing.T) {
	c := contractOf(t, `{"openapi":"3.1.0","paths":{"/q":{"post":{"requestBody":{"content":{"application/json":{"schema":
		{"items":{"anyOf":[{"const":1},{"const":2}]}}}}}}}}}`, "POST /q")
	for n, want := range map[int]Violation{1: {"body", "/0", "anyOf"}, 10_000: {"body", "", "schema"}} {
		body := "[" + strings.Repeat("0,", n-1) + "0]"
		v, err := c.Check(requestOf(t, "POST /q", body, "Content-Type: application/json"), []byte(body))
		if err != nil || v == nil || *v != want {
			t.Errorf("%d places: %v, %v", n, v, err)
		}
	}
}
