package proxy

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// budget bounds the retries of an upstream by its requests, so that an outage is not multiplied by those who want to help. Source:
// the retry budget of Twitter's Finagle (RetryBudget.scala), which also has these values.
type budget struct {
	percent int64

	mu     sync.Mutex
	recent window // requests and, of them, retries
}

const (
	budgetSpan    = 10 * time.Second
	budgetReserve = 10 * int64(budgetSpan/time.Second) // retries that pass in any case: ten a second
)

func newBudget(percent int) *budget {
	return &budget{percent: int64(percent), recent: newWindow(budgetSpan)}
}

// request counts the first attempt of a request.
func (b *budget) request(now time.Time) {
	b.mu.Lock()
	b.recent.add(tally{all: 1}, now)
	b.mu.Unlock()
}

// retry counts another attempt, unless it does not pass.
func (b *budget) retry(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.recent.advance(now)
	if sum := b.recent.sum; sum.marked >= budgetReserve+sum.all*b.percent/100 {
		return false
	}
	b.recent.add(tally{marked: 1}, now)
	return true
}

// inherit takes over what was counted of the upstream of the same id that is replaced.
func (b *budget) inherit(old *budget) {
	old.mu.Lock()
	defer old.mu.Unlock()
	b.recent = old.recent
}

const (
	againMin = 25 * time.Millisecond
	againMax = 250 * time.Millisecond
)

// backOff waits before another attempt at an endpoint that was tried already. Jitter is full, so that those who fail together do not
// come back together. Source: Brooker, Exponential Backoff And Jitter, AWS Architecture Blog, 2015.
func backOff(ctx context.Context, attempts int) {
	wait(ctx, rand.N(min(againMin<<attempts, againMax)))
}
