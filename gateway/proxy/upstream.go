package proxy

import (
	"cmp"
	"context"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gwdr/gateway"
)

// ejection is how long an endpoint that cannot be reached is passed over.
const ejection = time.Second

// upstream is an UpstreamBody, ready to serve: endpoints, their health, and connections to them.
type upstream struct {
	id        string
	failover  bool
	retries   int           // further attempts
	timeout   time.Duration // from request to response header
	check     gateway.HealthCheck
	endpoints []*endpoint
	transport *http.Transport
	turn      atomic.Uint64
	stop      context.CancelFunc // ends the health checks; nil while they have not begun
	checks    sync.WaitGroup
}

// endpoint is one address of an upstream, and what is known of its health.
type endpoint struct {
	url      *url.URL
	priority int
	born     time.Time
	healthy  atomic.Bool  // what active checks say; true without them
	ejected  atomic.Int64 // passed over until this time, in nanoseconds since born
	failures atomic.Int32 // broken requests in a row
	lost     atomic.Pointer[signal]
}

// signal is given when an endpoint stops answering, to those that wait for it.
type signal struct {
	context.Context
	give context.CancelFunc
}

func newSignal() *signal {
	ctx, cancel := context.WithCancel(context.Background())
	return &signal{ctx, cancel}
}

func newUpstream(id string, body []byte) (*upstream, error) {
	var b gateway.UpstreamBody
	if err := gateway.Decode(body, &b); err != nil {
		return nil, err
	}
	if err := b.Check(); err != nil {
		return nil, err
	}
	u := &upstream{id: id, failover: b.Balance == gateway.Failover, retries: b.Repeats(),
		timeout: time.Duration(cmp.Or(b.Timeout, gateway.Duration(30*time.Second))), check: b.Health.WithDefaults()}
	for _, e := range b.Endpoints {
		ep, err := newEndpoint(e)
		if err != nil {
			return nil, err
		}
		u.endpoints = append(u.endpoints, ep)
	}
	u.transport = newTransport(time.Duration(cmp.Or(b.ConnectTimeout, gateway.Duration(time.Second))))
	return u, nil
}

func newEndpoint(e gateway.Endpoint) (*endpoint, error) {
	parsed, err := url.Parse(e.URL)
	if err != nil {
		return nil, err
	}
	ep := &endpoint{url: parsed, priority: e.Priority, born: time.Now()}
	ep.healthy.Store(true)
	ep.lost.Store(newSignal())
	return ep, nil
}

// newTransport keeps many idle connections, as all requests go to few hosts, and lets bodies pass as they are. The time
// to the response header is limited for all attempts together, by the exchange.
func newTransport(connect time.Duration) *http.Transport {
	dialer := &net.Dialer{Timeout: connect, KeepAlive: 15 * time.Second}
	return &http.Transport{
		DialContext:           dialer.DialContext,
		TLSHandshakeTimeout:   connect,
		MaxIdleConnsPerHost:   256,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true,
		ForceAttemptHTTP2:     true,
		WriteBufferSize:       16 << 10,
		ReadBufferSize:        16 << 10,
	}
}

// divert makes all connections to the address, whatever the endpoints say, and none of them encrypted. The upstream must not
// serve yet.
func (u *upstream) divert(address string) {
	dial := u.transport.DialContext
	there := func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, "tcp", address) }
	u.transport.DialContext, u.transport.DialTLSContext = there, there
}

// inherit takes over what the upstream of the same id that is replaced knew of endpoints that stay.
func (u *upstream) inherit(old *upstream) {
	for _, e := range u.endpoints {
		i := slices.IndexFunc(old.endpoints, func(o *endpoint) bool { return *o.url == *e.url })
		if i < 0 {
			continue
		}
		if u.check.Path != "" {
			e.healthy.Store(old.endpoints[i].healthy.Load())
		}
		if old.endpoints[i].isEjected() {
			e.eject()
		}
	}
}

// pick returns the endpoint to try next, or nil if all were tried. It prefers one that works, but when none seems to, any
// is better than none.
func (u *upstream) pick(tried []*endpoint) *endpoint {
	n := len(u.endpoints)
	if n == 0 {
		return nil
	}
	start := 0
	if n > 1 {
		start = int(u.turn.Add(1) % uint64(n))
	}
	var best *endpoint
	for i := range n {
		e := u.endpoints[(start+i)%n]
		if !slices.Contains(tried, e) && (best == nil || u.prefers(e, best)) {
			best = e
		}
	}
	return best
}

// prefers reports whether a is a better choice than b; of equals the one whose turn it is stays.
func (u *upstream) prefers(a, b *endpoint) bool {
	if usable := a.usable(); usable != b.usable() {
		return usable
	}
	return u.failover && a.priority < b.priority
}

// hasOther reports whether another endpoint than e seems to work.
func (u *upstream) hasOther(e *endpoint) bool {
	return slices.ContainsFunc(u.endpoints, func(o *endpoint) bool { return o != e && o.usable() })
}

func (e *endpoint) usable() bool { return e.healthy.Load() && !e.isEjected() }

func (e *endpoint) isEjected() bool { return int64(time.Since(e.born)) < e.ejected.Load() }

func (e *endpoint) eject() {
	e.failures.Store(0)
	e.ejected.Store(int64(time.Since(e.born) + ejection))
}

// worked notes a response. It only writes when there is something to forget, as all requests share the endpoint.
func (e *endpoint) worked() {
	if e.failures.Load() != 0 {
		e.failures.Store(0)
	}
	if e.ejected.Load() != 0 {
		e.ejected.Store(0)
	}
}

// broke notes a connection that could not be made, or one more that broke.
func (e *endpoint) broke(unreachable bool) {
	if n := e.failures.Add(1); unreachable || n >= gateway.BrokenLimit {
		e.eject()
	}
}

// lose tells those who wait for the endpoint that it no longer answers.
func (e *endpoint) lose() { e.lost.Swap(newSignal()).give() }

// close ends the health checks and the idle connections; requests under way go on.
func (u *upstream) close() {
	if u.stop != nil {
		u.stop()
		u.checks.Wait()
	}
	u.transport.CloseIdleConnections()
}
