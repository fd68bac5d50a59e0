// Package proxy is the data plane of the bundled gateway: it serves a gateway.State, compiled into an immutable
// configuration that is swapped as a whole, and keeps the last good one when the next is bad or its source is gone.
package proxy

import (
	"cmp"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"gwdr/gateway"
	"gwdr/gateway/contract"
)

// Options say how a Gateway runs. The zero value works.
type Options struct {
	Instance string // sent as X-Gwdr-Instance unless the upstream says another; empty means not at all
	Region   string // likewise X-Gwdr-Region
	LastGood string // file that keeps the last good configuration, and beside it the keys of issuers; empty means none
	// UpstreamsAt is the host:port that every upstream is reached at instead of its own, unencrypted and without health checks:
	// for a configuration that is tried out and must not reach what it names, nor issuers. Empty: upstreams are where they say.
	UpstreamsAt string
	// Trusted are the proxies in front, which say truly for whom they ask. What others say of that is dropped.
	Trusted []netip.Prefix
	// MaxInFlight is how many requests may be under way at a time, but for those of the gateway's own pages; more are answered 503.
	// 0: any.
	MaxInFlight int
	Access      *slog.Logger // gets a line for each request that was answered; nil: nobody does
	Trace       Tracer       // nil: nobody traces
	Metrics     prometheus.Registerer
	Log         *slog.Logger
	Now         func() time.Time // the clock by which keys expire; nil: the machine's

	// AllowFrom are the networks of clients whose requests are taken at all; empty means any. Those of DenyFrom are not, in any case.
	AllowFrom, DenyFrom []netip.Prefix
	// Counter counts for limits that data planes share; nil: those are always lost.
	Counter  Counter
	Patience time.Duration // for which a request waits for Counter; 0 means 50 ms
}

// Gateway is the data plane: an http.Handler. All methods may be called concurrently.
type Gateway struct {
	options   Options
	log       *slog.Logger
	proxyLog  *log.Logger
	identity  http.Header // of newIdentity
	metrics   *metrics
	buffers   bufferPool
	limits    *limiter
	trusted   networks
	underWay  gauge
	documents contract.Cache         // of specs that routes hold their requests against
	live      atomic.Pointer[config] // nil until something is loaded
	draining  atomic.Bool
	keeper    *keeper
	keySets   *keyCache
	since     time.Time            // when it began, and with it to note which keys are used
	hears     atomic.Pointer[bool] // the control plane that is followed; nil: there is none

	admission admission
	shared    sharedLimits

	mu       sync.Mutex                     // guards what follows
	want     gateway.Header                 // of live, or of what pending leads to
	state    *gateway.State                 // what live was compiled from
	pending  map[gateway.Ref]gateway.Change // changes that could not be compiled yet
	rejected string                         // why not
	summary  func() (string, []string)      // computes the digest of state, and which routes no request reaches, once; nil: not asked for yet
	unsaved  bool                           // state is newer than what the keeper knows of
}

// New returns a Gateway that has nothing loaded yet and answers 503. Close it.
func New(o Options) (*Gateway, error) {
	g := &Gateway{options: o, log: o.Log, state: gateway.NewState(), limits: newLimiter(), trusted: newNetworks(o.Trusted),
		admission: newAdmission(o.AllowFrom, o.DenyFrom), documents: contract.Cache{Most: mostDocuments}}
	if g.options.Now == nil {
		g.options.Now = time.Now
	}
	g.since = g.options.Now().UTC()
	g.identity = newIdentity(&o)
	g.underWay.most = int64(o.MaxInFlight)
	if g.log == nil {
		g.log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	g.proxyLog = slog.NewLogLogger(g.log.Handler(), slog.LevelDebug)
	g.shared.counter, g.shared.patience, g.shared.log = o.Counter, cmp.Or(o.Patience, counterPatience), g.log
	g.metrics = newMetrics(g)
	if o.Metrics != nil {
		if err := g.metrics.register(o.Metrics); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	g.keySets = newKeyCache(o.LastGood, g.log)
	if o.LastGood != "" {
		g.keeper = newKeeper(o.LastGood, g.State, g.log)
	}
	return g, nil
}

// Close ends the health checks and the reading of issuers' keys, and writes the last good configuration if that is still to be done.
// Requests under way are the http.Server's to wait for; Follow must have returned.
func (g *Gateway) Close() error {
	g.mu.Lock()
	if c := g.live.Load(); c != nil {
		for _, u := range c.upstreams {
			u.close()
		}
		for _, i := range c.issuers {
			i.keys.end()
		}
	}
	g.mu.Unlock()
	g.keySets.sources.Wait()
	if g.keeper == nil {
		return nil
	}
	return g.keeper.close()
}

// identify says which instance answered, unless another gwdr behind it has said so.
func (g *Gateway) identify(h http.Header) {
	for name, values := range g.identity {
		if h.Get(name) == "" {
			h[name] = values
		}
	}
}

// newIdentity is the header that says so.
func newIdentity(o *Options) http.Header {
	h := http.Header{}
	if o.Instance != "" {
		h.Set("X-Gwdr-Instance", o.Instance)
	}
	if o.Region != "" {
		h.Set("X-Gwdr-Region", o.Region)
	}
	return h
}

// bufferPool lends the reverse proxy its copy buffers.
type bufferPool struct{ pool sync.Pool }

func (p *bufferPool) Get() []byte {
	if b, ok := p.pool.Get().(*[32 << 10]byte); ok {
		return b[:]
	}
	return make([]byte, 32<<10)
}

func (p *bufferPool) Put(b []byte) { p.pool.Put((*[32 << 10]byte)(b)) }
