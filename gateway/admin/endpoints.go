package admin

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"gwdr/gateway"
)

// endpoint is one line of the API: what GET /v1 tells of it, and what answers it.
type endpoint struct {
	pattern string   // METHOD /path, as ServeMux reads it
	query   []string // parameters that there are; nil: it looks at none, as it refuses whatever comes
	action  action
	handler http.HandlerFunc
	about   string
}

// endpoints lists what this process answers beside health, readiness, leadership and metrics, which ask for no token.
func (s *Server) endpoints() []endpoint {
	none, page, dryRun := []string{}, []string{"limit", "after"}, []string{"dry_run"}
	all := []endpoint{
		{"GET /v1", none, status, s.index, "this list"},
		{"GET /v1/openapi.json", none, status, s.describe, "this API as an OpenAPI 3.1 document"},
		{"GET /v1/status", []string{"brief"}, status, s.status,
			"who this is, what it serves, its digest; ?brief=true leaves digest and counts out"},
		{"GET /v1/state", []string{"kind"}, export, s.state, "everything at one revision, as NDJSON; ?kind= for one kind"},
	}
	if s.Data != nil {
		all = append(all, endpoint{"GET /v1/keys/used", none, read, s.keysUsed, "when keys were last used at this data plane, as NDJSON"})
	}
	if s.Standby != nil {
		return append(all, s.standbyEndpoints()...)
	}
	if s.Store == nil {
		return all
	}
	return append(all, []endpoint{
		{"GET /v1/watch", []string{"from", "until", "store"}, export, s.watch,
			"changes after ?from=REVISION, as NDJSON, one revision a line; ?until=now ends it, ?store=ID refuses another store's"},
		{"GET /v1/{kind}", page, read, s.list, "a page of a kind: ?limit= (100, at most 1000), ?after=ID"},
		// {id...} and not {id}: ids hold slashes, and ServeMux takes an id that is only an escaped slash for the end of the path
		{"GET /v1/{kind}/{id...}", none, read, s.get, "one entity, byte for byte; certs for roles admin, backup and replica only"},
		{"PUT /v1/{kind}/{id...}", dryRun, write, s.put,
			"create or change it; If-Match: ETag, If-None-Match: *; role replica may put revocations"},
		{"DELETE /v1/{kind}/{id...}", dryRun, write, s.delete, "remove it if nothing refers to it; a deleted key is revoked, too"},
		{"POST /v1/keys", dryRun, write, s.issueKey, "make a key from {consumer, scopes, routes, expires}; its token is shown this once"},
		{"GET /v1/keys", page, read, s.listKeys, "a page of keys and what has become of them: ?limit= (100, at most 1000), ?after=ID"},
		{"POST /v1/keys/{id}/rotate", dryRun, write, s.rotateKey,
			"make a key in its place, which works on for an {overlap} (24h); {expires} of the new one"},
		{"POST /v1/keys/{id}/expire", dryRun, write, s.expireKey, "let a key end {at} a time; without one now"},
		{"POST /v1/keys/{id}/revoke", dryRun, write, s.revokeKey, "revoke a key for good: {reason}"},
		{"POST /v1/apply", dryRun, write, s.apply,
			"changes in order, as NDJSON; X-Gwdr-Base-Revision: N; X-Gwdr-Restore: true for role admin only"},
		{"POST /v1/import/openapi", []string{"dry_run", "id", "upstream", "host", "prefix", "auth", "validate"}, write, s.importOpenAPI,
			"store a document, and a route per operation: ?id=SPEC&upstream=ID[&host=][&prefix=true][&auth=none]"},
		{"POST /v1/promote", dryRun, lead, s.promote, "make this control plane the leader"},
		{"POST /v1/demote", dryRun, lead, s.demote, "take no writes any more, so that another can be promoted without a loss"},
		{"POST /v1/members/{name}/replace", dryRun, lead, s.replace, "have the cluster take a member whose disk is lost for a new one"},
	}...)
}

// checkQuery reports a parameter that the endpoint does not know: what it asks for would be left out in silence.
func (e endpoint) checkQuery(r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badRequest(fmt.Errorf("read query: %w", err))
	}
	for _, name := range slices.Sorted(maps.Keys(query)) {
		if e.query != nil && !slices.Contains(e.query, name) {
			refused := badRequest(fmt.Errorf("unknown query parameter %q", name))
			refused.hint = "there are: " + cmp.Or(strings.Join(e.query, ", "), "none")
			return refused
		}
	}
	return nil
}

// openPaths ask for no token.
var openPaths = [][2]string{{"/health", "200 while the process lives"}, {"/ready", "200 when it serves"},
	{"/leader", "200 if this control plane takes writes"}, {"/metrics", "in Prometheus' format"}}

// index tells a newcomer what there is.
func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	type line struct {
		Method string   `json:"method"`
		Path   string   `json:"path"`
		Roles  []Role   `json:"roles,omitempty"` // none: no token is asked for
		About  string   `json:"about"`
		Query  []string `json:"query,omitempty"`
	}
	var out struct {
		Kinds     []gateway.Kind `json:"kinds"`
		Endpoints []line         `json:"endpoints"`
	}
	out.Kinds = gateway.Kinds()
	for _, open := range openPaths {
		out.Endpoints = append(out.Endpoints, line{Method: http.MethodGet, Path: open[0], About: open[1]})
	}
	for _, e := range s.endpoints() {
		method, path, _ := strings.Cut(e.pattern, " ")
		l := line{Method: method, Path: strings.ReplaceAll(path, "...", ""), About: e.about, Query: e.query}
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
