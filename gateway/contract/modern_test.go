package contract

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gwdr/gateway"
)

const modern = `openapi: 3.1.0
info: {title: Shop, version: "1"}
components:
  parameters:
    kind: {name: kind, in: query, schema: {const: card}}
    pair: {name: pair, in: query, explode: false, schema: {type: array, items: {type: string}, prefixItems: [{enum: [a]}, {maxLength: 2}]}}
  requestBodies:
    pay:
      content:
        application/json: {schema: {$ref: "#/components/schemas/pay"}}
        application/x-www-form-urlencoded:
          schema: {type: object, properties: {a: {type: integer}, b: {type: string}}, dependentRequired: {a: [b]}}
        application/vnd.point+json:
          schema: {type: object, properties: {x: {type: integer, nullable: true}, id: {type: string, readOnly: true}}, required: [x, id]}
        application/vnd.made+json: {schema: {$ref: "#/components/schemas/made", required: [at], if: true}}
        application/vnd.word+json: {schema: {type: [string, "null"], enum: [yes], const: yes}}
  schemas:
    pay:
      type: object
      required: [method, amount]
      properties:
        method: {enum: [card, cash]}
        amount: {type: integer, format: int32, minimum: 1}
        number: {type: string, pattern: "^[0-9]+$"}
        extras: {type: object, patternProperties: {"^x-": {type: boolean}}, propertyNames: {maxLength: 5}}
        never: false
        parts: {type: array, contains: {const: whole}, items: {$ref: "#/components/schemas/part"}}
        on: {type: string, format: date}
        mail: {type: string, format: email}
        id: {$ref: "#/components/schemas/id"}
        at: {$ref: "#/components/schemas/pay/properties/on", readOnly: true}
      allOf: [{required: [id, by, at]}, {$ref: "#/components/schemas/made"}]
      if: {properties: {method: {const: card}}}
      then: {required: [number]}
      unevaluatedProperties: false
    id: {type: string, readOnly: true}
    made: {required: [at, by], properties: {by: {type: string, readOnly: true}, at: {type: string, readOnly: true}}}
    part: {anyOf: [{const: whole}, {$ref: "#/components/schemas/pay"}]}
paths:
  /pay/{of}:
    parameters:
      - {name: of, in: path, schema: {type: string, if: {maxLength: 1}, else: {pattern: "^of"}}}
    post:
      parameters:
        - $ref: "#/components/parameters/kind"
        - $ref: "#/components/parameters/pair"
        - {name: long, in: query, schema: {not: {maxLength: 1}}}
        - {name: X-N, in: header, schema: {type: integer, not: {const: 7}}}
        - {name: filter, in: query, content: {application/json: {schema: {type: object, dependentSchemas: {a: {required: [b]}}}}}}
      requestBody: {$ref: "#/components/requestBodies/pay"}
`

func TestModernParameters(t *testing.T) {
	c := contractOf(t, modern, "POST /pay/{of}")
	for target, want := range map[string]*Violation{
		"/pay/x":                         nil,
		"/pay/ofx?kind=card&pair=a,bb":   nil,
		"/pay/x?long=12":                 nil,
		"/pay/x?long=1":                  {"query", "long", "not"},
		"/pay/xyz":                       {"path", "of", "pattern"},
		"/pay/x?kind=secret":             {"query", "kind", "const"},
		"/pay/x?pair=secret,b":           {"query", "pair", "enum"},
		"/pay/x?kind=card&pair=a,secret": {"query", "pair", "maxLength"},
		"/pay/x?filter=" + `{"a":1}`:     {"query", "filter", "required"},
		"/pay/x?filter=" + `{"b":1}`:     nil,
		"/pay/x?filter=1":                {"query", "filter", "type"},
	} {
		got, err := c.Check(requestOf(t, "POST "+target, ""), nil)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", target, err, diff)
		}
	}
	for value, want := range map[string]*Violation{"6": nil, "7": {"header", "X-N", "not"}, "secret": {"header", "X-N", "unreadable"}} {
		if got, err := c.Check(requestOf(t, "POST /pay/x", "", "X-N: "+value), nil); err != nil || !cmp.Equal(want, got) {
			t.Errorf("X-N: %s: %v, %v", value, got, err)
		}
	}
}

