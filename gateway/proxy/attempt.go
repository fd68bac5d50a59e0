package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
)

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

// isDial reports whether the endpoint could not be reached at all, so that it has seen nothing of the request.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
