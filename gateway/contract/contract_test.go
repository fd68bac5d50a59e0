package contract

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gwdr/gateway"
)

const shop = `openapi: 3.0.3
info: {title: Shop, version: "1"}
servers: [{url: https://shop.example/v1}]
security: [{token: []}]
components:
  securitySchemes: {token: {type: http, scheme: bearer}}
  schemas:
    order:
      type: object
      required: [item, price]
      additionalProperties: false
      properties:
        item: {type: string, maxLength: 5, pattern: "^[a-z]+$"}
        price: {type: number, minimum: 0}
        lines: {type: array, items: {type: object, properties: {n: {type: integer}}}}
        labels: {type: object, additionalProperties: {type: string, maxLength: 3}}
        id: {type: string, readOnly: true}
        parent: {$ref: "#/components/schemas/order"}
paths:
  /orders/{id}.{form}:
    parameters:
      - {name: id, in: path, schema: {type: integer, minimum: 1}}
      - {name: form, in: path, required: true, schema: {enum: [json, xml]}}
      - {name: X-Tenant, in: header, required: true, schema: {type: string, maxLength: 5}}
    get:
      parameters:
        - {name: limit, in: query, examples: {some: {$ref: "#/components/examples/some"}}, schema: {type: integer, maximum: 9, default: 5}}
        - {name: tags, in: query, explode: false, schema: {type: array, maxItems: 2, items: {type: string}}}
        - {name: Accept, in: header, required: true, schema: {enum: [never]}}
        - {name: session, in: cookie, schema: {type: string, minLength: 3}}
        - {name: any, in: query, schema: {}}
        - {name: some, in: query, schema: {anyOf: [{type: array, items: {type: integer}}, {allOf: [{type: array, items: {type: integer}}]}]}}
        - {name: of, in: query, style: deepObject, schema: {type: object, properties: {a: {type: integer}}}}
        - {name: form, in: query, schema: {type: object, properties: {p: {type: integer}, q: {type: integer}}}}
        - {name: json, in: query, content: {application/json: {schema: {type: integer}}}}
        - {name: word, in: query, schema: {minLength: 2}}
        - {name: page, in: query, schema: {anyOf: [{type: integer}, {type: boolean}]}}
  /orders:
    post:
      requestBody:
        required: true
        content:
          application/json: {schema: {$ref: "#/components/schemas/order"}, examples: {some: {$ref: "#/components/examples/some"}}}
          application/x-www-form-urlencoded: {schema: {type: object, required: [item], properties: {item: {type: string}}}}
          image/*: {}
`

const tenant = "X-Tenant: acme"