func TestModernBodies(t *testing.T) {
	c := contractOf(t, modern, "POST /pay/{of}")
	for kind, bodies := range map[string]map[string]*Violation{
		"application/json": {
			`{"method":"cash","amount":1}`:                                                nil,
			`{"method":"card","amount":1,"number":"1"}`:                                   nil,
			`{"method":"cash","amount":1,"extras":{"x-a":true},"mail":"no address"}`:      nil, // of formats, those count that count in older documents
			`{"method":"cash","amount":1,"parts":["whole",{"method":"cash","amount":2}]}`: nil,
			`{"amount":1}`:                          {"body", "/method", "required"},
			`{}`:                                    {"body", "/method", "required"}, // of two, always the same
			`null`:                                  {"body", "", "type"},
			`[]`:                                    {"body", "", "type"},
			`{"method":"secret","amount":1}`:        {"body", "/method", "enum"},
			`{"method":"card","amount":1}`:          {"body", "/number", "required"},
			`{"method":"cash","amount":0}`:          {"body", "/amount", "minimum"},
			`{"method":"cash","amount":3000000000}`: {"body", "/amount", "format"},
			`{"method":"cash","amount":1,"on":"soon"}`:                {"body", "/on", "format"},
			`{"method":"cash","amount":1,"secret":1}`:                 {"body", "/*", "unevaluatedProperties"},
			`{"method":"cash","amount":1,"never":1}`:                  {"body", "/never", "boolean"},
			`{"method":"cash","amount":1,"parts":[]}`:                 {"body", "/parts", "contains"},
			`{"method":"cash","amount":1,"extras":{"x-s":"secret"}}`:  {"body", "/extras/*", "type"},
			`{"method":"cash","amount":1,"extras":{"x-secret":true}}`: {"body", "", "propertyNames"},
		},
		"application/x-www-form-urlencoded": {
			"a=1&b=x":  nil,
			"b=x":      nil,
			"a=1":      {"body", "", "dependentRequired"},
			"a=secret": {"body", "/a", "unreadable"},
		},
		"application/vnd.point+json": { // nothing that is new: as in an older document
			`{"x":1}`:             nil,
			`{"x":null}`:          {"body", "/x", "type"},
			`{"x":1,"id":"mine"}`: {"body", "/id", "readOnly"},
			`{}`:                  {"body", "/x", "required"},
		},
		"application/vnd.made+json": {`{}`: nil, `{"at":"x"}`: {"body", "/at", "readOnly"}},
		"application/vnd.word+json": {`"yes"`: nil, `null`: {"body", "", "const"}},
	} {
		for body, want := range bodies {
			for range 3 {
				got, err := c.Check(requestOf(t, "POST /pay/x", "", "Content-Type: "+kind), []byte(body))
				if diff := cmp.Diff(want, got); diff != "" || err != nil {
					t.Errorf("%s: %s: %v %s", kind, body, err, diff)
				}
				if got != nil && strings.Contains(got.String(), "secret") {
					t.Errorf("%s: a value is told: %s", body, got)
				}
			}
		}
	}
}

// Null is as JSON Schema has it, be it the library that judges it in other schemas.
func TestNullOfModernSchemas(t *testing.T) {
	for schema, want := range map[string]string{
		`{"const":null}`:                                             "1 enum",
		`{"items":{"const":null}}`:                                   "[1] enum",
		`{"enum":["a"],"type":["string","null"]}`:                    "null enum",
		`{"oneOf":[{"type":"array"}],"type":["string","null"]}`:      "null oneOf",
		`{"allOf":[{"type":["object","null"]}],"type":"object"}`:     "null type",
		`{"$ref":"#/components/schemas/any","type":"string"}`:        "1 type",
		`{"enum":["a",null]}`:                                        "null",
		`{"properties":{"a":{"enum":["a",null]}}}`:                   `{"a":null}`,
		`{"anyOf":[{"type":"string","enum":["a"]},{"type":"null"}]}`: "null",
	} {
		c := contractOf(t, `{"openapi":"3.1.0","components":{"schemas":{"any":true}},
			"paths":{"/x":{"post":{"requestBody":{"content":{"application/json":{"schema":`+schema+`}}}}}}}`, "POST /x")
		body, rule, _ := strings.Cut(want, " ")
		v, err := c.Check(requestOf(t, "POST /x", "", "Content-Type: application/json"), []byte(body))
		if err != nil || (v == nil) != (rule == "") || v != nil && v.Rule != rule {
			t.Errorf("%s: %s: %v, %v", schema, want, v, err)
		}
	}
}

