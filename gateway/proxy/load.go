package proxy

import (
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"gwdr/gateway"
)

// ErrRefused is wrapped by errors of Load that say the state is none to follow: it comes from a new or unknown store and
// would take away what is served.
var ErrRefused = errors.New("state refused")

// Load replaces the configuration by s, all of it or nothing. An error that wraps ErrRefused says that s is to be
// forgotten; any other, that it cannot be compiled as it is: the last good one stays, and Update tries again with further
// changes on top. Either way, s's revocations are taken over, and known revocations stay even if s lacks them.
func (g *Gateway) Load(h gateway.Header, s *gateway.State) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.keep()
	if err := g.mayFollow(h, s); err != nil {
		return g.reject(err, gateway.Diff(g.state, s))
	}
	g.want, g.pending = h, nil
	return g.take(s)
}

// take makes the changes that lead to s.
func (g *Gateway) take(s *gateway.State) error {
	if g.state.Len() == 0 && g.begin(s) {
		return nil
	}
	return g.advance(gateway.Diff(g.state, s))
}

// begin takes s where there is nothing yet, if it can be compiled. It makes no list of what may be a million changes, in any order:
// a start waits for this.
func (g *Gateway) begin(s *gateway.State) bool {
	current := g.current()
	next, err := current.with(g.want, inParts(s))
	if err != nil {
		return false
	}
	g.state, g.summary, g.unsaved = s.Clone(), nil, true
	g.swap(current, next)
	g.settled()
	return true
}

// beginPart is how many entities are taken in at a time.
const beginPart = 16 << 10

// inParts yields the changes that make s, a part at a time, which is good until the next.
func inParts(s *gateway.State) iter.Seq[[]gateway.Change] {
	return func(yield func([]gateway.Change) bool) {
		part := make([]gateway.Change, 0, min(beginPart, s.Len()))
		for e := range s.Unordered() {
			part = append(part, gateway.Change{Op: gateway.Create, Entity: e})
			if len(part) == beginPart {
				if !yield(part) {
					return
				}
				part = part[:0]
			}
		}
		yield(part)
	}
}

// mayFollow refuses a state that has nothing to serve instead of what is served, and does not continue it either: that of
// a store which lost its data. It also refuses a store that waits for a restore, and thus has no id.
func (g *Gateway) mayFollow(h gateway.Header, s *gateway.State) error {
	if h.Store == "" {
		return fmt.Errorf("%w: the store has no id", ErrRefused)
	}
	current := g.header()
	continues := h.Store == current.Store && h.Revision >= current.Revision
	if continues || g.state.Len() == 0 {
		return nil
	}
	for range s.Kind(gateway.Route) {
		return nil
	}
	return fmt.Errorf("%w: store %q at revision %d has no routes, and does not continue %q at %d", ErrRefused,
		h.Store, h.Revision, current.Store, current.Revision)
}

// Update makes the changes of one or more revisions. If they cannot be compiled, the last good configuration stays but
// for new revocations, which always count, and the changes are kept, to be tried again with those of the next Update.
func (g *Gateway) Update(b gateway.Batch) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	defer g.keep()
	g.want.Revision, g.want.Time = b.Revision, time.Now().UTC()
	return g.advance(b.Changes)
}

func (g *Gateway) header() gateway.Header {
	if c := g.live.Load(); c != nil {
		return c.header
	}
	return gateway.Header{}
}

// advance compiles the pending changes and those given. Known revocations stay.
func (g *Gateway) advance(changes []gateway.Change) error {
	if slices.ContainsFunc(changes, g.pardons) {
		changes = slices.DeleteFunc(slices.Clone(changes), g.pardons)
	}
	if len(g.pending) > 0 {
		g.hold(changes)
		byRef := func(a, b gateway.Change) int { return a.Entity.Ref.Compare(b.Entity.Ref) }
		changes = slices.SortedFunc(maps.Values(g.pending), byRef)
	}
	err := g.compile(g.want, changes)
	if err == nil {
		g.settled()
		return nil
	}
	g.hold(changes)
	return g.reject(err, changes)
}

// settled notes that nothing is left to be compiled.
func (g *Gateway) settled() { g.pending, g.rejected = nil, "" }

// pardons reports whether the change would take a known revocation back, or put it off.
func (g *Gateway) pardons(c gateway.Change) bool {
	if c.Entity.Kind != gateway.Revocation {
		return false
	}
	known, there := g.state.Get(c.Entity.Ref)
	return c.Op == gateway.Delete || there && gateway.RevokesEarlier(known, c.Entity.Body)
}

// reject makes no other changes than new revocations, and returns err.
func (g *Gateway) reject(err error, changes []gateway.Change) error {
	g.metrics.rejected.Inc()
	g.rejected = err.Error()
	revocations := g.onlyRevocations(changes)
	if g.live.Load() == nil || len(revocations) == 0 {
		return err
	}
	return errors.Join(err, g.compile(g.header(), revocations))
}

// hold keeps the changes for the next attempt.
func (g *Gateway) hold(changes []gateway.Change) {
	if g.pending == nil {
		g.pending = map[gateway.Ref]gateway.Change{}
	}
	for _, c := range changes {
		g.pending[c.Entity.Ref] = c
	}
}

func (g *Gateway) onlyRevocations(changes []gateway.Change) []gateway.Change {
	var kept []gateway.Change
	for _, c := range changes {
		if c.Entity.Kind == gateway.Revocation && !g.pardons(c) {
			kept = append(kept, c)
		}
	}
	return kept
}

// compile makes the changes and swaps the configuration, or does nothing.
func (g *Gateway) compile(h gateway.Header, changes []gateway.Change) error {
	current := g.current()
	next, err := current.with(h, slices.Values([][]gateway.Change{changes}))
	if err != nil {
		return fmt.Errorf("compile configuration: %w", err)
	}
	for _, c := range changes {
		g.state.Apply(c)
	}
	g.swap(current, next)
	if len(changes) > 0 || h.Store != current.header.Store {
		g.summary, g.unsaved = nil, true
	}
	return nil
}

// current returns what is served, or nothing to be served.
func (g *Gateway) current() *config {
	if c := g.live.Load(); c != nil {
		return c
	}
	return emptyConfig()
}

// keep has the configuration written, if it is another one.
func (g *Gateway) keep() {
	if g.unsaved && g.keeper != nil {
		g.keeper.changed()
	}
	g.unsaved = false
}

// swap puts next in place of current, and ends the upstreams and issuers that are no longer in it.
func (g *Gateway) swap(current, next *config) {
	for id, u := range next.upstreams {
		old := current.upstreams[id]
		if old == u {
			continue
		}
		if old != nil {
			u.inherit(old)
		}
		if g.options.UpstreamsAt != "" {
			u.transport.divert(g.options.UpstreamsAt)
			continue
		}
		u.start(g.healthChanged)
	}
	for _, i := range next.issuers {
		if g.options.UpstreamsAt == "" && !slices.Contains(current.issuers, i) {
			i.keys.start(g.keySets, g.log.With("issuer", i.name))
		}
	}
	g.live.Store(next)
	for _, i := range current.issuers {
		if !slices.Contains(next.issuers, i) {
			i.keys.end()
		}
	}
	for id, s := range current.specs {
		if next.specs[id] != s {
			g.documents.Forget(s)
		}
	}
	for id, u := range current.upstreams {
		if next.upstreams[id] != u {
			u.close()
		}
	}
}

func (g *Gateway) healthChanged(u *upstream, e *endpoint, healthy bool) {
	g.log.Info("endpoint health changed", "upstream", u.id, "endpoint", e.url.Host, "healthy", healthy)
}
