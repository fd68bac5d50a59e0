package proxy

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"time"
)

// replayLimit bounds the request bodies that are kept in memory for another attempt, in bytes.
const replayLimit = 64 << 10

var (
	errTimeout    = errors.New("no response header in time")
	errLost       = errors.New("endpoint fell silent")
	errNoEndpoint = errors.New("upstream has no endpoint")
	errClientBody = errors.New("request body cannot be read")
	errClientSlow = errors.New("request body did not come in time")
)

// exchange is one request on its way: the http.RoundTripper of its own httputil.ReverseProxy.
type exchange struct {
	gateway  *Gateway
	route    *route
	upstream *upstream
	body     func() (io.ReadCloser, error) // the body for the next attempt
	once     *onceBody                     // what the client sends; nil if that is nothing
	safe     bool                          // the request may be made twice
	tried    []*endpoint
	client   *http.ResponseController
}

// serve passes the request on and answers it.
func (x *exchange) serve(w http.ResponseWriter, r *http.Request) {
	x.client = http.NewResponseController(w)
	defer func() { x.once.cut() }()
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
	p.SetXForwarded()
	p.Out.URL.RawQuery = p.In.URL.RawQuery // the gateway decides nothing by it, so it need not be cleaned
	if x.route.guarded {
		stripKey(p.Out.Header)
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

// RoundTrip tries endpoints until one answers. Nothing of an answer has been passed on before it returns, so that a
// request that may be made twice is made again elsewhere, and so is one that no endpoint has seen.
func (x *exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil && req.Body != http.NoBody {
		x.once = &onceBody{Reader: req.Body}
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	limit := time.AfterFunc(x.timeout(), func() {
		cancel(errTimeout)
		x.stopReading()
	})
	resp, err := x.prepareAndTry(ctx, req)
	if !limit.Stop() && err == nil {
		resp.Body.Close()
		err = errTimeout
	}
	if err != nil {
		cancel(err)
	}
	return resp, err // the context ends with the client's request, after the response body is passed on
}

func (x *exchange) timeout() time.Duration {
	if x.route.timeout > 0 {
		return x.route.timeout
	}
	return x.upstream.timeout
}

func (x *exchange) prepareAndTry(ctx context.Context, req *http.Request) (*http.Response, error) {
	if err := x.prepare(ctx, req); err != nil {
		return nil, err
	}
	return x.try(ctx, req)
}

func (x *exchange) try(ctx context.Context, req *http.Request) (*http.Response, error) {
	failure := errNoEndpoint
	for range x.upstream.retries + 1 {
		e := x.upstream.pick(x.tried)
		if e == nil {
			break
		}
		if len(x.tried) > 0 {
			x.gateway.metrics.retries.Inc()
		}
		x.tried = append(x.tried, e)
		resp, err := x.attempt(ctx, e, req)
		if err == nil {
			e.worked()
			return resp, nil
		}
		if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errTimeout) {
			return nil, context.Cause(ctx) // the client is gone, which says nothing about the endpoint
		}
		if err := x.clientFailed(ctx); err != nil {
			return nil, err // neither does that
		}
		unreachable := isDial(err)
		e.broke(unreachable)
		if ctx.Err() != nil {
			return nil, errTimeout
		}
		failure = fmt.Errorf("endpoint %s: %w", e.url.Host, err)
		if !x.mayRetry(unreachable) {
			break
		}
	}
	return nil, failure
}

// clientFailed reports how the client failed to send the whole request, if it did.
func (x *exchange) clientFailed(ctx context.Context) error {
	switch {
	case x.once == nil || x.once.ended.Load():
		return nil
	case errors.Is(context.Cause(ctx), errTimeout):
		return errClientSlow
	case x.once.broke.Load():
		return errClientBody
	}
	return nil
}

// stopReading ends the wait for a request body that does not come: the transport would go on waiting whatever the context
// says, and so would the server before it answers. The connection cannot be used again.
func (x *exchange) stopReading() {
	if x.once != nil && !x.once.ended.Load() {
		_ = x.client.SetReadDeadline(time.Unix(1, 0)) // a ResponseWriter without deadlines is a test's
	}
}

// attempt asks one endpoint. A request that could be made elsewhere does not wait for an endpoint that falls silent.
func (x *exchange) attempt(ctx context.Context, e *endpoint, req *http.Request) (*http.Response, error) {
	stop := func() bool { return true }
	if x.safe && x.upstream.stop != nil && len(x.upstream.endpoints) > 1 {
		var cancel context.CancelCauseFunc
		ctx, cancel = context.WithCancelCause(ctx)
		stop = context.AfterFunc(e.lost.Load(), func() { cancel(errLost) })
	}
	out := req.WithContext(ctx)
	target := *req.URL
	target.Scheme, target.Host = e.url.Scheme, e.url.Host
	out.URL = &target
	if x.body != nil {
		out.Body, _ = x.body()
		if x.safe {
			out.GetBody = x.body // for the transport's own second attempt
		}
	}
	resp, err := x.upstream.transport.RoundTrip(out)
	if !stop() && err == nil {
		resp.Body.Close()
		err = errLost
	}
	if err != nil && errors.Is(context.Cause(ctx), errLost) {
		return nil, errLost
	}
	return resp, err
}

// prepare finds out whether the request can be made twice.
func (x *exchange) prepare(ctx context.Context, req *http.Request) error {
	x.safe = isIdempotent(req.Method)
	switch {
	case x.once == nil:
	case x.safe && req.ContentLength > 0 && req.ContentLength <= replayLimit:
		kept := make([]byte, req.ContentLength)
		if _, err := io.ReadFull(x.once, kept); err != nil {
			return fmt.Errorf("%w: %w", cmp.Or(x.clientFailed(ctx), errClientBody), err)
		}
		x.once.ended.Store(true)
		x.body = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(kept)), nil }
	default:
		x.safe = false
		x.body = func() (io.ReadCloser, error) { return x.once, nil }
	}
	if _, there := req.Header["Idempotency-Key"]; x.safe && !there {
		req.Header["Idempotency-Key"] = nil // is not sent, but lets the transport try again when an idle connection is dead
	}
	return nil
}

