package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"gwdr/gateway"
)

// Counter counts requests where all data planes see it.
type Counter interface {
	// Take counts a request in the bucket, unless it does not pass: so many pass at once, and one more after each interval. Once ctx ends it
	// returns an error. After any error it is not known whether the request was counted.
	Take(ctx context.Context, bucket string, interval time.Duration, room int) (Standing, error)
}

const (
	counterPatience = 50 * time.Millisecond // for which a request waits for the Counter, unless Options say otherwise
	counterFailures = 3                     // in a row, by which it is lost
	counterPause    = time.Second           // between requests that ask a lost one
)

var errLostCounter = errors.New("nobody counts for all data planes")

// sharedLimits count by a Counter as long as there is one that answers. A lost one is asked by a request now and then, so that the others
// do not wait for it, and one that is there again is noticed.
type sharedLimits struct {
	counter  Counter       // nil: there is none
	patience time.Duration // for which a request waits for it
	log      *slog.Logger
	without  sync.Once // it was said that there is none

	mu     sync.Mutex
	failed int       // in a row
	next   time.Time // when a lost one may be asked
}

func (s *sharedLimits) take(b bucket, by *limit) (Standing, error) {
	if !s.mayAsk(time.Now()) {
		return Standing{}, errLostCounter
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.patience) // a client that gives up says nothing about the Counter
	defer cancel()
	standing, err := s.counter.Take(ctx, by.key(b), by.interval, by.room)
	s.note(err, time.Now())
	return standing, err
}

// key names the bucket to all data planes. That of a limit that was changed is another one: what it counted is worth nothing then.
func (l *limit) key(b bucket) string {
	return fmt.Sprintf("gwdr:%q:%s:%q:%d:%d", b.route, l.per, b.who, l.interval, l.room)
}

func (s *sharedLimits) mayAsk(now time.Time) bool {
	if s.counter == nil {
		s.without.Do(func() {
			s.log.Warn("a limit is to be shared, but nobody counts for all data planes: its on_loss counts")
		})
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed < counterFailures {
		return true
	}
	if now.Before(s.next) {
		return false
	}
	s.next = now.Add(counterPause)
	return true
}

// note remembers how the Counter fared, and says when it is lost and when it is back.
func (s *sharedLimits) note(err error, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		if s.failed >= counterFailures {
			s.log.Warn("limits are shared again")
		}
		s.failed = 0
		return
	}
	if s.failed++; s.failed == counterFailures {
		s.log.Warn("limits are not shared any more: their on_loss counts", "error", err)
		s.next = now.Add(counterPause)
	}
}

// works is 1 as long as the Counter answers.
func (s *sharedLimits) works() float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed >= counterFailures {
		return 0
	}
	return 1
}

// limitShared is limit for one that all data planes count together.
func (c *call) limitShared(l *limit, b bucket) *refusal {
	standing, err := c.shared.take(b, l)
	if err == nil {
		return c.keepTo(l, standing)
	}
	c.metrics.unshared.Inc()
	switch l.onLoss {
	case gateway.LossAllow:
		return nil
	case gateway.LossDeny:
		return &refusal{status: http.StatusServiceUnavailable, text: "the limit cannot be looked at", retry: counterPause}
	}
	return c.keepTo(l, c.limits.take(b, l, c.start))
}
