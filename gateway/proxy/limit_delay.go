package proxy

import (
	"net/http"
	"time"

	"gwdr/gateway"
)

// keepTo does with the request as the limit says, given how its client stands.
func (c *call) keepTo(l *limit, s Standing) *refusal {
	c.answer.own = http.Header{}
	l.tell(c.answer.own, s)
	switch {
	case s.Wait > 0:
		c.metrics.limited.Inc()
		return &refusal{status: http.StatusTooManyRequests, text: "too many requests", retry: s.Wait}
	case l.mode == gateway.LimitDelay:
		return c.delay(s.Reset - l.interval) // what is before it in the bucket
	}
	return nil
}

// delay lets the request go on once it is its turn. Whoever gives up before leaves a gap: those behind keep their turns.
func (c *call) delay(turn time.Duration) *refusal {
	if turn < time.Microsecond { // so much a Counter may be wrong
		return nil
	}
	c.metrics.delayed.Inc()
	c.metrics.waiting.Inc()
	defer c.metrics.waiting.Dec()
	timer := time.NewTimer(turn)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.request.Context().Done():
		return clientGone
	}
}
