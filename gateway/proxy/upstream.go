package proxy

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"gwdr/gateway"
)

// upstream is an UpstreamBody, ready to serve: endpoints, their health, and connections to them.
type upstream struct {
	id        string
	balance   string
	closed    bool // when no endpoint is healthy, none is tried
	slowStart time.Duration
	retries   int           // further attempts
	timeout   time.Duration // from request to response header
	total     time.Duration // from request to the end of the response; 0: any
	idle      time.Duration // without a byte of the response's body; 0: any
	check     gateway.HealthCheck
	outlier   outlier
	budget    *budget // of retries
	bulkhead  *bulkhead
	endpoints []*endpoint
	transport *transport
	stop      context.CancelFunc // ends the health checks; nil while they have not begun
	checks    sync.WaitGroup

	hedgeAfter time.Duration // until another endpoint is asked as well; 0: never

	mu     sync.Mutex  // held while an endpoint is picked or ejected
	equals []*endpoint // scratch of pick
}

func newUpstream(id string, body []byte) (*upstream, error) {
	var b gateway.UpstreamBody
	if err := gateway.Decode(body, &b); err != nil {
		return nil, err
	}
	if err := b.Check(); err != nil {
		return nil, err
	}
	u := &upstream{id: id, balance: b.Balance, closed: b.AllUnhealthy != gateway.FailOpen, slowStart: time.Duration(b.SlowStart),
		retries: b.Repeats(), timeout: time.Duration(cmp.Or(b.Timeout, gateway.Duration(30*time.Second))),
		total: time.Duration(b.TotalTimeout), idle: time.Duration(b.IdleTimeout),
		check: b.Health.WithDefaults(), outlier: newOutlier(b), budget: newBudget(b.RetryPercent()),
		bulkhead: newBulkhead(b.Bulkhead), hedgeAfter: time.Duration(b.HedgeAfter),
		equals: make([]*endpoint, 0, len(b.Endpoints))}
	for _, e := range b.Endpoints {
		ep, err := newEndpoint(e)
		if err != nil {
			return nil, err
		}
		ep.breaker = newBreaker(b.Breaker, errEndpointOpen)
		u.endpoints = append(u.endpoints, ep)
	}
	u.transport = newTransport(time.Duration(cmp.Or(b.ConnectTimeout, gateway.Duration(time.Second))))
	return u, nil
}

// inherit takes over what the upstream of the same id that is replaced knew of itself and of endpoints that stay.
func (u *upstream) inherit(old *upstream) {
	u.budget.inherit(old.budget)
	old.mu.Lock() // requests that began with it go on
	defer old.mu.Unlock()
	u.bulkhead.inherit(old.bulkhead)
	for _, e := range u.endpoints {
		i := slices.IndexFunc(old.endpoints, func(o *endpoint) bool { return *o.url == *e.url })
		if i >= 0 {
			e.inherit(old.endpoints[i], u.check.Path != "")
		}
	}
}

// hasOther reports whether another endpoint than e seems to work.
func (u *upstream) hasOther(e *endpoint) bool {
	return slices.ContainsFunc(u.endpoints, func(o *endpoint) bool { return o != e && o.usable() })
}

// timeLeft is how long the header of a response may take, to a request that began at start, and what it means when that is over.
func (u *upstream) timeLeft(r *route, start time.Time) (left time.Duration, over error) {
	header := cmp.Or(r.timeout, u.timeout)
	if u.total == 0 {
		return header, errTimeout
	}
	full := min(header, u.total)
	if left = min(full, time.Until(start.Add(u.total))); left < full/2 {
		return left, errKept
	}
	return left, errTimeout
}

// close ends the health checks and the idle connections; requests under way go on.
func (u *upstream) close() {
	if u.stop != nil {
		u.stop()
		u.checks.Wait()
	}
	u.transport.CloseIdleConnections()
}