// Operations that share schemas are compiled, and asked, by many at once.
func TestModernByManyAtOnce(t *testing.T) {
	document := strings.ReplaceAll(modern, "paths:\n", `paths:
  /other: {post: {requestBody: {$ref: "#/components/requestBodies/pay"}}}
`)
	d, err := Compile([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range 16 {
		path := []string{"/pay/{of}", "/other"}[i%2]
		all.Go(func() {
			c, err := d.Contract("shop", &gateway.RouteBody{Methods: []string{"POST"}, Path: path})
			if err != nil {
				t.Error(err)
				return
			}
			v, err := c.Check(requestOf(t, "POST /pay/x", "", "Content-Type: application/json"), []byte(`{"method":"card","amount":1}`))
			if err != nil || v == nil || *v != (Violation{"body", "/number", "required"}) {
				t.Errorf("%v, %v", v, err)
			}
		})
	}
	all.Wait()
}

// What cannot be compiled is said when the route is made, and never left out.
func TestModernSchemasThatCannotBe(t *testing.T) {
	for schema, want := range map[string]string{
		`{"patternProperties":{"(?=a)":true}}`: "(?=a)",
		`{"const":1,"type":"nothing"}`:         "nothing",
		`{"items":{"$dynamicRef":"#"}}`:        "$dynamicRef", // what it leads to could cost without end
	} {
		d, err := Compile([]byte(`{"openapi":"3.1.0","paths":{"/x":{"post":{"requestBody":{"content":{"application/json":{"schema":` + schema + `}}}}}}}`))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Contract("s", &gateway.RouteBody{Methods: []string{"POST"}, Path: "/x"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", schema, err)
		}
	}
}

// Schemas that are made of each other, or of the same by many ways, are made ready at once.
func TestSchemasMadeOfEachOther(t *testing.T) {
	var chain strings.Builder // each is twice of the next
	for i := range 40 {
		fmt.Fprintf(&chain, `"s%d":{"allOf":[{"$ref":"#/components/schemas/s%d"},{"$ref":"#/components/schemas/s%[2]d"}]},`, i, i+1)
	}
	contractOf(t, `{"openapi":"3.0.3","components":{"schemas":{`+chain.String()+`"s40":{"type":"string"}}},
		"paths":{"/x":{"post":{"parameters":[{"name":"q","in":"query","schema":{"$ref":"#/components/schemas/s0"}}]}}}}`, "POST /x")
	self := strings.Repeat(`{"$ref":"#/components/schemas/s"},`, 10)
	contractOf(t, `{"openapi":"3.1.0","components":{"schemas":{"s":{"if":true,"required":["a"],"allOf":[`+self+`true]}}},
		"paths":{"/x":{"post":{"requestBody":{"content":{"application/json":{"schema":{"$ref":"#/components/schemas/s"}}}}}}}}`, "POST /x")
}

// BenchmarkCheck holds the same body against the same schema as an older and a newer document say it, and against one that is modern.
func BenchmarkCheck(b *testing.B) {
	newer := strings.Replace(shop, "3.0.3", "3.1.0", 1)
	for name, document := range map[string]string{
		"3.0": shop, "3.1": newer, "modern": strings.Replace(newer, "maxLength: 5, pattern", "maxLength: 5, not: {const: b}, pattern", 1),
	} {
		b.Run(name, func(b *testing.B) {
			c, body := contractOf(b, document, "POST /v1/orders"), `{"item":"a","price":1,"lines":[{"n":1},{"n":2}],"labels":{"a":"b"}}`
			r := requestOf(b, "POST /v1/orders", "", "Content-Type: application/json")
			for b.Loop() {
				if v, err := c.Check(r, []byte(body)); v != nil || err != nil {
					b.Fatal(v, err)
				}
			}
		})
	}
}
