package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"gwdr/gateway"
)

func (x *exchange) try(ctx context.Context, req *http.Request) (*http.Response, error) {
	var failure error
	for range x.upstream.retries + 1 {
		e := x.next(ctx)
		if e == nil {
			break
		}
		resp, err := x.askOrHedge(ctx, e, req)
		if err == nil {
			return resp, nil
		}
		if excuse := x.excuse(ctx); excuse != nil {
			return nil, excuse
		}
		if ctx.Err() != nil {
			return nil, errTimeout
		}
		failure = fmt.Errorf("endpoint %s: %w", x.held.url.Host, err)
		if !x.mayRetry(isDial(err) || errors.Is(err, errEndpointOpen)) {
			break
		}
	}
	return nil, cmp.Or(failure, x.nobody())
}

// nobody says why there is no endpoint to ask.
func (x *exchange) nobody() error {
	now := time.Now()
	switch {
	case len(x.upstream.endpoints) == 0:
		return errNoEndpoint
	case slices.ContainsFunc(x.upstream.endpoints, func(e *endpoint) bool { return e.breaker.refuses(now) }):
		return errEndpointOpen
	}
	return errUnhealthy
}

// next picks an endpoint, and holds it; nil if there is none, or the upstream had its retries. One that was tried already is only
// tried again if there is no other, and after a while.
func (x *exchange) next(ctx context.Context) *endpoint {
	x.release()
	if !x.mayTry() {
		return nil
	}
	x.held = x.upstream.pick(x.client, x.tried)
	if x.held == nil && len(x.tried) > 0 {
		if backOff(ctx, len(x.tried)); ctx.Err() != nil {
			return nil
		}
		x.held = x.upstream.pick(x.client, nil)
	}
	if x.held == nil {
		return nil
	}
	if len(x.tried) > 0 {
		x.gateway.metrics.retries.Inc()
	}
	x.tried = append(x.tried, x.held)
	return x.held
}

// mayTry counts an attempt, unless the upstream had its retries.
func (x *exchange) mayTry() bool {
	now := time.Now()
	if len(x.tried) == 0 {
		x.upstream.budget.request(now)
		return true
	}
	passes := x.upstream.budget.retry(now)
	if !passes {
		x.gateway.metrics.unretried.Inc()
	}
	return passes
}

// release lets go of the endpoint that is held, if any: its request is over.
func (x *exchange) release() {
	if x.held != nil {
		x.held.release()
		x.held = nil
	}
}

// ask is timed, if the endpoint's breaker has nothing against it, which counts how that went.
func (x *exchange) ask(ctx context.Context, e *endpoint, req *http.Request) (*http.Response, error) {
	return e.breaker.run(func() (*http.Response, error) { return x.timed(ctx, e, req) })
}

// timed is attempt, and notes how that went, and where it counts how long it took.
func (x *exchange) timed(ctx context.Context, e *endpoint, req *http.Request) (*http.Response, error) {
	start := time.Now()
	resp, err := x.attempt(ctx, e, req)
	if err == nil {
		x.upstream.answered(e, resp.StatusCode)
	} else if excuse := x.excuse(ctx); excuse != nil {
		err = excuse
	} else {
		x.upstream.failed(e, isDial(err))
	}
	if x.upstream.balance == gateway.Latency {
		now := time.Now()
		e.load.delay.observe(now.Sub(start), err != nil, now)
	}
	return resp, err
}

// excuse is why an attempt failed, if that says nothing about the endpoint: the client failed, or is gone, or
// another endpoint was quicker, or little time was left for it.
func (x *exchange) excuse(ctx context.Context) error {
	if err := x.clientFailed(ctx); err != nil {
		return err
	}
	if cause := context.Cause(ctx); cause != nil && cause != errTimeout {
		return cause
	}
	return nil
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
	resp, err := x.upstream.transport.ask(out, x.inform)
	if !stop() && err == nil {
		resp.Body.Close()
		err = errLost
	}
	if err != nil && errors.Is(context.Cause(ctx), errLost) {
		return nil, errLost
	}
	return resp, err
}

// isDial reports whether the endpoint could not be reached at all, so that it has seen nothing of the request.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
