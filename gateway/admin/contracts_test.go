package admin_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"gwdr/gateway/admin"
)

const (
	paired   = `{"openapi":"3.0.0","paths":{"/a/{x}":{"get":{},"put":{}},"/b":{"get":{"parameters":[{"name":"q","in":"query","schema":{"type":"string","pattern":"(?!a)"}}]}}}}`
	byA      = `{"methods":["GET"],"path":"/a/{y}","upstream":"echo","spec":"s","validate":true}`
	external = `{"openapi":"3.0.0","paths":{"/a/{x}":{"get":{"parameters":[{"$ref":"http://127.0.0.1:1/p.json"}]}}}}`
)

// A route that validates is taken only with a spec by which it can, and such a spec is changed only to another one.
func TestRoutesThatValidate(t *testing.T) {
	s := start(t, &admin.Server{})
	s.expect(t, 201, "", "PUT", "/v1/upstream/echo", echo)
	s.expect(t, 201, "", "PUT", "/v1/spec/s", paired)
	s.expect(t, 422, "names no spec", "PUT", "/v1/route/r", `{"methods":["GET"],"path":"/a/{y}","upstream":"echo","validate":true}`)
	s.expect(t, 422, "must name its methods", "PUT", "/v1/route/r", strings.Replace(byA, `"methods":["GET"],`, "", 1))
	s.expect(t, 422, "no operation GET /c", "PUT", "/v1/route/r", strings.Replace(byA, "/a/{y}", "/c", 1))
	s.expect(t, 422, "parsing regexp", "PUT", "/v1/route/r", strings.Replace(byA, "/a/{y}", "/b", 1))
	s.expect(t, 422, "spec/none", "PUT", "/v1/route/r", strings.Replace(byA, `"s"`, `"none"`, 1))
	s.expect(t, 201, "", "PUT", "/v1/route/r", byA)
	s.expect(t, 200, "", "PUT", "/v1/route/r", byA)
	s.expect(t, 422, "route/r: validate", "PUT", "/v1/spec/s", "anything")
	s.expect(t, 422, "another document", "PUT", "/v1/spec/s", external)
	s.expect(t, 200, "", "PUT", "/v1/spec/s", strings.Replace(paired, `"put":{}`, `"post":{}`, 1))
	s.expect(t, 201, "", "PUT", "/v1/spec/other", "anything")
	s.expect(t, 200, "", "DELETE", "/v1/route/r", "")
	s.expect(t, 200, "", "PUT", "/v1/spec/s", "anything")
}

func TestListsOfRoutesThatValidate(t *testing.T) {
	s := start(t, &admin.Server{})
	line := func(kind, id, body string) string {
		return fmt.Sprintf(`{"op":"create","kind":%q,"id":%q,"body":%q}`+"\n", kind, id, base64.StdEncoding.EncodeToString([]byte(body)))
	}
	upstream, good, bad, route := line("upstream", "echo", echo), line("spec", "s", paired), line("spec", "s", "anything"), line("route", "r", byA)
	s.expect(t, 422, "route/r: validate", "POST", "/v1/apply", upstream+route)
	s.expect(t, 422, "route/r: validate", "POST", "/v1/apply", upstream+route+bad)
	s.expect(t, 404, "", "GET", "/v1/upstream/echo", "")
	s.expect(t, 200, "", "POST", "/v1/apply", upstream+route+good)
	s.expect(t, 422, "route/r: validate", "POST", "/v1/apply", bad)
	s.expect(t, 200, "", "POST", "/v1/apply", bad, "X-Gwdr-Restore", "true") // which brings back what was
	s.expect(t, 200, "", "POST", "/v1/apply", good)
	s.expect(t, 200, "", "POST", "/v1/apply", bad+line("route", "r", strings.Replace(byA, "true", "false", 1)))
}

func TestImportThatValidates(t *testing.T) {
	s := start(t, &admin.Server{})
	s.expect(t, 201, "", "PUT", "/v1/upstream/echo", echo)
	s.expect(t, 422, "parsing regexp", "POST", "/v1/import/openapi?id=s&upstream=echo&validate=true&prefix=true", paired)
	whole := strings.Replace(paired, "(?!a)", "^a", 1)
	s.expect(t, 200, `"routes":3`, "POST", "/v1/import/openapi?id=s&upstream=echo&validate=true&prefix=true", whole)
	s.expect(t, 200, `"validate":true`, "GET", "/v1/route/s:GET:%2Fb", "")
	s.expect(t, 422, "route/s:GET:/b: validate", "PUT", "/v1/spec/s", paired)
	s.expect(t, 200, `"routes":3`, "POST", "/v1/import/openapi?id=s&upstream=echo", paired)
}
