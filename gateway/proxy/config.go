package proxy

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"gwdr/gateway"
)

// config is what the data plane serves: a state, compiled. It is never changed; with makes the next one, which shares
// what stays the same.
type config struct {
	header    gateway.Header
	routes    map[string]*route
	upstreams map[string]*upstream
	router    *router
	keys      *keyring
}

func emptyConfig() *config { return &config{router: newRouter(nil), keys: &keyring{}} }

// route is a RouteBody, ready to serve.
type route struct {
	id       string
	hosts    []string
	methods  []string // {""} for any
	template gateway.Template
	upstream string
	guarded  bool // asks for a key
	scopes   []string
	headers  http.Header
	timeout  time.Duration // 0 means the upstream's
}

// with returns the configuration after the changes, or an error that names the first entity it cannot work with. It has
// no effect but the new configuration: upstreams that are new in it do not run yet.
func (c *config) with(h gateway.Header, changes []gateway.Change) (*config, error) {
	next := *c
	next.header = h
	touched := map[gateway.Kind]bool{}
	for _, change := range changes {
		touched[change.Entity.Kind] = true
	}
	if touched[gateway.Route] {
		next.routes = clone(c.routes)
	}
	if touched[gateway.Upstream] {
		next.upstreams = clone(c.upstreams)
	}
	keys := c.keys.edit()
	for _, change := range changes {
		if err := next.apply(change, keys); err != nil {
			return nil, fmt.Errorf("%s: %w", change.Entity.Ref, err)
		}
	}
	next.keys = keys.ring
	if touched[gateway.Route] {
		next.router = newRouter(next.routes)
	}
	if touched[gateway.Route] || touched[gateway.Upstream] {
		return &next, next.checkUpstreams()
	}
	return &next, nil
}

func clone[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return maps.Clone(m)
}

// apply makes the change in the maps and keys, which are the new configuration's own.
func (c *config) apply(change gateway.Change, keys *keyEdit) error {
	id, body := change.Entity.ID, change.Entity.Body
	switch change.Entity.Kind {
	case gateway.Key, gateway.Revocation:
		return keys.apply(change)
	case gateway.Route:
		if change.Op == gateway.Delete {
			delete(c.routes, id)
			return nil
		}
		r, err := newRoute(id, body)
		c.routes[id] = r
		return err
	case gateway.Upstream:
		if change.Op == gateway.Delete {
			delete(c.upstreams, id)
			return nil
		}
		u, err := newUpstream(id, body)
		c.upstreams[id] = u
		return err
	}
	return nil
}

// checkUpstreams reports a route whose upstream is not there; of several the one with the lowest id.
func (c *config) checkUpstreams() error {
	var lost []string
	for id, r := range c.routes {
		if c.upstreams[r.upstream] == nil {
			lost = append(lost, id)
		}
	}
	if len(lost) == 0 {
		return nil
	}
	id := slices.Min(lost)
	return fmt.Errorf("route/%s: upstream %q is not there", id, c.routes[id].upstream)
}

func newRoute(id string, body []byte) (*route, error) {
	var b gateway.RouteBody
	if err := gateway.Decode(body, &b); err != nil {
		return nil, err
	}
	if err := b.Check(); err != nil {
		return nil, err
	}
	template, err := gateway.ParseTemplate(b.Path)
	if err != nil {
		return nil, err
	}
	r := &route{id: id, methods: b.Methods, template: template, upstream: b.Upstream, guarded: b.Auth != gateway.AuthNone,
		scopes: b.Scopes, timeout: time.Duration(b.Timeout)}
	if len(r.methods) == 0 {
		r.methods = []string{""}
	}
	for _, h := range b.Hosts {
		r.hosts = append(r.hosts, strings.ToLower(strings.TrimSuffix(h, ".")))
	}
	if len(b.Headers) > 0 {
		r.headers = http.Header{}
	}
	for name, value := range b.Headers {
		r.headers.Set(name, value)
	}
	return r, nil
}
