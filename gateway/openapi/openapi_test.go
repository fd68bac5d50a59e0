package openapi_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gwdr/gateway"
	"gwdr/gateway/openapi"
)

func TestRead(t *testing.T) {
	for file, want := range map[string][]openapi.Operation{
		"swagger2.json": {
			{Method: "GET", Key: "/orders", Path: "/shop/v1/orders"},
			{Method: "POST", Key: "/orders", Path: "/shop/v1/orders"},
			{Method: "DELETE", Key: "/orders/{id}", Path: "/shop/v1/orders/{id}"},
		},
		"openapi3.yaml": {
			{Method: "POST", Key: "/upload", Path: "/files/upload"},
			{Method: "GET", Key: "/users/{id}.json", Path: "/v2/eu/users/{id}.json"},
			{Method: "HEAD", Key: "/users/{id}.json", Path: "/users/{id}.json"},
		},
	} {
		doc, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		got, err := openapi.Read(doc)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v %s", file, err, diff)
		}
	}
}

func TestServerPaths(t *testing.T) {
	for server, want := range map[string]string{
		"https://example.com":                "/x",
		"https://example.com/":               "/x",
		"https://example.com/v1/":            "/v1/x",
		"//example.com/v1":                   "/v1/x",
		"/v1":                                "/v1/x",
		"./v1":                               "/v1/x",
		"v1":                                 "/v1/x",
		"":                                   "/x",
		"https://{tenant}.example.com/{app}": "/{app}/x",
		"https://example.com/v1?key=a/b#c":   "/v1/x",
		"{scheme}://example.com/v1":          "/v1/x",
		"https://example.com:{port}/a/b":     "/a/b/x",
	} {
		doc := `{"openapi":"3.1.0","servers":[{"url":"` + server + `"}],"paths":{"/x":{"get":{}}}}`
		got, err := openapi.Read([]byte(doc))
		if err != nil || len(got) != 1 || got[0].Path != want {
			t.Errorf("server %q: %v, %v, want %s", server, got, err, want)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for _, doc := range []string{"", "[]", "{}", "null", "plain text", "swagger: 1.2", `{"openapi":"4.0"}`, "a: [", "\x00"} {
		if ops, err := openapi.Read([]byte(doc)); err == nil {
			t.Errorf("%q was read as %v", doc, ops)
		}
	}
}

func TestRoutes(t *testing.T) {
	doc := `{"swagger":2.0,"basePath":"/b","paths":{"/x/{id}":{"get":{},"parameters":[],"x-y":{}},"/bad/{":{"get":{}},"x-path":{"get":{}}}}`
	routes, skipped, err := openapi.Import{Spec: "a/b", Upstream: "u", Host: "h", Prefix: true, Auth: "none"}.Routes([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	want := []gateway.Entity{{
		Ref:  gateway.Ref{Kind: gateway.Route, ID: "a/b:GET:/x/{id}"},
		Body: []byte(`{"hosts":["h"],"methods":["GET"],"path":"/a/b/b/x/{id}","upstream":"u","auth":"none","spec":"a/b"}`),
	}}
	if diff := cmp.Diff(want, routes); diff != "" {
		t.Error(diff)
	}
	if len(skipped) != 1 || skipped[0].Operation != "GET /bad/{" || skipped[0].Reason == "" {
		t.Errorf("skipped %+v", skipped)
	}
}

// TestOperationsOfOnePath: what tells their requests apart is found, first where documents put it, behind the path; then in what only
// one of them must have, in forms of the path, in media types.
func TestOperationsOfOnePath(t *testing.T) {
	doc := `openapi: 3.0.0
components:
  parameters: {target: {name: x-target, in: header, required: true}}
  schemas: {id: {type: string, format: uuid}}
  requestBodies: {json: {content: {"Application/JSON; charset=utf-8": {}}}}
paths:
  /#X-Target=Shop.Buy: {post: {parameters: [{$ref: "#/components/parameters/target"}]}}
  /#x-target=Shop.Sell: {post: {parameters: [{$ref: "#/components/parameters/target"}]}}
  /?Action=Buy+it&Version={version}: {post: {}}
  /a/{x}: {get: {parameters: [{name: all, in: query, required: true}, {name: both, in: query, required: true}]}}
  /a/{y}: {get: {parameters: [{name: both, in: query, required: true}, {name: Accept, in: header, required: true}]}}
  /a/{y}#all: {get: {parameters: [{name: all, in: query}]}}
  /b/{id}: {parameters: [{name: id, in: path, schema: {$ref: "#/components/schemas/id"}}], get: {}}
  /b/{number}: {get: {parameters: [{name: number, in: path, schema: {type: integer}}]}}
  /b/{name}: {get: {parameters: [{name: name, in: path, schema: {type: string}}]}}
  /c: {post: {}}
  /c#overload=image: {post: {requestBody: {content: {image/png: {}, image/gif: {}}}}}
  /c#overload=json: {post: {requestBody: {$ref: "#/components/requestBodies/json"}}}
  /d: {post: {requestBody: {content: {text/plain: {}}}}}
`
	ops, err := openapi.Read([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]any{}
	for _, op := range ops {
		got[op.Key] = string(gateway.Encode(op.Match)) + op.Like
	}
	if diff := cmp.Diff(map[string]any{
		"/#X-Target=Shop.Buy":               `{"headers":{"X-Target":"Shop.Buy"}}`,
		"/#x-target=Shop.Sell":              `{"headers":{"X-Target":"Shop.Sell"}}`,
		"/?Action=Buy+it&Version={version}": `{"query":{"Action":"Buy it","Version":""}}`,
		"/a/{x}":                            `{"query":{"all":""}}`,
		"/a/{y}":                            `{}`,
		"/a/{y}#all":                        `{"query":{"all":""}}/a/{x}`,
		"/b/{id}":                           `{"params":{"id":"uuid"}}`,
		"/b/{number}":                       `{"params":{"number":"integer"}}`,
		"/b/{name}":                         `{}`,
		"/c":                                `{}`,
		"/c#overload=image":                 `{"headers":{"Content-Type":""}}`,
		"/c#overload=json":                  `{"headers":{"Content-Type":"application/json"}}`,
		"/d":                                `{}`,
	}, got); diff != "" {
		t.Error(diff)
	}
}

// An operation whose requests are those of another one is served by its route.
func TestEqualOperationsShareARoute(t *testing.T) {
	doc := `{"swagger":"2.0","paths":{"/x/{a}":{"get":{}},"/x/{b}":{"get":{},"put":{}},"/x/{a}:y":{"get":{}}}}`
	routes, skipped, err := openapi.Import{Spec: "s", Upstream: "u"}.Routes([]byte(doc))
	if err != nil || len(routes) != 3 {
		t.Fatal(routes, err)
	}
	want := []openapi.Skipped{{Operation: "GET /x/{b}", Reason: "nothing tells its requests from those of /x/{a}", Route: "s:GET:/x/{a}"}}
	if diff := cmp.Diff(want, skipped); diff != "" {
		t.Error(diff)
	}
}

func TestLongPathsGetDistinctIDs(t *testing.T) {
	long := strings.Repeat("ä", 300)
	doc := `{"openapi":"3.0.0","paths":{"/` + long + `1":{"get":{}},"/` + long + `2":{"get":{}}}}`
	routes, skipped, err := openapi.Import{Spec: "s", Upstream: "u"}.Routes([]byte(doc))
	if err != nil || len(routes) != 2 || len(skipped) != 0 || routes[0].ID == routes[1].ID {
		t.Errorf("%v, %v, %v", routes, skipped, err)
	}
}

// Every operation of real documents becomes a route: of the project's collection where it is at hand, else of the
// examples beside this test.
func TestRealDocuments(t *testing.T) {
	documents, operations := 0, 0
	for name, doc := range corpus(t) {
		ops, err := openapi.Read(doc)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		routes, skipped, err := openapi.Import{Spec: name, Upstream: "u"}.Routes(doc)
		isLost := func(s openapi.Skipped) bool { return s.Route == "" }
		if err != nil || slices.ContainsFunc(skipped, isLost) || len(routes)+len(skipped) != len(ops) {
			t.Errorf("%s: %d routes of %d operations, skipped %v: %v", name, len(routes), len(ops), skipped, err)
		}
		documents++
		operations += len(ops)
	}
	t.Logf("%d documents, %d operations", documents, operations)
	if operations == 0 {
		t.Error("no operations at all")
	}
}

func FuzzRoutes(f *testing.F) {
	for _, file := range []string{"swagger2.json", "openapi3.yaml"} {
		doc, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(doc, "spec")
	}
	f.Add([]byte(`{"openapi":"3","paths":{"/{a}":{"get":{}}}}`), "a/b:c")
	f.Add([]byte("openapi: 3\npaths: &p {/: *p}"), "")
	f.Add([]byte(`{"openapi":"3","paths":{"/{a}#X=1":{"get":{"parameters":[{"name":"x","in":"header"}]}},"/{b}?c&d={e}":{"get":{}},
		"/{f}":{"get":{"parameters":[{"name":"f","in":"path","schema":{"type":"integer"}},{"name":"g h","in":"header","required":true}]}}}}`), "s")
	f.Fuzz(func(t *testing.T, doc []byte, spec string) {
		routes, _, err := openapi.Import{Spec: spec, Upstream: "u", Prefix: true}.Routes(doc)
		if err != nil {
			return
		}
		seen := map[gateway.Ref]bool{}
		for _, r := range routes {
			if err := gateway.Check(r); err != nil || seen[r.Ref] || !strings.HasPrefix(r.ID, openapi.RoutePrefix(spec)) {
				t.Errorf("route %v: %v, seen %v", r.Ref, err, seen[r.Ref])
			}
			seen[r.Ref] = true
		}
	})
}

// corpus returns documents by name.
func corpus(t *testing.T) map[string][]byte {
	t.Helper()
	docs := map[string][]byte{}
	archive := findUp(t, filepath.Join("shared", "data", "openapi-specs.tar.gz"))
	if archive == "" {
		for _, file := range []string{"swagger2.json", "openapi3.yaml"} {
			doc, err := os.ReadFile(filepath.Join("testdata", file))
			if err != nil {
				t.Fatal(err)
			}
			docs[file] = doc
		}
		return docs
	}
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(unzipped); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return docs
		}
		if err == nil && h.Typeflag == tar.TypeReg {
			docs[path.Clean(h.Name)], err = io.ReadAll(r)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// findUp returns the file in the nearest parent directory that has it, or "".
func findUp(t *testing.T, file string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
			return filepath.Join(dir, file)
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
}