// contractOf compiles the document and binds the route "METHOD path" to it.
func contractOf(t testing.TB, document, route string) *Contract {
	t.Helper()
	d, err := Compile([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	method, path, _ := strings.Cut(route, " ")
	c, err := d.Contract("shop", &gateway.RouteBody{Methods: []string{method}, Path: path})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func requestOf(t testing.TB, line, body string, header ...string) *http.Request {
	t.Helper()
	method, target, _ := strings.Cut(line, " ")
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

func TestParameters(t *testing.T) {
	c := contractOf(t, shop, "GET /v1/orders/{order}.{form}")
	for line, want := range map[string]*Violation{
		"GET /v1/orders/7.json":                      nil,
		"HEAD /v1/orders/7.xml?limit=9&tags=a,b":     nil,
		"GET /v1/orders/7.json?other=1":              nil,
		"GET /v1/orders/7.json?any=1&word=12&page=1": nil,
		"GET /v1/orders/7.json?word=1":               {"query", "word", "minLength"},
		"GET /v1/orders/7.json?page=one":             {"query", "page", "unreadable"},
		"GET /v1/orders/7.json?page=":                {"query", "page", "empty"},
		"GET /v1/orders/0.json":                      {"path", "id", "minimum"},
		"GET /v1/orders/x.json":                      {"path", "id", "unreadable"},
		"GET /v1/orders/7.yaml":                      {"path", "form", "enum"},
		"GET /v1/orders/7.json?limit=10":             {"query", "limit", "maximum"},
		"GET /v1/orders/7.json?limit=ten":            {"query", "limit", "unreadable"},
		"GET /v1/orders/7.json?tags=a,b,c":           {"query", "tags", "maxItems"},
		"GET /v1/orders/7.json?limit=1;limit=secret": {"query", "", "unreadable"},
	} {
		got, err := c.Check(requestOf(t, line, "", tenant), nil)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", line, err, diff)
		}
	}
	for header, want := range map[string]Violation{
		"X-Other: 1":       {"header", "X-Tenant", "missing"},
		"X-Tenant: secret": {"header", "X-Tenant", "maxLength"},
	} {
		if got, err := c.Check(requestOf(t, "GET /v1/orders/7.json", "", header), nil); err != nil || got == nil || *got != want {
			t.Errorf("%s: %v, %v", header, got, err)
		}
	}
	if got, _ := c.Check(requestOf(t, "GET /v1/orders/7.json", "", tenant, "Cookie: session=x"), nil); got == nil || *got != (Violation{"cookie", "session", "minLength"}) {
		t.Errorf("cookie: %v", got)
	}
}

// What the endpoint may read in another way than was checked is not as the document wants.
func TestReadInOneWay(t *testing.T) {
	c := contractOf(t, shop, "GET /v1/orders/{order}.{form}")
	for line, want := range map[string]*Violation{
		"GET /v1/orders/7.json?limit=1&limit=1000": {"query", "limit", "repeated"},
		"GET /v1/orders/7.json?limit=&limit=1":     {"query", "limit", "repeated"},
		"GET /v1/orders/7.json?tags=a&tags=b":      {"query", "tags", "repeated"}, // not exploded: a list has commas
		"GET /v1/orders/7.json?page=1&page=x":      {"query", "page", "repeated"},
		"GET /v1/orders/7.json?word=ab&word=ac":    {"query", "word", "repeated"},
		"GET /v1/orders/7.json?some=1&some=2":      nil,
		"GET /v1/orders/7.json?some=1&some=x":      {"query", "some", "unreadable"},
		"GET /v1/orders/7.json?of[a]=1":            nil,
		"GET /v1/orders/7.json?of[a]=1&of[a]=x":    {"query", "of", "repeated"},
		"GET /v1/orders/7.json?p=1&q=2":            nil,
		"GET /v1/orders/7.json?p=1&p=x":            {"query", "form", "repeated"},
		"GET /v1/orders/7.json?json=1&json=1":      {"query", "json", "repeated"},
		"GET /v1/orders/7.json?other=1&other=2":    nil,
	} {
		if got, err := c.Check(requestOf(t, line, "", tenant), nil); err != nil || !cmp.Equal(want, got) {
			t.Errorf("%s: %v, %v", line, got, err)
		}
	}
	for header, want := range map[string]Violation{
		"X-Tenant: secret":                      {"header", "X-Tenant", "repeated"},
		"Cookie: session=long; session=s":       {"cookie", "session", "repeated"},
		"Cookie: session=long; a=b; session=s2": {"cookie", "session", "repeated"},
	} {
		if got, _ := c.Check(requestOf(t, "GET /v1/orders/7.json", "", tenant, header), nil); got == nil || *got != want {
			t.Errorf("%s: %v", header, got)
		}
	}
	c = contractOf(t, shop, "POST /shop/v1/orders")
	kind := &Violation{"header", "Content-Type", "unreadable"}
	for _, r := range []struct {
		body   string
		header []string
		want   *Violation
	}{
		{`{}`, []string{"Content-Type: application/json; x"}, kind},
		{`{}`, []string{"Content-Type: application/json; a=1; a=2"}, kind},
		{`{}`, []string{"Content-Type: image/png", "Content-Type: application/json"}, &Violation{"header", "Content-Type", "repeated"}},
		{`{"item":"a","price":1} {}`, []string{"Content-Type: application/json"}, &Violation{"body", "", "unreadable"}},
		{`{"item":"secret","item":"a","price":1}`, []string{"Content-Type: application/json"}, &Violation{"body", "", "unreadable"}},
		{`{"item":"a","price":1}` + "\n", []string{"Content-Type: application/json"}, nil},
		{`item=a&item=secret`, []string{"Content-Type: application/x-www-form-urlencoded"}, &Violation{"body", "/item", "repeated"}},
		{"\x00", []string{"Content-Type: image/png", "Content-Encoding: gzip"}, nil},
		{"\x1f\x8b", []string{"Content-Type: application/json", "Content-Encoding: gzip"}, &Violation{"body", "", "compressed"}},
		{"item=a", []string{"Content-Type: application/x-www-form-urlencoded", "Content-Encoding: identity", "Content-Encoding: br"}, &Violation{"body", "", "compressed"}},
		{"item=a", []string{"Content-Type: application/x-www-form-urlencoded", "Content-Encoding: Identity"}, nil},
	} {
		if got, err := c.Check(requestOf(t, "POST /shop/v1/orders", r.body, r.header...), []byte(r.body)); err != nil || !cmp.Equal(r.want, got) {
			t.Errorf("%q as %q: %v, %v", r.body, r.header, got, err)
		}
	}
}

func TestBodies(t *testing.T) {
	c := contractOf(t, shop, "POST /shop/v1/orders")
	for body, want := range map[string]*Violation{
		`{"item":"a","price":1}`:                                 nil,
		`{"item":"a","price":1,"parent":{"item":"b","price":0}}`: nil,
		``:                               {"body", "", "missing"},
		`{"item":"a",`:                   {"body", "", "unreadable"},
		`[]`:                             {"body", "", "type"},
		`{"item":"a"}`:                   {"body", "/price", "required"},
		`{"item":"secret","price":1}`:    {"body", "/item", "maxLength"},
		`{"item":"S","price":1}`:         {"body", "/item", "pattern"},
		`{"item":"a","price":-1}`:        {"body", "/price", "minimum"},
		`{"item":"a","price":1,"id":""}`: {"body", "/id", "readOnly"},
		`{"item":"a","price":1,"lines":[{},{"n":"secret"}]}`:            {"body", "/lines/1/n", "type"},
		`{"item":"a","price":1,"labels":{"secret":"secret"}}`:           {"body", "/labels/*", "maxLength"},
		`{"item":"a","price":1,"parent":{"item":"b","price":"secret"}}`: {"body", "/parent/price", "type"},
	} {
		got, err := c.Check(requestOf(t, "POST /shop/v1/orders", body, "Content-Type: application/json; charset=utf-8"), []byte(body))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", body, err, diff)
		}
		if got != nil && strings.Contains(got.String(), "secret") {
			t.Errorf("%s: a value is told: %s", body, got)
		}
	}
	extra, err := c.Check(requestOf(t, "POST /shop/v1/orders", "", "Content-Type: application/json"), []byte(`{"item":"a","price":1,"secret":1}`))
	if err != nil || extra == nil || strings.Contains(extra.String(), "secret") {
		t.Errorf("a property too many: %v, %v", extra, err)
	}
}

// Of bodies that are neither JSON nor a form, only the type counts.
func TestTypesOfBodies(t *testing.T) {
	c := contractOf(t, shop, "POST /v1/orders")
	for kind, want := range map[string]*Violation{
		"application/x-www-form-urlencoded": nil,
		"image/png":                         nil,
		"Application/JSON":                  {"body", "", "unreadable"},
		"application/xml":                   {"header", "Content-Type", "content"},
		"text/secret":                       {"header", "Content-Type", "content"},
		"":                                  {"header", "Content-Type", "missing"},
	} {
		got, err := c.Check(requestOf(t, "POST /v1/orders", "", "Content-Type: "+kind), []byte("item=x"))
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v %s", kind, err, diff)
		}
	}
}

func TestOlderAndNewerDocuments(t *testing.T) {
	old := `{"swagger":"2.0","info":{"title":"","version":""},"basePath":"/b","consumes":["application/json"],
		"definitions":{"o":{"type":"object","required":["a"],"properties":{"a":{"type":"integer"}}}},
		"paths":{"/x/{id}":{"post":{"parameters":[{"name":"id","in":"path","required":true,"type":"integer"},
			{"name":"o","in":"body","required":true,"schema":{"$ref":"#/definitions/o"}}],"responses":{"200":{"description":"ok"}}}}}}`
	newer := `{"openapi":"3.1.0","info":{"title":"","version":""},"servers":[{"url":"/b"}],"components":{"schemas":{"o":{"type":["object","null"],"required":["a"],
		"properties":{"a":{"type":"integer","exclusiveMinimum":0,"exclusiveMaximum":99},"b":{"const":1}}}}},
		"paths":{"/x/{id}":{"post":{"parameters":[{"name":"id","in":"path","required":true,"schema":{"type":"integer"}}],
			"requestBody":{"required":true,"content":{"application/json":{"schema":{"$ref":"#/components/schemas/o"}}}}}}}}`
	for name, document := range map[string]string{"2.0": old, "3.1": newer} {
		c := contractOf(t, document, "POST /b/x/{id}")
		for body, want := range map[string]string{`{"a":1}`: "", `{}`: "required", `{"a":"secret"}`: "type", "": "missing"} {
			v, err := c.Check(requestOf(t, "POST /b/x/1", "", "Content-Type: application/json"), []byte(body))
			if err != nil || (v == nil) != (want == "") || v != nil && v.Rule != want {
				t.Errorf("%s: %s: %v, %v, want %s", name, body, v, err, want)
			}
		}
	}
	v, err := contractOf(t, newer, "POST /b/x/{id}").Check(requestOf(t, "POST /b/x/1", "", "Content-Type: application/json"), []byte(`{"a":1,"b":2}`))
	if err != nil || v == nil || v.Rule != "const" {
		t.Errorf("%v, %v", v, err)
	}
}

// Nothing but the document is read: who writes one does not have the gateway read a file, or ask a server.
func TestNothingElseIsRead(t *testing.T) {
	asked := make(chan struct{}, 100)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked <- struct{}{} })}}
	server.Start()
	defer server.Close()
	file := filepath.Join(t.TempDir(), "schema.json")
	if err := os.WriteFile(file, []byte(`{"type":"string"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{server.URL + "/schema.json", "file://" + file, file, "schema.json", "other.yaml#/components/schemas/a", "//" + l.Addr().String() + "/a"} {
		for _, version := range []string{"3.0.3", "3.1.0"} {
			for _, name := range []string{"$ref", "$dynamicRef", "$id", "$schema"} {
				document := fmt.Sprintf(`{"openapi":%q,"info":{"title":"","version":""},"paths":{"/x":{"post":{"requestBody":{"content":{"application/json":
					{"schema":{"type":"object","properties":{"a":{%q:%q,"if":{"const":1}}}}}}}}}}}`, version, name, to)
				if _, err := Compile([]byte(document)); err == nil || !strings.Contains(err.Error(), "another document") {
					t.Errorf("%s %s %s: %v", version, name, to, err)
				}
			}
		}
		old := fmt.Sprintf(`{"swagger":"2.0","paths":{"/x":{"post":{"parameters":[{"$ref":%q}]}}}}`, to)
		if _, err := Compile([]byte(old)); err == nil || !strings.Contains(err.Error(), "another document") {
			t.Errorf("2.0 %s: %v", to, err)
		}
	}
	if len(asked) > 0 {
		t.Error("a server was asked")
	}
}

func TestWhatCannotBeValidated(t *testing.T) {
	for document, want := range map[string]string{
		`{"openapi":"3.0.0","openapi":"3.0.1","paths":{}}`:                                                    "not one value",
		`{"openapi":"3.0.0","paths":{"/x":{"get":{"parameters":[{"$ref":"#/components/parameters/none"}]}}}}`: "none",
		`nothing`: "neither",
	} {
		if _, err := Compile([]byte(document)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", document, err)
		}
	}
	d, err := Compile([]byte(`{"openapi":"3.0.0","paths":{"/x":{"get":{"parameters":[{"name":"q","in":"query","schema":{"type":"string","pattern":"(?=a)"}}]},"put":{}},
		"/y#q=1":{"get":{"parameters":[{"name":"q","in":"query"}]}},
		"/n":{"get":{"parameters":[{"name":"n","in":"query","schema":{"allOf":[{"not":{"enum":["a"]}}]}}]}},
		"/l":{"get":{"parameters":[{"name":"l","in":"query","schema":{"type":"array"}}]}},
		"/f":{"post":{"requestBody":{"content":{"application/x-www-form-urlencoded":{"schema":{"type":"object","properties":{"p":{"not":{"enum":["a"]}}}}}}}}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for want, b := range map[string]gateway.RouteBody{
		"error parsing regexp": {Methods: []string{"GET"}, Path: "/x"},
		"name its methods":     {Path: "/x"},
		"no operation POST /x": {Methods: []string{"PUT", "POST"}, Path: "/x"},
		"no operation GET /z":  {Methods: []string{"GET"}, Path: "/z"},
		"no operation GET /y":  {Methods: []string{"GET"}, Path: "/y"},
		`"n" in query: its`:    {Methods: []string{"GET"}, Path: "/n"},
		`"l" in query: its`:    {Methods: []string{"GET"}, Path: "/l"},
		`property "p": its`:    {Methods: []string{"POST"}, Path: "/f"},
	} {
		if _, err := d.Contract("s", &b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", b, err, want)
		}
	}
	if _, err := d.Contract("s", &gateway.RouteBody{Methods: []string{"GET"}, Path: "/y", Match: &gateway.Match{Query: map[string]string{"q": "1"}}}); err != nil {
		t.Error(err)
	}
}

func FuzzCompile(f *testing.F) {
	f.Add(shop)
	f.Add(modern)
	f.Add(`{"swagger":"2.0","paths":{"/x":{"post":{"parameters":[{"name":"o","in":"body","schema":{"$ref":"#/definitions/o"}}]}}}}`)
	f.Add(`{"openapi":"3.1.0","paths":{"/{x}":{"get":{"parameters":[{"name":"x","in":"path","schema":{"type":["null","integer"]}}]}}}}`)
	f.Fuzz(func(t *testing.T, document string) {
		d, err := Compile([]byte(document))
		if err != nil {
			return
		}
		for _, op := range slices.Concat(slices.Collect(maps.Values(d.operations))...) {
			c, err := d.Contract("s", &gateway.RouteBody{Methods: []string{op.Method}, Path: op.Path, Match: &op.Match})
			if err != nil {
				continue
			}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/a/b?c=d", nil)
			r.Method = op.Method
			r.Header.Set("Content-Type", "application/json")
			_, _ = c.Check(r, []byte(`{"a":[1,{"b":null}]}`)) // must return
		}
	})
}

func FuzzCheck(f *testing.F) {
	c := contractOf(f, shop, "POST /v1/orders")
	f.Add("application/json", `{"item":"a","price":1,"lines":[{}]}`)
	f.Add("application/x-www-form-urlencoded", "item=%zz")
	f.Fuzz(func(t *testing.T, kind, body string) {
		v, err := c.Check(requestOf(t, "POST /v1/orders", "", "Content-Type: "+kind), []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if v != nil && v.In == "body" {
			for _, step := range strings.Split(v.Name, "/") {
				if strings.Trim(step, "0123456789") != "" && step != "*" && !strings.Contains(shop, step+":") {
					t.Errorf("%s tells %q", v, step)
				}
			}
		}
	})
}
