package proxy

import (
	"maps"
	"slices"
	"sync"
	"time"

	"gwdr/gateway"
)

// Status is what a Gateway serves at the moment.
type Status struct {
	Ready     bool                 `json:"ready"` // a configuration is loaded
	Store     string               `json:"store"`
	Revision  int64                `json:"revision"`
	Epoch     int64                `json:"epoch"`
	Digest    string               `json:"digest"` // of State
	Counts    map[gateway.Kind]int `json:"counts"`
	Rejected  string               `json:"rejected,omitempty"`  // why a newer configuration is not served
	Shadowed  []string             `json:"shadowed,omitempty"`  // routes that no request reaches, as another is equal
	Following *bool                `json:"following,omitempty"` // Follow hears its source; nil: it follows none
	Endpoints []EndpointStatus     `json:"endpoints"`
}

// EndpointStatus is one endpoint of an upstream.
type EndpointStatus struct {
	Upstream string `json:"upstream"`
	URL      string `json:"url"`
	Priority int    `json:"priority"`
	Healthy  bool   `json:"healthy"`           // requests are sent to it
	Ejected  bool   `json:"ejected,omitempty"` // it is passed over because of how its requests fared
	Breaker  string `json:"breaker,omitempty"` // closed, half-open or open; empty: it has none
}

// Status returns what is served. What takes time is computed when it is asked for, once for
// each configuration, and no change waits for that.
func (g *Gateway) Status() Status {
	s, c, summary := g.known()
	s.Digest, s.Shadowed = summary()
	if c == nil {
		return s
	}
	s.Ready, s.Store, s.Revision, s.Epoch = true, c.header.Store, c.header.Revision, c.header.Epoch
	for _, id := range slices.Sorted(maps.Keys(c.upstreams)) {
		for _, e := range c.upstreams[id].endpoints {
			s.Endpoints = append(s.Endpoints, e.status(id))
		}
	}
	return s
}

// known returns what takes no time to say of the configuration, that itself, and what computes the rest.
func (g *Gateway) known() (s Status, c *config, summary func() (digest string, shadowed []string)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c = g.live.Load()
	if g.summary == nil {
		state := g.state.Clone()
		g.summary = sync.OnceValues(func() (string, []string) { return state.Digest(), c.shadowed() })
	}
	s = Status{Counts: g.state.Counts(), Rejected: g.rejected, Following: g.hears.Load(), Endpoints: []EndpointStatus{}}
	return s, c, g.summary
}

func (e *endpoint) status(upstream string) EndpointStatus {
	s := EndpointStatus{Upstream: upstream, URL: e.url.String(), Priority: e.priority, Healthy: e.usable(), Ejected: e.isEjected(time.Now())}
	if e.breaker != nil {
		s.Breaker = e.breaker.state().String()
	}
	return s
}

func (c *config) shadowed() []string {
	var ids []string
	if c != nil {
		for id, r := range c.routes {
			if c.router.shadows(r) {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return ids
}

// Ready reports whether a configuration is loaded, and the gateway not about to stop.
func (g *Gateway) Ready() bool { return g.live.Load() != nil && !g.draining.Load() }

// State returns a copy of what is served, revocations that its source has lost included.
func (g *Gateway) State() (gateway.Header, *gateway.State) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.header(), g.state.Clone()
}
