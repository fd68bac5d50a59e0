package proxy

import (
	"context"
	"hash/fnv"
	"net/url"
	"sync/atomic"
	"time"

	"gwdr/gateway"
)

// endpoint is one address of an upstream, and what is known of its health. Moments are nanoseconds since it was born.
type endpoint struct {
	url      *url.URL
	priority int
	weight   int64
	seed     uint64 // of the address
	born     time.Time
	healthy  atomic.Bool  // what active checks say; true without them
	back     atomic.Int64 // since when it can be used, but for an ejection
	ejected  atomic.Int64 // passed over until then
	failures atomic.Int32 // in a row
	lost     atomic.Pointer[signal]
	load     *load
	breaker  *breaker // nil: it has none

	ejections int64 // of late; guarded by the upstream's mutex, as is
	credit    int64 // what it is owed when equals take turns
}

// load is what an address has to do at the moment. It outlives the upstream when that is replaced.
type load struct {
	inFlight atomic.Int64 // requests, until the end of their responses
	delay    delay
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

func newEndpoint(e gateway.Endpoint) (*endpoint, error) {
	parsed, err := url.Parse(e.URL)
	if err != nil {
		return nil, err
	}
	ep := &endpoint{url: parsed, priority: e.Priority, weight: max(int64(e.Weight), 1), seed: hashOf(e.URL), born: time.Now(), load: &load{}}
	ep.healthy.Store(true)
	ep.lost.Store(newSignal())
	return ep, nil
}

// inherit takes over what was known of the address; its health only if that is checked on. The mutex of the old one's upstream is held.
func (e *endpoint) inherit(old *endpoint, checked bool) {
	e.born, e.load, e.ejections = old.born, old.load, old.ejections
	e.lost.Store(old.lost.Load()) // for requests that wait for the old one, which is no longer checked on
	e.breaker = e.breaker.orOld(old.breaker)
	e.back.Store(old.back.Load())
	e.ejected.Store(old.ejected.Load())
	if checked {
		e.healthy.Store(old.healthy.Load())
	}
}

func (e *endpoint) age(now time.Time) int64 { return int64(now.Sub(e.born)) }

func (e *endpoint) usable() bool {
	now := time.Now()
	return e.healthy.Load() && !e.isEjected(now) && !e.breaker.refuses(now)
}

func (e *endpoint) isEjected(now time.Time) bool { return e.age(now) < e.ejected.Load() }

// setHealthy notes what active checks say, and reports whether that is news.
func (e *endpoint) setHealthy(healthy bool) bool {
	if e.healthy.Swap(healthy) == healthy {
		return false
	}
	if healthy {
		e.back.Store(e.age(time.Now()))
	}
	return true
}

// reinstate ends an ejection before its time.
func (e *endpoint) reinstate() {
	if e.ejected.Load() != 0 {
		e.back.Store(e.age(time.Now()))
		e.ejected.Store(0)
	}
}

// coldest is the least share of its weight, in percent, that an endpoint in its slow start gets: enough to show what it can.
const coldest = 10

// share is the weight in percent of how far a slow start has come.
func (e *endpoint) share(slowStart time.Duration, now time.Time) int64 {
	if slowStart <= 0 {
		return e.weight * 100
	}
	up := e.age(now) - max(e.back.Load(), e.ejected.Load())
	return e.weight * min(max(coldest, 100*up/int64(slowStart)), 100)
}

// lose tells those who wait for the endpoint that it no longer answers.
func (e *endpoint) lose() { e.lost.Swap(newSignal()).give() }

// hashOf is the same in every process, so that instances agree.
func hashOf(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text)) // never fails
	return h.Sum64()
}
