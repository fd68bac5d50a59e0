package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

var (
	errTimeout    = errors.New("no response header in time")
	errKept       = fmt.Errorf("%w: the request was kept waiting here for most of it", errTimeout) // which no endpoint answers for
	errLost       = errors.New("endpoint fell silent")
	errNoEndpoint = errors.New("upstream has no endpoint")
	errUnhealthy  = errors.New("no endpoint is healthy")
	errClientBody = errors.New("request body cannot be read")
	errTooLarge   = errors.New("request body is too large")
	errClientSlow = errors.New("request body did not come in time")
)

// fail answers for an upstream that did not.
func (x *exchange) fail(w http.ResponseWriter, r *http.Request, err error) {
	answer := refusal{status: http.StatusBadGateway, text: "the upstream cannot be reached"}
	switch {
	case errors.Is(err, errTooLarge):
		answer = *x.route.tooLarge()
	case errors.Is(err, errClientSlow): // for which stopReading has ended the request's context too
		answer = refusal{status: http.StatusRequestTimeout, text: "the request body did not come in time"}
	case errors.Is(err, errClientBody): // it may still listen, and the server takes the end of what it sends for its own
		answer = refusal{status: http.StatusBadRequest, text: "the request body ends early"}
	case errors.Is(err, errTimeout): // by which stopReading may have, too
		answer = refusal{status: http.StatusGatewayTimeout, text: "the upstream did not answer in time"}
	case r.Context().Err() != nil:
		answer = *clientGone
	case errors.Is(err, errNoEndpoint):
		answer = refusal{status: http.StatusServiceUnavailable, text: "the upstream has no endpoint"}
	case errors.Is(err, errUnhealthy):
		answer = refusal{status: http.StatusServiceUnavailable, text: "no endpoint of the upstream is healthy", retry: x.upstream.comesBack()}
	case errors.Is(err, errEndpointOpen):
		x.gateway.metrics.refused.open.Inc()
		answer = refusal{status: http.StatusServiceUnavailable, text: "the endpoints of the upstream fail: their circuit breakers are open",
			retry: x.upstream.comesBack()}
	case errors.Is(err, errRouteOpen):
		x.gateway.metrics.refused.open.Inc()
		answer = *x.route.breaker.refuse()
	}
	x.stopReading()
	x.gateway.log.Debug("request failed", "route", x.route.id, "upstream", x.upstream.id, "status", answer.status, "error", err)
	x.gateway.identify(w.Header())
	answer.write(w)
}

// clientFailed reports how the client failed to send the whole request, if it did.
func (x *exchange) clientFailed(ctx context.Context) error {
	switch {
	case x.once == nil || x.once.ended.Load():
		return nil
	case x.once.large.Load():
		return errTooLarge
	case x.once.slow.Load(), errors.Is(context.Cause(ctx), errClientSlow):
		return errClientSlow
	case errors.Is(context.Cause(ctx), errTimeout): // what broke, broke by that
		return nil
	case x.once.broke.Load():
		return errClientBody
	}
	return nil
}

// statusClientGone is what nginx logs for a client that did not wait; nobody receives it.
const statusClientGone = 499

var clientGone = &refusal{status: statusClientGone, text: "the client is gone"}
