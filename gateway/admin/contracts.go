package admin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"gwdr/gateway"
	"gwdr/gateway/contract"
)

// contracts tells whether requests can be held against specs. It keeps the document that was asked for last.
type contracts struct {
	cache contract.Cache

	mu       sync.Mutex
	last     *contract.Spec
	id       string
	revision int64
}

// of returns the stored spec.
func (c *contracts) of(item gateway.Item) *contract.Spec {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil || c.id != item.ID || c.revision != item.Revision {
		c.last, c.id, c.revision = contract.NewSpec(item.ID, item.Body), item.ID, item.Revision
	}
	return c.last
}

// checkContracts reports a route that validates requests, and is new or whose spec is, but whose spec cannot be used for that.
func (s *Server) checkContracts(ctx context.Context, changes []gateway.Change) error {
	routes, specs := map[string]gateway.RouteBody{}, map[string]*contract.Spec{}
	changed := map[gateway.Ref]bool{}
	for _, c := range changes {
		changed[c.Entity.Ref] = true
		switch body, validates := validating(c); {
		case c.Entity.Kind == gateway.Spec && c.Op == gateway.Delete:
			delete(specs, c.Entity.ID)
		case c.Entity.Kind == gateway.Spec:
			specs[c.Entity.ID] = contract.NewSpec(c.Entity.ID, c.Entity.Body)
		case validates:
			routes[c.Entity.ID] = body
		case c.Entity.Kind == gateway.Route:
			delete(routes, c.Entity.ID)
		}
	}
	if err := s.routesOf(ctx, specs, changed, routes); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(routes)) {
		body := routes[id]
		spec, err := s.specOf(ctx, specs, body.Spec)
		if err != nil {
			return fmt.Errorf("route/%s: validate: %w", id, err)
		}
		if _, err := s.contracts.cache.Contract(spec, contract.NewRoute(&body)); err != nil {
			return invalid(fmt.Errorf("route/%s: validate: %w", id, err))
		}
	}
	return nil
}

// validating returns the body of a route that validates requests, and is not deleted.
func validating(c gateway.Change) (b gateway.RouteBody, validates bool) {
	if c.Op == gateway.Delete || c.Entity.Kind != gateway.Route || !bytes.Contains(c.Entity.Body, []byte(`"validate"`)) {
		return b, false
	}
	err := gateway.Decode(c.Entity.Body, &b)
	return b, err == nil && b.Validate
}

// routesOf adds the stored routes that validate by one of the specs and are not changed themselves.
func (s *Server) routesOf(ctx context.Context, specs map[string]*contract.Spec, changed map[gateway.Ref]bool, to map[string]gateway.RouteBody) error {
	known := false
	for id := range specs {
		_, err := s.Store.Get(ctx, gateway.Ref{Kind: gateway.Spec, ID: id})
		if err != nil && !errors.Is(err, gateway.ErrNotFound) {
			return err
		}
		known = known || err == nil
	}
	if !known { // nobody refers to a spec that is new
		return nil
	}
	return s.Store.StreamOf(ctx, gateway.Route, func(gateway.Header) error { return nil }, func(e gateway.Entity) error {
		if body, validates := validating(gateway.Change{Entity: e}); validates && specs[body.Spec] != nil && !changed[e.Ref] {
			to[e.ID] = body
		}
		return nil
	})
}

// specOf returns the spec as it is changed or known, or else as it is stored, and has it known.
func (s *Server) specOf(ctx context.Context, known map[string]*contract.Spec, id string) (*contract.Spec, error) {
	if spec := known[id]; spec != nil {
		return spec, nil
	}
	ref := gateway.Ref{Kind: gateway.Spec, ID: id}
	item, err := s.Store.Get(ctx, ref)
	if errors.Is(err, gateway.ErrNotFound) {
		err = fmt.Errorf("%w: %s", gateway.ErrMissing, ref)
	}
	if err != nil {
		return nil, err
	}
	known[id] = s.contracts.of(item)
	return known[id], nil
}
