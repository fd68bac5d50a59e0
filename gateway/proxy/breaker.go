package proxy

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"gwdr/gateway"
)

var (
	errRouteOpen    = errors.New("circuit breaker of the route is open")
	errEndpointOpen = errors.New("circuit breaker of the endpoint is open")
	errBadAnswer    = errors.New("answer says that the server failed")
)

// breaker keeps requests from what keeps failing, by a gateway.Breaker. nil lets all through. The counting is gobreaker's, whose trials
// may end without saying anything: a client that leaves in the middle of one neither closes the breaker nor keeps it from closing.
type breaker struct {
	policy  gateway.Breaker
	refusal error // of what it does not let through
	circuit *gobreaker.CircuitBreaker[*http.Response]
	born    time.Time
	until   atomic.Int64 // nanoseconds since then; it is open before that moment, and half open after; 0: it is closed
	opened  atomic.Int64 // how often it did
}

func newBreaker(b *gateway.Breaker, refusal error) *breaker {
	if b == nil {
		return nil
	}
	p := b.WithDefaults()
	k := &breaker{policy: p, refusal: refusal, born: time.Now()}
	k.circuit = gobreaker.NewCircuitBreaker[*http.Response](gobreaker.Settings{
		MaxRequests:   uint32(p.HalfOpen),
		Interval:      time.Duration(p.Window),
		BucketPeriod:  time.Duration(p.Window) / 10,
		Timeout:       time.Duration(p.OpenFor),
		ReadyToTrip:   k.trips,
		OnStateChange: k.changed,
		IsExcluded:    saysNothing,
	})
	return k
}

// trips reports whether there were too many failures of late. Requests that are under way are none yet.
func (b *breaker) trips(c gobreaker.Counts) bool {
	failed, all := uint64(c.TotalFailures), uint64(c.TotalFailures)+uint64(c.TotalSuccesses)
	return failed >= uint64(b.policy.Failures) && failed*100 >= all*uint64(b.policy.Ratio)
}

func (b *breaker) changed(_ string, _, to gobreaker.State) {
	switch to {
	case gobreaker.StateOpen:
		b.opened.Add(1)
		b.until.Store(int64(time.Since(b.born)) + int64(b.policy.OpenFor))
	case gobreaker.StateClosed:
		b.until.Store(0)
	}
}

// orOld returns old in place of the breaker if it does the same: it knows more.
func (b *breaker) orOld(old *breaker) *breaker {
	if b != nil && old != nil && b.policy == old.policy {
		return old
	}
	return b
}

// run asks, unless the breaker is open, and counts how that went.
func (b *breaker) run(ask func() (*http.Response, error)) (*http.Response, error) {
	if b == nil {
		return ask()
	}
	resp, err := b.circuit.Execute(func() (*http.Response, error) {
		resp, err := ask()
		if err == nil && resp.StatusCode >= 500 {
			err = errBadAnswer
		}
		return resp, err
	})
	switch err {
	case errBadAnswer:
		err = nil
	case gobreaker.ErrOpenState, gobreaker.ErrTooManyRequests:
		err = b.refusal
	}
	return resp, err
}

// refuses reports whether it would not let a request through. Of one that is closed, as most are, that costs next to nothing.
func (b *breaker) refuses(now time.Time) bool {
	if b == nil {
		return false
	}
	until := b.until.Load()
	if until == 0 || int64(now.Sub(b.born)) <= until {
		return until != 0
	}
	c := b.circuit.Counts()
	return c.Requests >= c.TotalExclusions+uint32(b.policy.HalfOpen)
}

// left is how long it lets nothing through yet. When it is half open, nobody knows.
func (b *breaker) left(now time.Time) time.Duration {
	if b == nil {
		return 0
	}
	return max(0, time.Duration(b.until.Load())-now.Sub(b.born))
}

// spare refuses a request that nobody would be asked, before its body is read and its turn comes.
func (c *call) spare() *refusal {
	if !c.route.breaker.refuses(time.Now()) {
		return nil
	}
	c.metrics.refused.open.Inc()
	return c.route.breaker.refuse()
}

// refuse says so.
func (b *breaker) refuse() *refusal {
	return &refusal{status: http.StatusServiceUnavailable, text: "the route's upstream fails: its circuit breaker is open",
		retry: max(b.left(time.Now()), 1)}
}

// state is 0 if the breaker is closed, 1 if half open, and 2 if open.
func (b *breaker) state() gobreaker.State { return b.circuit.State() }

// saysNothing reports whether an error says nothing of who was asked: it is the client's, or nobody was asked.
func saysNothing(err error) bool {
	return err != nil && slices.ContainsFunc([]error{context.Canceled, errTooLarge, errClientSlow, errClientBody, errNoEndpoint, errUnhealthy,
		errEndpointOpen, errOutrun, errKept}, func(e error) bool { return errors.Is(err, e) })
}
