package admin

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"gwdr/gateway"
	"gwdr/gateway/openapi"
	"gwdr/gateway/store"
)

// importOpenAPI stores a document as a spec, byte for byte, and makes a route for each of its operations: ?id= of the spec,
// ?upstream= that the routes lead to, ?host= of the routes, ?prefix=true for /<id> before each path, ?auth= key or none,
// ?validate=true to hold requests against the document.
// Routes that an earlier version of the spec had and this one lacks are deleted.
func (s *Server) importOpenAPI(w http.ResponseWriter, r *http.Request) {
	how, err := importOf(r.URL.Query())
	if err != nil {
		s.fail(w, r, badRequest(err))
		return
	}
	document, err := readBody(w, r)
	if err != nil {
		s.fail(w, r, unreadable(err))
		return
	}
	routes, skipped, err := how.Routes(document)
	if err != nil {
		s.fail(w, r, invalid(err))
		return
	}
	spec, upstream := gateway.Ref{Kind: gateway.Spec, ID: how.Spec}, gateway.Ref{Kind: gateway.Upstream, ID: how.Upstream}
	_, err = s.Store.Get(r.Context(), upstream)
	if errors.Is(err, gateway.ErrNotFound) {
		err = fmt.Errorf("import %s: %w: %s", spec, gateway.ErrMissing, upstream)
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.storeSpec(w, r, gateway.Entity{Ref: spec, Body: document}, routes, skipped)
}

// importOf reads how a document is to become routes.
func importOf(query url.Values) (how openapi.Import, err error) {
	how = openapi.Import{Spec: query.Get("id"), Upstream: query.Get("upstream"), Host: query.Get("host"), Auth: query.Get("auth")}
	if how.Spec == "" || how.Upstream == "" {
		return how, errors.New("an import needs ?id= of the spec, and &upstream= that its routes lead to")
	}
	for _, ref := range []gateway.Ref{{Kind: gateway.Spec, ID: how.Spec}, {Kind: gateway.Upstream, ID: how.Upstream}} {
		if err := ref.Validate(); err != nil {
			return how, err
		}
	}
	if how.Prefix, err = isTrue(query, "prefix"); err != nil {
		return how, err
	}
	if how.Validate, err = isTrue(query, "validate"); err != nil {
		return how, err
	}
	return how, how.Check()
}

// lostAll refuses a document that would delete all routes of the one before it, as none of its operations becomes one: it is cut off, or another
// one, and whoever has it imported does not mean that.
func lostAll(skipped []openapi.Skipped) error {
	refused := invalid(errors.New("the document has no operations: all routes of its earlier version would be deleted"))
	if len(skipped) > 0 {
		refused = invalid(fmt.Errorf("none of the document's operations can become a route: %s: %s", skipped[0].Operation, skipped[0].Reason))
	}
	refused.hint = "to be rid of the routes of the earlier version, delete them first"
	return refused
}

// storeSpec brings the spec and its routes to what they are to be.
func (s *Server) storeSpec(w http.ResponseWriter, r *http.Request, spec gateway.Entity, routes []gateway.Entity, skipped []openapi.Skipped) {
	_, state, err := s.Store.StateOf(r.Context(), gateway.Route, openapi.RoutePrefix(spec.ID))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	before := gateway.NewState()
	for e := range state.Kind(gateway.Route) {
		for _, ref := range references(e) {
			if ref == spec.Ref {
				before.Put(e)
			}
		}
	}
	if len(routes) == 0 && before.Len() > 0 {
		s.fail(w, r, lostAll(skipped))
		return
	}
	after := gateway.NewState(append(routes, spec)...)
	changes := gateway.Diff(before, after)
	if err := s.checkContracts(r.Context(), changes); err != nil {
		s.fail(w, r, err)
		return
	}
	to := s.writer(r)
	_, revision, err := s.change(r, to, changes, gateway.Bulk{}, "import",
		"kind", gateway.Spec, "id", spec.ID, "routes", len(routes), "skipped", len(skipped), "sha256", digest(spec.Body))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	skipped = append([]openapi.Skipped{}, skipped...)
	if dry, ok := to.(*store.DryRun); ok {
		answer(w, http.StatusOK, imported{outcomeOf(dry), skipped})
		return
	}
	answer(w, http.StatusOK, map[string]any{"spec": spec.ID, "routes": len(routes), "skipped": skipped, "revision": revision})
}

// imported is what a dry run of an import found.
type imported struct {
	outcome
	Skipped []openapi.Skipped `json:"skipped"`
}
