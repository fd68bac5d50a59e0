package admin

import (
	"net/http"
	"strings"

	"gwdr/gateway"
)

// endpoint is one line of the API: what GET /v1 tells of it, and what answers it.
type endpoint struct {
	pattern string // METHOD /path, as ServeMux reads it
	action  action
	handler http.HandlerFunc
	about   string
}

// endpoints lists what this process answers beside health, readiness, leadership and metrics, which ask for no token.
func (s *Server) endpoints() []endpoint {
	all := []endpoint{
		{"GET /v1", status, s.index, "this list"},
		{"GET /v1/openapi.json", status, s.describe, "this API as an OpenAPI 3.1 document"},
		{"GET /v1/status", status, s.status, "who this is, what it serves, its digest; ?brief=true leaves digest and counts out"},
		{"GET /v1/state", export, s.state, "everything at one revision, as NDJSON; ?kind= for one kind"},
	}
	if s.Data != nil {
		all = append(all, endpoint{"GET /v1/keys/used", read, s.keysUsed, "when keys were last used at this data plane, as NDJSON"})
	}
	if s.Standby != nil {
		return append(all, s.standbyEndpoints()...)
	}
	if s.Store == nil {
		return all
	}
	return append(all, []endpoint{
		{"GET /v1/watch", export, s.watch, "changes after ?from=REVISION, as NDJSON, one revision a line; ?until=now ends it, ?store=ID refuses another store's"},
		{"GET /v1/{kind}", read, s.list, "a page of a kind: ?limit= (100, at most 1000), ?after=ID"},
		// {id...} and not {id}: ids hold slashes, and ServeMux takes an id that is only an escaped slash for the end of the path
		{"GET /v1/{kind}/{id...}", read, s.get, "one entity, byte for byte; certs for roles admin, backup and replica only"},
		{"PUT /v1/{kind}/{id...}", write, s.put, "create or change it; If-Match: ETag, If-None-Match: *; role replica may put revocations"},
		{"DELETE /v1/{kind}/{id...}", write, s.delete, "remove it if nothing refers to it; a deleted key is revoked, too"},
		{"POST /v1/keys", write, s.issueKey, "make a key from {consumer, scopes, routes, expires}; its token is shown this once"},
		{"GET /v1/keys", read, s.listKeys, "a page of keys and what has become of them: ?limit= (100, at most 1000), ?after=ID"},
		{"POST /v1/keys/{id}/rotate", write, s.rotateKey, "make a key in its place, which works on for an {overlap} (24h); {expires} of the new one"},
		{"POST /v1/keys/{id}/expire", write, s.expireKey, "let a key end {at} a time; without one now"},
		{"POST /v1/keys/{id}/revoke", write, s.revokeKey, "revoke a key for good: {reason}"},
		{"POST /v1/apply", write, s.apply, "changes in order, as NDJSON; X-Gwdr-Base-Revision: N; X-Gwdr-Restore: true for role admin only"},
		{"POST /v1/import/openapi", write, s.importOpenAPI, "store a document, and a route per operation: ?id=SPEC&upstream=ID[&host=][&prefix=true][&auth=none]"},
		{"POST /v1/promote", lead, s.promote, "make this control plane the leader"},
		{"POST /v1/demote", lead, s.demote, "take no writes any more, so that another can be promoted without a loss"},
		{"POST /v1/members/{name}/replace", lead, s.replace, "have the cluster take a member whose disk is lost for a new one"},
	}...)
}

// openPaths ask for no token.
var openPaths = [][2]string{{"/health", "200 while the process lives"}, {"/ready", "200 when it serves"},
	{"/leader", "200 if this control plane takes writes"}, {"/metrics", "in Prometheus' format"}}

// index tells a newcomer what there is.
func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	type line struct {
		Method string `json:"method"`
		Path   string `json:"path"`
		Roles  []Role `json:"roles,omitempty"` // none: no token is asked for
		About  string `json:"about"`
	}
	var out struct {
		Kinds     []gateway.Kind `json:"kinds"`
		Endpoints []line         `json:"endpoints"`
	}
	out.Kinds = gateway.Kinds()
	for _, open := range openPaths {
		out.Endpoints = append(out.Endpoints, line{http.MethodGet, open[0], nil, open[1]})
	}
	for _, e := range s.endpoints() {
		method, path, _ := strings.Cut(e.pattern, " ")
		l := line{method, strings.ReplaceAll(path, "...", ""), nil, e.about}
		for _, role := range roles {
			if role.allowed(e.action) {
				l.Roles = append(l.Roles, role)
			}
		}
		out.Endpoints = append(out.Endpoints, l)
	}
	answer(w, http.StatusOK, out)
}

// noEndpoint is the 404 of whoever does not know the way.
func noEndpoint(text string) *refusal {
	return &refusal{status: http.StatusNotFound, code: "no_endpoint", text: text, hint: "GET /v1 lists the endpoints"}
}
