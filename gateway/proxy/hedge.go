package proxy

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"time"
)

var errOutrun = errors.New("another endpoint was quicker")

// askOrHedge asks the endpoint, and after a while another one as well: the first good answer wins, and the other is given up. Source:
// Dean and Barroso, The Tail at Scale, 2013 (hedged requests).
func (x *exchange) askOrHedge(ctx context.Context, e *endpoint, req *http.Request) (*http.Response, error) {
	if !x.mayHedge(req) {
		return x.ask(ctx, e, req)
	}
	ended := make(chan *runner, 2)
	first := x.run(ctx, e, req, ended)
	late := time.NewTimer(x.hedgeAfter())
	defer late.Stop()
	select {
	case <-ended:
		return first.resp, first.err
	case <-late.C:
	}
	other := x.another()
	if other == nil {
		<-ended
		return first.resp, first.err
	}
	return x.race(ended, first, x.run(ctx, other, req, ended))
}

// hedgeAfter is how long the first attempt is alone; 0: as long as it takes.
func (x *exchange) hedgeAfter() time.Duration {
	return cmp.Or(x.route.hedgeAfter, x.upstream.hedgeAfter)
}

// mayHedge reports whether the request may be under way twice: its first attempt, if it could be repeated. An upgrade makes a
// connection, which is more than an answer.
func (x *exchange) mayHedge(req *http.Request) bool {
	return x.hedgeAfter() > 0 && x.safe && len(x.tried) == 1 && len(x.upstream.endpoints) > 1 && req.Header.Get("Upgrade") == ""
}

// another picks an endpoint that works and was not tried, if the upstream has retries left; nil if not. It is released by drop.
func (x *exchange) another() *endpoint {
	e := x.upstream.pick(x.client, x.tried)
	switch {
	case e == nil:
		return nil
	case !e.usable() || !x.mayTry():
		e.release()
		return nil
	}
	x.gateway.metrics.hedges.Inc()
	return e
}

// race waits for the better of two attempts, and holds its endpoint. The worse is not waited for.
func (x *exchange) race(ended <-chan *runner, first, second *runner) (*http.Response, error) {
	won, lost := <-ended, first
	if won == first {
		lost = second
	}
	if won.good() {
		lost.stop(errOutrun)
		go func() {
			<-ended
			lost.drop()
		}()
	} else {
		<-ended
		if lost.good() || won.resp == nil {
			won, lost = lost, won
		}
		lost.drop()
	}
	x.held, x.tried = won.endpoint, append(x.tried, second.endpoint)
	if won == first {
		slices.Reverse(x.tried) // the last one is who answered
	} else if won.good() {
		x.gateway.metrics.hedgesWon.Inc()
	}
	return won.resp, won.err
}

// runner is an attempt that has another beside it.
type runner struct {
	endpoint *endpoint
	stop     context.CancelCauseFunc
	resp     *http.Response
	err      error
}

// run asks the endpoint in the background, and tells when that has ended.
func (x *exchange) run(ctx context.Context, e *endpoint, req *http.Request, ended chan<- *runner) *runner {
	r := &runner{endpoint: e}
	ctx, r.stop = context.WithCancelCause(ctx)
	go func() {
		r.resp, r.err = x.ask(ctx, e, req)
		ended <- r
	}()
	return r
}

// good reports whether its answer needs no better one.
func (r *runner) good() bool { return r.err == nil && r.resp.StatusCode < 500 }

// drop lets go of an attempt that has ended, and that nobody wants.
func (r *runner) drop() {
	if r.resp != nil {
		r.resp.Body.Close()
	}
	r.stop(errOutrun)
	r.endpoint.release()
}