// mayRetry reports whether another attempt does no harm, given that the last one could not even connect.
func (x *exchange) mayRetry(unreachable bool) bool {
	if x.safe {
		return true
	}
	return unreachable && (x.once == nil || !x.once.read.Load())
}

func isIdempotent(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return false
}

// isDial reports whether the endpoint could not be reached at all, so that it has seen nothing of the request.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// fail answers for an upstream that did not.
func (x *exchange) fail(w http.ResponseWriter, r *http.Request, err error) {
	answer := refusal{status: http.StatusBadGateway, text: "the upstream cannot be reached"}
	switch {
	case errors.Is(err, errClientSlow): // for which stopReading has ended the request's context too
		answer = refusal{status: http.StatusRequestTimeout, text: "the request body did not come in time"}
	case r.Context().Err() != nil:
		answer = refusal{status: statusClientGone, text: "the client is gone"}
	case errors.Is(err, errTimeout):
		answer = refusal{status: http.StatusGatewayTimeout, text: "the upstream did not answer in time"}
	case errors.Is(err, errNoEndpoint):
		answer = refusal{status: http.StatusServiceUnavailable, text: "the upstream has no endpoint"}
	case errors.Is(err, errClientBody):
		answer = refusal{status: http.StatusBadRequest, text: "the request body ends early"}
	}
	x.stopReading()
	x.gateway.log.Debug("request failed", "route", x.route.id, "upstream", x.upstream.id, "status", answer.status, "error", err)
	answer.write(w)
}

// statusClientGone is what nginx logs for a client that did not wait; nobody receives it.
const statusClientGone = 499
