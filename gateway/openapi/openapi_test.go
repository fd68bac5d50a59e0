package openapi_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
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
		if err != nil || len(skipped) > 0 || len(routes) != len(ops) {
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
			docs[h.Name], err = io.ReadAll(r)
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
