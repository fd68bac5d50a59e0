package admin_test

import (
	"testing"

	"gwdr/gateway/admin"
)

const imported = `{"openapi":"3.0.0","paths":{"/a":{"get":{}},"/b":{"get":{}}}}`

// unchanged refuses the import, dry or not, and holds that nothing became of it.
func (s server) unchanged(t *testing.T, status int, cause, query, document string) {
	t.Helper()
	revision, before := s.snapshot(t)
	for _, path := range []string{"/v1/import/openapi?" + query, dry("/v1/import/openapi?" + query)} {
		s.expect(t, status, cause, "POST", path, document)
	}
	if now, state := s.snapshot(t); now != revision || state.Digest() != before.Digest() {
		t.Errorf("%s: revision %d became %d", query, revision, now)
	}
}

// An option that no route can have is told, and costs no routes.
func TestImportWithABadOption(t *testing.T) {
	s := start(t, &admin.Server{})
	s.expect(t, 201, "", "PUT", "/v1/upstream/u", echo)
	s.expect(t, 200, `"routes":2`, "POST", "/v1/import/openapi?id=s&upstream=u", imported)
	s.unchanged(t, 400, `auth must be one of key, jwt, any, none, not \"nnone\"`, "id=s&upstream=u&auth=nnone", imported)
	s.unchanged(t, 400, `host \"bad_host/x\"`, "id=s&upstream=u&host=bad_host/x", imported)
	s.unchanged(t, 400, `host \"a.*\"`, "id=s&upstream=u&host=a.*", imported)
	s.unchanged(t, 400, "/../", "id=..&upstream=u&prefix=true", imported)
	s.expect(t, 200, `"routes":2`, "POST", "/v1/import/openapi?id=s&upstream=u&auth=none&host=*.example.com", imported)
}

// A document without routes, such as one that was cut off, does not cost those of the one before it. One of webhooks has none, and is a spec.
func TestImportOfNoRoutes(t *testing.T) {
	s := start(t, &admin.Server{})
	s.expect(t, 201, "", "PUT", "/v1/upstream/u", echo)
	s.expect(t, 200, `"routes":0`, "POST", "/v1/import/openapi?id=s&upstream=u", `{"openapi":"3.1.0","webhooks":{"a":{"post":{}}}}`)
	s.expect(t, 200, `"routes":2`, "POST", "/v1/import/openapi?id=s&upstream=u", imported)
	for _, document := range []string{`{"openapi":"3.0.3","info":{}}`, `{"openapi":"3.0.3","paths":{}}`, `{"openapi":"3.0.3","paths":{"/a":{},"x-b":{"get":{}}}}`} {
		s.unchanged(t, 422, "the document has no operations", "id=s&upstream=u", document)
		s.unchanged(t, 422, "delete them", "id=s&upstream=u", document)
	}
	s.unchanged(t, 422, "GET /x{: ", "id=s&upstream=u", `{"openapi":"3","paths":{"/x{":{"get":{}}}}`)
	s.expect(t, 200, `"skipped":[{"operation":"GET /x{"`, "POST", "/v1/import/openapi?id=s&upstream=u", `{"openapi":"3","paths":{"/x{":{"get":{}},"/a":{"get":{}}}}`)
}

// Imported again, a route is as the import says, whatever was set on it since; a dry run lists it, and no other.
func TestImportSetsRoutesAnew(t *testing.T) {
	s := start(t, &admin.Server{})
	s.expect(t, 201, "", "PUT", "/v1/upstream/u", echo)
	s.expect(t, 200, "", "POST", "/v1/import/openapi?id=s&upstream=u&auth=none", imported)
	s.expect(t, 200, "", "PUT", "/v1/route/s:GET:%2Fa", `{"methods":["GET"],"path":"/a","upstream":"u","auth":"none","spec":"s","max_body":9}`)
	s.expect(t, 200, `"changes":[{"op":"update","kind":"route","id":"s:GET:/a"}]`, "POST", "/v1/import/openapi?id=s&upstream=u&auth=none&dry_run=true", imported)
	s.expect(t, 200, "", "POST", "/v1/import/openapi?id=s&upstream=u", imported)
	s.expect(t, 200, `{"methods":["GET"],"path":"/a","upstream":"u","spec":"s"}`, "GET", "/v1/route/s:GET:%2Fa", "")
}
