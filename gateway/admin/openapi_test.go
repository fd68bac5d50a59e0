package admin_test

import (
	"encoding"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gwdr/gateway"
	"gwdr/gateway/admin"
	"gwdr/gateway/openapi"
	"gwdr/gateway/store"
)

// terms are who may use an endpoint, and by which parameters.
type terms struct{ Roles, Query []string }

// The document has each endpoint, who may use it and its parameters, and no other.
func TestEveryEndpointIsDescribed(t *testing.T) {
	s := start(t, &admin.Server{Data: idle{}})
	_, text := s.ask(t, "GET", "/v1", "")
	var index struct {
		Endpoints []struct {
			Method, Path string
			terms
		}
	}
	if err := json.Unmarshal([]byte(text), &index); err != nil {
		t.Fatal(err)
	}
	served, described := map[string]terms{}, map[string]terms{}
	for _, e := range index.Endpoints {
		slices.Sort(e.Query)
		served[e.Method+" "+e.Path] = e.terms
	}
	c := theContract(t)
	for pattern, op := range c.operations {
		described[strings.ReplaceAll(pattern, "...", "")] = terms{op.Roles, c.parametersOf(op, "query")}
		if open := op.Security != nil && len(*op.Security) == 0; open != (op.Roles == nil) {
			t.Errorf("%s: open %t, and for %v", pattern, open, op.Roles)
		}
	}
	if diff := cmp.Diff(served, described); diff != "" {
		t.Errorf("served (-), described (+):\n%s", diff)
	}
}

// What asks for something that an endpoint does not know is refused, before anything is done.
func TestUnknownParametersAreRefused(t *testing.T) {
	s := start(t, &admin.Server{Data: idle{}})
	revision, _ := s.snapshot(t)
	c := theContract(t)
	for pattern, op := range c.operations {
		if op.Roles == nil {
			continue
		}
		method, path, _ := strings.Cut(strings.NewReplacer("{kind}", "upstream", "{id...}", "x", "{id}", "x", "{name}", "x").Replace(pattern), " ")
		p := s.refused(t, method, path+"?dryrun=true", echo)
		if p.Status != 400 || p.Code != "bad_request" || p.Detail != `unknown query parameter "dryrun"` {
			t.Errorf("%s: %+v", pattern, p)
		}
		for _, known := range c.parametersOf(op, "query") {
			if !strings.Contains(p.Hint, known) {
				t.Errorf("%s: %s is not in the hint: %s", pattern, known, p.Hint)
			}
		}
	}
	s.expect(t, 400, "read query", "GET", "/v1/route?limit=%zz", "")
	if now, _ := s.snapshot(t); now != revision {
		t.Errorf("revision %d became %d", revision, now)
	}
}

// The document has each field of each body, as what it is, and no other.
func TestEveryFieldIsDescribed(t *testing.T) {
	bodies := map[string]any{"Route": gateway.RouteBody{}, "Upstream": gateway.UpstreamBody{}, "Endpoint": gateway.Endpoint{},
		"HealthCheck": gateway.HealthCheck{}, "Consumer": gateway.ConsumerBody{}, "Key": gateway.KeyBody{}, "Revocation": gateway.RevocationBody{},
		"Limit": gateway.Limit{}, "Issuer": gateway.IssuerBody{}, "Outlier": gateway.Outlier{}, "Breaker": gateway.Breaker{}, "Bulkhead": gateway.Bulkhead{},
		"Match": gateway.Match{}, "Backup": gateway.Backup{}, "Header": gateway.Header{}, "Leadership": store.Role{}, "Promotion": admin.Promotion{}}
	maps.Copy(bodies, admin.Bodies)
	c := theContract(t)
	for name, body := range bodies {
		s := c.Components.Schemas[name]
		if s == nil {
			t.Errorf("openapi.yaml has no schema %s", name)
			continue
		}
		described := map[string]string{}
		for field, of := range s.Properties {
			of = c.resolve(of)
			described[field] = strings.Join(slices.DeleteFunc(of.types(), func(t string) bool { return t == "null" }), " or ")
			if of.Enum != nil {
				described[field] = "string"
			}
		}
		if diff := cmp.Diff(fieldsOf(reflect.TypeOf(body)), described); diff != "" {
			t.Errorf("%T (-), schema %s of openapi.yaml (+):\n%s", body, name, diff)
		}
	}
}

// fieldsOf returns the type in JSON of each field.
func fieldsOf(body reflect.Type) map[string]string {
	fields := map[string]string{}
	for _, f := range reflect.VisibleFields(body) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" {
			fields[name] = jsonType(f.Type)
		}
	}
	return fields
}

func jsonType(of reflect.Type) string {
	if of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	if reflect.PointerTo(of).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return "string"
	}
	switch of.Kind() {
	case reflect.Bool:
		return "boolean"
	case reflect.Int, reflect.Int64:
		return "integer"
	case reflect.Float64:
		return "number"
	case reflect.Slice:
		return "array"
	case reflect.Map, reflect.Struct, reflect.Interface:
		return "object"
	}
	return of.Kind().String()
}

// Codes, kinds and roles are those that there are.
func TestEveryWordIsDescribed(t *testing.T) {
	s, words := theContract(t).Components.Schemas, map[string][]string{"Kind": {}, "Role": {}}
	for _, k := range gateway.Kinds() {
		words["Kind"] = append(words["Kind"], string(k))
	}
	for _, r := range []admin.Role{admin.Admin, admin.Operator, admin.Viewer, admin.Backup, admin.Replica} {
		words["Role"] = append(words["Role"], string(r))
	}
	described := map[string][]any{"Kind": s["Kind"].Enum, "Role": s["Role"].Enum, "code": s["Problem"].Properties["code"].Enum}
	words["code"] = slices.Sorted(maps.Keys(admin.Titles))
	for name, want := range words {
		var got []string
		for _, word := range described[name] {
			got = append(got, word.(string))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// What is served can be read by whoever reads OpenAPI, such as the gateway itself.
func TestTheDescriptionIsServed(t *testing.T) {
	for name, s := range map[string]server{"control": start(t, &admin.Server{}), "data": bare(t, &admin.Server{})} {
		status, text := s.ask(t, "GET", "/v1/openapi.json", "")
		routes, skipped, err := openapi.Import{Spec: "admin", Upstream: "u"}.Routes([]byte(text))
		if status != 200 || err != nil || len(skipped) > 0 || len(routes) != len(theContract(t).operations) {
			t.Errorf("%s: %d, %d routes, skipped %v, %v", name, status, len(routes), skipped, err)
		}
	}
}
