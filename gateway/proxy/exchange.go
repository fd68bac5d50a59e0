package proxy

import (
	"context"
	"io"
	"net/http"
	"net/http/httputil"
	"time"

	"gwdr/gateway"
)

// exchange is one request on its way: the http.RoundTripper of its own httputil.ReverseProxy.
type exchange struct {
	gateway  *Gateway
	route    *route
	upstream *upstream
	keys     *keyring                      // that upstreams are not to see
	span     Span                          // nil: nobody traces
	start    time.Time                     // of the client's request
	body     func() (io.ReadCloser, error) // the body for the next attempt
	once     *onceBody                     // what the client sends; nil if that is nothing
	safe     bool                          // the request may be made twice
	client   uint64                        // hash of the client's address, where the balance is by it
	tried    []*endpoint
	held     *endpoint // that the request is under way at
	control  *http.ResponseController
	inform   *inform // nil: httputil.ReverseProxy passes informational responses on
	deadline deadline
	reading  reading
}

// serve passes the request on and answers it.
func (x *exchange) serve(w http.ResponseWriter, r *http.Request) {
	x.control = http.NewResponseController(w)
	if x.upstream.balance == gateway.IPHash {
		x.client = hashOf(x.gateway.clientAddress(r))
	}
	defer func() { // the answer has been passed on, or it broke off; so has what an upgrade made of the connection
		x.deadline.end()
		x.reading.end()
		x.once.cut()
		x.release()
	}()
	if len(r.Header["Upgrade"]) == 0 {
		x.pass(w, r)
		return
	}
	proxy := httputil.ReverseProxy{
		Rewrite:        x.rewrite,
		Transport:      x,
		ModifyResponse: x.answer,
		ErrorHandler:   x.fail,
		BufferPool:     &x.gateway.buffers,
		ErrorLog:       x.gateway.proxyLog,
	}
	proxy.ServeHTTP(w, r)
}

// rewrite makes the upstream's request. The client's path, query and Host pass as they are; the reverse proxy has already
// dropped hop-by-hop headers and what the client claims to have been forwarded for.
func (x *exchange) rewrite(p *httputil.ProxyRequest) {
	x.gateway.forwardedFor(p)
	if offersHTTP(p.Out.Header.Get("Upgrade")) {
		p.Out.Header.Del("Upgrade")
		p.Out.Header.Del("Connection")
	}
	p.Out.URL.RawQuery = p.In.URL.RawQuery                                                         // where a route was chosen by it, it can be read in one way only: it need not be cleaned
	x.keys.strip(p.Out.Header, x.route.auth == gateway.AuthKey || x.route.auth == gateway.AuthAny) // an edge passes on keys that others check
	if x.span != nil {
		x.span.Pass(p.Out.Header)
	}
	for name, values := range x.route.headers {
		p.Out.Header[name] = values
	}
}

// answer prepares to pass on what the endpoint said. It may have begun to answer before the request's body was sent to its
// end. The server would then read the rest itself, in turns with the transport, which would send on a body with holes: it
// leaves alone a body whose connection will be closed. HTTP/2 has no such need.
func (x *exchange) answer(resp *http.Response) error {
	final := resp.StatusCode != http.StatusSwitchingProtocols
	if final && x.once != nil && !x.once.ended.Load() && !resp.Request.ProtoAtLeast(2, 0) {
		resp.Header.Set("Connection", "close")
	}
	x.gateway.identify(resp.Header)
	return nil
}

// RoundTrip asks the upstream, if the route's breaker has nothing against it.
func (x *exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	return x.route.breaker.run(func() (*http.Response, error) { return x.askUpstream(req) })
}

// askUpstream tries endpoints until one answers. Nothing of an answer has been passed on before it returns, so that a
// request that may be made twice is made again elsewhere, and so is one that no endpoint has seen.
func (x *exchange) askUpstream(req *http.Request) (*http.Response, error) {
	if req.Body != nil && req.Body != http.NoBody {
		x.once = &onceBody{Reader: req.Body}
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	x.pace(cancel)
	left, late := x.upstream.timeLeft(x.route, x.start)
	limit := time.AfterFunc(left, func() {
		x.once.late()
		cancel(late)
		x.stopReading()
	})
	resp, err := x.prepareAndTry(ctx, req)
	if !limit.Stop() && err == nil {
		resp.Body.Close()
		err = late
	}
	if err != nil {
		cancel(err)
		return nil, err
	}
	x.bound(resp, cancel)
	return resp, nil // the context ends with the client's request, after the response body is passed on
}

func (x *exchange) prepareAndTry(ctx context.Context, req *http.Request) (*http.Response, error) {
	if err := x.prepare(ctx, req); err != nil {
		return nil, err
	}
	return x.try(ctx, req)
}
