// Package gatewaytest is a gateway in memory that behaves like a real one, failures included, and the conformance suite
// that every gateway driver runs.
package gatewaytest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"gwdr/gateway"
)

// Gateway is a gateway in memory. It keeps references valid at each step (a route needs its upstream and spec, a key its
// consumer), counts revisions, and can be told to fail. It is safe for concurrent use.
type Gateway struct {
	mu          sync.Mutex
	state       *gateway.State
	history     History // knows store and revision, too
	blank       bool
	unreachable []gateway.Kind
	exportErr   error
	applyErr    error
	applyAfter  int
	unsaid      bool
	applies     int
}

var _ gateway.Target = (*Gateway)(nil)

// New returns a Gateway that holds the given entities, at revision 1.
func New(entities ...gateway.Entity) *Gateway {
	g := &Gateway{state: gateway.NewState(entities...)}
	g.history.Reset(newStoreID(), 1)
	return g
}

func newStoreID() string {
	var id [16]byte
	rand.Read(id[:])
	return hex.EncodeToString(id[:])
}

// Export implements gateway.Source.
func (g *Gateway) Export(ctx context.Context) (*gateway.Export, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("export gateway: %w", err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.exportErr != nil {
		return nil, fmt.Errorf("export gateway: %w", g.exportErr)
	}
	h := g.history.Header()
	e := &gateway.Export{State: g.state.Clone(), Store: h.Store, Revision: h.Revision, Time: h.Time, Unreachable: g.unreachable}
	for _, k := range g.unreachable {
		for entity := range g.state.Kind(k) {
			e.State.Delete(entity.Ref)
		}
	}
	return e, nil
}

// Apply implements gateway.Target. Each change is a revision of its own.
func (g *Gateway) Apply(ctx context.Context, changes []gateway.Change) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.applies++
	for i, c := range changes {
		if err := g.applyOne(ctx, i, c); err != nil {
			err = fmt.Errorf("apply %s of %s: %w", c.Op, c.Entity.Ref, err)
			if i == 0 || g.unsaid {
				return err
			}
			return &gateway.PartialError{Applied: i, Err: err}
		}
	}
	if len(changes) == 0 && g.applyErr != nil {
		return g.applyErr
	}
	if g.blank {
		g.blank = false
		g.history.Reset(newStoreID(), g.history.Header().Revision)
	}
	return nil
}

func (g *Gateway) applyOne(ctx context.Context, i int, c gateway.Change) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if g.applyErr != nil && i >= g.applyAfter {
		return g.applyErr
	}
	if err := c.Entity.Validate(); err != nil {
		return err
	}
	if err := checkReferences(g.state, c); err != nil {
		return err
	}
	g.history.Make(g.state, c)
	return nil
}

// checkReferences refuses a change that would leave an entity with a reference to nothing.
func checkReferences(s *gateway.State, c gateway.Change) error {
	if c.Op != gateway.Delete {
		for _, to := range references(c.Entity) {
			if _, ok := s.Get(to); !ok {
				return fmt.Errorf("refers to %s, which is not there", to)
			}
		}
		return nil
	}
	from, ok := map[gateway.Kind]gateway.Kind{gateway.Upstream: gateway.Route, gateway.Spec: gateway.Route, gateway.Consumer: gateway.Key}[c.Entity.Kind]
	if !ok {
		return nil
	}
	for e := range s.Kind(from) {
		for _, to := range references(e) {
			if to == c.Entity.Ref {
				return fmt.Errorf("%s refers to it", e.Ref)
			}
		}
	}
	return nil
}

func references(e gateway.Entity) []gateway.Ref {
	var body struct{ Upstream, Spec, Consumer string }
	if e.Kind != gateway.Route && e.Kind != gateway.Key || json.Unmarshal(e.Body, &body) != nil {
		return nil
	}
	var refs []gateway.Ref
	add := func(k gateway.Kind, id string) {
		if id != "" {
			refs = append(refs, gateway.Ref{Kind: k, ID: id})
		}
	}
	switch e.Kind {
	case gateway.Route:
		add(gateway.Upstream, body.Upstream)
		add(gateway.Spec, body.Spec)
	case gateway.Key:
		add(gateway.Consumer, body.Consumer)
	}
	return refs
}

// Revocations returns the revocations that the gateway holds, so that it can be a witness.
func (g *Gateway) Revocations(ctx context.Context) ([]gateway.Entity, time.Time, error) {
	e, err := g.Export(ctx)
	if err != nil {
		return nil, time.Time{}, err
	}
	var all []gateway.Entity
	for r := range e.State.Kind(gateway.Revocation) {
		all = append(all, r)
	}
	return all, e.Time, nil
}

// Put changes the gateway's configuration as an operator would, without a check of references.
func (g *Gateway) Put(e gateway.Entity) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.history.Make(g.state, gateway.Change{Op: gateway.Update, Entity: e})
}

// Remove takes an entity away, without a check of references.
func (g *Gateway) Remove(r gateway.Ref) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.history.Make(g.state, gateway.Change{Op: gateway.Delete, Entity: gateway.Entity{Ref: r}})
}

// Wipe loses the store: the gateway starts anew with nothing, under a new store id, and waits for a restore.
func (g *Gateway) Wipe() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.state, g.blank = gateway.NewState(), true
	g.history.Reset(newStoreID(), 1)
}

// Blank reports whether the gateway still waits for a restore after a Wipe.
func (g *Gateway) Blank() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.blank
}

// Applies returns how often Apply was called.
func (g *Gateway) Applies() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.applies
}

// FailApply makes Apply fail with err once it made so many changes; nil ends that.
func (g *Gateway) FailApply(after int, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.applyAfter, g.applyErr, g.unsaid = after, err, false
}

// CutApply is FailApply of a connection that broke: the error does not say how many changes were made.
func (g *Gateway) CutApply(after int, err error) {
	g.FailApply(after, err)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unsaid = true
}

// FailExport makes Export fail with err; nil ends that.
func (g *Gateway) FailExport(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.exportErr = err
}

// Withhold makes Export leave the kinds out and name them as unreachable.
func (g *Gateway) Withhold(kinds ...gateway.Kind) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unreachable = kinds
}
