package proxy

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"gwdr/gateway"
	"gwdr/gateway/contract"
)

// config is what the data plane serves: a state, compiled. It is never changed; with makes the next one, which shares
// what stays the same.
type config struct {
	header    gateway.Header
	routes    map[string]*route
	upstreams map[string]*upstream
	router    *router
	keys      *keyring
	issuers   issuers
	specs     map[string]*contract.Spec
}

func emptyConfig() *config { return &config{router: &router{}, keys: &keyring{}} }

// route is a RouteBody, ready to serve.
type route struct {
	id       string
	hosts    []string
	methods  []string // {""} for any
	template gateway.Template
	upstream string
	auth     string // one of gateway.Auths
	scopes   []string
	headers  http.Header
	timeout  time.Duration // 0 means the upstream's
	limit    *limit        // nil: none
	maxBody  int64         // 0: any
	breaker  *breaker      // nil: none
	bulkhead *bulkhead     // likewise
	series   atomic.Pointer[series]

	conditions []condition // what it asks for beside host, method and path
	priority   int
	contract   *contract.Route // of its spec; nil: any request will do
	spec       string

	admission   admission
	minBodyRate int64         // bytes a second that a client sends at least; 0: any
	hedgeAfter  time.Duration // 0 means the upstream's
}

// with returns the configuration after the changes, which are in one or more parts, or an error that names the first entity it cannot work with. It has
// no effect but the new configuration: upstreams that are new in it do not run yet.
func (c *config) with(h gateway.Header, parts iter.Seq[[]gateway.Change]) (*config, error) {
	next := *c
	next.header = h
	e := configEdit{config: &next, keys: c.keys.edit()}
	for changes := range parts {
		parsed := parse(changes)
		for i, change := range changes {
			if err := e.apply(change, parsed[i]); err != nil {
				return nil, fmt.Errorf("%s: %w", change.Entity.Ref, err)
			}
		}
	}
	next.keys = e.keys.ring
	if e.router != nil {
		next.router = e.router.router
	}
	return &next, e.checkUpstreams()
}

// configEdit is a configuration in the making.
type configEdit struct {
	*config
	keys     *keyEdit
	router   *routerEdit // nil until a route changes
	ownUps   bool        // the upstreams are the edit's own
	fresh    []*route    // routes that are new or changed
	gone     bool        // an upstream was deleted
	ownSpecs bool        // the specs are the edit's own
}

func clone[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return maps.Clone(m)
}

func (e *configEdit) apply(change gateway.Change, p parsed) error {
	if p.err != nil {
		return p.err
	}
	switch change.Entity.Kind {
	case gateway.Key, gateway.Revocation:
		e.keys.apply(change, p.key)
	case gateway.Route:
		e.applyRoute(change, p.route)
	case gateway.Upstream:
		return e.applyUpstream(change)
	case gateway.Setting:
		if name, ok := gateway.IssuerName(change.Entity.Ref); ok {
			e.issuers = e.issuers.with(name, p.issuer)
		}
	case gateway.Spec:
		e.applySpec(change)
	}
	return nil
}

func (e *configEdit) applySpec(change gateway.Change) {
	id := change.Entity.ID
	if !e.ownSpecs {
		e.specs, e.ownSpecs = clone(e.specs), true
	}
	if delete(e.specs, id); change.Op != gateway.Delete {
		e.specs[id] = contract.NewSpec(id, change.Entity.Body)
	}
}

func (e *configEdit) applyRoute(change gateway.Change, r *route) {
	id := change.Entity.ID
	if e.router == nil {
		e.router, e.routes = e.config.router.edit(), clone(e.routes)
	}
	old := e.routes[id]
	if old != nil {
		e.router.remove(old)
		delete(e.routes, id)
	}
	if r == nil {
		return
	}
	r.inherit(old)
	e.router.add(r)
	e.routes[id] = r
	e.fresh = append(e.fresh, r)
}

func (e *configEdit) applyUpstream(change gateway.Change) error {
	id := change.Entity.ID
	if !e.ownUps {
		e.upstreams, e.ownUps = clone(e.upstreams), true
	}
	if change.Op == gateway.Delete {
		delete(e.upstreams, id)
		e.gone = true
		return nil
	}
	u, err := newUpstream(id, change.Entity.Body)
	e.upstreams[id] = u
	return err
}

// checkUpstreams reports a route whose upstream is not there; of several the one with the lowest id.
func (e *configEdit) checkUpstreams() error {
	suspects := slices.Values(e.fresh)
	if e.gone {
		suspects = maps.Values(e.routes)
	}
	var lost *route
	for r := range suspects {
		if e.upstreams[r.upstream] == nil && e.routes[r.id] == r && (lost == nil || r.id < lost.id) {
			lost = r
		}
	}
	if lost == nil {
		return nil
	}
	return fmt.Errorf("route/%s: upstream %q is not there", lost.id, lost.upstream)
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
	r := &route{id: id, methods: b.Methods, template: template, upstream: b.Upstream, auth: cmp.Or(b.Auth, gateway.AuthKey),
		scopes: b.Scopes, timeout: time.Duration(b.Timeout), limit: newLimit(b.Limit), maxBody: b.MaxBody,
		breaker: newBreaker(b.Breaker, errRouteOpen), bulkhead: newBulkhead(b.Bulkhead), hedgeAfter: time.Duration(b.HedgeAfter),
		minBodyRate: b.MinBodyRate, conditions: newConditions(&b), priority: b.Priority}
	if r.admission, err = admissionOf(&b); err != nil {
		return nil, err
	}
	if b.Validate {
		r.spec, r.contract = b.Spec, contract.NewRoute(&b)
		r.maxBody = cmp.Or(b.MaxBody, mostValidated)
	}
	if len(r.methods) == 0 {
		r.methods = []string{""}
	}
	for _, h := range b.Hosts {
		r.hosts = append(r.hosts, strings.ToLower(strings.TrimSuffix(h, ".")))
	}
	r.hosts, r.methods = distinct(r.hosts), distinct(r.methods)
	if len(b.Headers) > 0 {
		r.headers = http.Header{}
	}
	for name, value := range b.Headers {
		r.headers.Set(name, value)
	}
	return r, nil
}

// inherit takes over what was known of the route that it replaces, if it does.
func (r *route) inherit(old *route) {
	if old != nil {
		r.breaker = r.breaker.orOld(old.breaker)
		r.bulkhead.inherit(old.bulkhead)
	}
}

func distinct(words []string) []string { return slices.Compact(slices.Sorted(slices.Values(words))) }
