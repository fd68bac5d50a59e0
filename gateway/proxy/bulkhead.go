package proxy

import (
	"container/list"
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"gwdr/gateway"
)

var errFull = errors.New("too many requests are under way")

// bulkhead is a gateway.Bulkhead, ready to serve. nil lets all in.
type bulkhead struct {
	most, queue int
	wait        time.Duration
	*berths
}

// berths are where requests are under way, and the queue before them: who came first is first. They outlive the bulkhead when that
// is replaced, so that its limit is also that of requests from before: a semaphore could not be made smaller.
type berths struct {
	mu      sync.Mutex
	most    int // of the newest bulkhead
	taken   int
	waiting list.List // of chan struct{}, closed when it is their turn
}

func newBulkhead(b *gateway.Bulkhead) *bulkhead {
	if b == nil {
		return nil
	}
	full := b.WithDefaults()
	return &bulkhead{most: full.MaxInFlight, queue: full.Queue, wait: time.Duration(full.Wait), berths: &berths{}}
}

// inherit takes over the requests of the bulkhead that it replaces, if there are both.
func (b *bulkhead) inherit(old *bulkhead) {
	if b != nil && old != nil {
		b.berths = old.berths
	}
}

// enter takes a berth, which the caller leaves, once there is one. The error is errFull if there is none in time, or why ctx ended.
func (b *bulkhead) enter(ctx context.Context) error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	b.berths.most = b.most
	b.admit()
	switch {
	case b.taken < b.most:
		b.taken++
		b.mu.Unlock()
		return nil
	case b.waiting.Len() >= b.queue:
		b.mu.Unlock()
		return errFull
	}
	turn := make(chan struct{})
	place := b.waiting.PushBack(turn)
	b.mu.Unlock()
	return b.await(ctx, place, turn)
}

func (b *bulkhead) await(ctx context.Context, place *list.Element, turn <-chan struct{}) (err error) {
	timer := time.NewTimer(b.wait)
	defer timer.Stop()
	select {
	case <-turn:
		return nil
	case <-timer.C:
		err = errFull
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-turn: // at this very moment
		return nil
	default:
		b.waiting.Remove(place)
		return err
	}
}

// leave gives the berth to who has waited longest.
func (b *bulkhead) leave() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken--
	b.admit()
}

// admit lets those in who have waited longest, as far as there is room.
func (b *berths) admit() {
	for b.taken < b.most && b.waiting.Len() > 0 {
		b.taken++
		close(b.waiting.Remove(b.waiting.Front()).(chan struct{}))
	}
}

// load is how many are under way, and how many wait.
func (b *berths) load() (taken, waiting int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.taken, b.waiting.Len()
}

// awaitTurn waits until the route and its upstream have room.
func (c *call) awaitTurn(u *upstream) *refusal {
	ctx := c.request.Context()
	if err := c.route.bulkhead.enter(ctx); err != nil {
		return c.refuseFull(err, "route")
	}
	if err := u.bulkhead.enter(ctx); err != nil {
		c.route.bulkhead.leave()
		return c.refuseFull(err, "upstream")
	}
	return nil
}

func (c *call) endTurn(u *upstream) {
	u.bulkhead.leave()
	c.route.bulkhead.leave()
}

func (c *call) refuseFull(err error, what string) *refusal {
	if !errors.Is(err, errFull) {
		return clientGone
	}
	c.metrics.refused.full.Inc()
	return &refusal{status: http.StatusServiceUnavailable, text: "too many requests of the " + what + " are under way", retry: time.Second}
}
