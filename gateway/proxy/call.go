package proxy

import (
	"net/http"
	"strings"
	"time"

	"gwdr/gateway"
)

// call is one request of a client, and what is found out about it step by step.
type call struct {
	*Gateway
	config  *config
	request *http.Request
	answer  *recorder
	start   time.Time
	route   *route
	key     string // id of the key that it came with, where the route asks for one
	issuer  string // name of the issuer of the token that it came with, likewise
	subject string // whom that token is about
	tried   []*endpoint
	span    Span // nil: nobody traces

	admitted bool // it is counted as under way
}

// ServeHTTP finds the request's route, checks its key or token and passes it on.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, ownPaths) {
		g.serveOwn(w, r)
		return
	}
	dropForHop(r.Header)
	c := &call{Gateway: g, config: g.live.Load(), request: r, answer: &recorder{ResponseWriter: w}, start: time.Now()}
	if g.options.Trace != nil {
		c.span = g.options.Trace.Begin(r.Header, c.start)
	}
	defer c.end() // also when the reverse proxy aborts the answer
	if f := c.serve(); f != nil {
		g.identify(w.Header())
		f.write(c.answer)
	}
}

// end counts the answer, and says what became of the request.
func (c *call) end() {
	took := time.Since(c.start)
	if c.admitted {
		c.underWay.leave()
	}
	c.metrics.observe(c.answer.status, took)
	if c.route != nil {
		c.metrics.routes.observe(c.route, c.request.Method, c.answer.status, took)
	}
	if c.options.Access == nil && c.span == nil {
		return
	}
	o := c.outcome(took)
	if c.options.Access != nil {
		o.write(c.options.Access)
	}
	if c.span != nil {
		c.span.End(o)
	}
}

// serve takes the steps, in this order, until one refuses.
func (c *call) serve() *refusal {
	for _, step := range [...]func(*call) *refusal{(*call).shed, (*call).screen, (*call).match, (*call).admit, (*call).authenticate,
		(*call).limit, (*call).bound, (*call).spare, (*call).validate, (*call).forward} {
		if f := step(c); f != nil {
			return f
		}
	}
	return nil
}

// match finds the route.
func (c *call) match() *refusal {
	if c.config == nil {
		return &refusal{status: http.StatusServiceUnavailable, text: "no configuration is loaded"}
	}
	var err error
	if c.route, err = c.config.router.match(c.request); err != nil {
		return &refusal{status: http.StatusBadRequest, text: err.Error()}
	}
	if c.route == nil {
		return c.config.router.refuse(c.request)
	}
	return nil
}

// authenticate checks the key or the token, where the route asks for one.
func (c *call) authenticate() (f *refusal) {
	auth := c.route.auth
	if auth == gateway.AuthAny {
		if auth, f = presented(c.request.Header); f != nil {
			return f
		}
	}
	switch auth {
	case gateway.AuthKey:
		c.key, f = c.config.keys.authenticate(c.request.Header, c.route, c.options.Now())
	case gateway.AuthJWT:
		c.issuer, c.subject, f = c.config.issuers.authenticate(c.request, c.route, c.options.Now())
	}
	return f
}

// presented tells which of both the request comes with. Of both, which one counts must not be guessed.
func presented(header http.Header) (auth string, f *refusal) {
	_, keys := presentedKey(header)
	_, tokens := presentedToken(header)
	switch {
	case keys+tokens != 1:
		return "", unauthorized("an API key or a token is required")
	case keys == 1:
		return gateway.AuthKey, nil
	}
	return gateway.AuthJWT, nil
}

// limit counts the request, where the route has a limit, and says how the client stands with it.
func (c *call) limit() *refusal {
	l := c.route.limit
	if l == nil {
		return nil
	}
	b := bucket{route: c.route.id, who: l.who(c)}
	if l.shared {
		return c.limitShared(l, b)
	}
	return c.keepTo(l, c.limits.take(b, l, c.start))
}

// bound refuses a body that says it is too large, and breaks off one that turns out to be.
func (c *call) bound() *refusal {
	most, r := c.route.maxBody, c.request
	switch {
	case most == 0:
	case r.ContentLength > most:
		return c.route.tooLarge()
	case r.ContentLength < 0:
		r.Body = http.MaxBytesReader(c.answer, r.Body, most)
	}
	return nil
}

// forward passes the request on when it is its turn, and answers it.
func (c *call) forward() *refusal {
	u := c.config.upstreams[c.route.upstream]
	if f := c.awaitTurn(u); f != nil {
		return f
	}
	defer c.endTurn(u)
	x := &exchange{gateway: c.Gateway, route: c.route, upstream: u, keys: c.config.keys, start: c.start, span: c.span}
	defer func() { c.tried = x.tried }() // also when the reverse proxy aborts the answer
	x.serve(c.answer, c.request)
	return nil
}

// refuse tells a path that is not there, or not for such a request, from one that is there for other methods.
func (r *router) refuse(req *http.Request) *refusal {
	methods := r.methods(hostName(req.Host), req.URL.Path)
	if len(methods) == 0 {
		return &refusal{status: http.StatusNotFound, text: "no route matches"}
	}
	if takes(methods, req.Method) {
		return &refusal{status: http.StatusNotFound, text: "no route of this path matches the request's headers and query"}
	}
	return &refusal{status: http.StatusMethodNotAllowed, text: "the route does not take this method", allow: allow(methods)}
}
