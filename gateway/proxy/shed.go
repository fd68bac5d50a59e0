package proxy

import (
	"net/http"
	"sync/atomic"
	"time"
)

// gauge counts the requests that are under way in this process, which takes no more than so many. What they wait for is mostly their
// upstreams, so that how long they take says nothing about the process: a limit that adapts to that would shed the requests of quick
// upstreams because of slow ones.
type gauge struct {
	most     int64 // 0: any
	inFlight atomic.Int64
}

// enter counts a request, unless there are too many.
func (g *gauge) enter() bool {
	if n := g.inFlight.Add(1); g.most == 0 || n <= g.most {
		return true
	}
	g.inFlight.Add(-1)
	return false
}

func (g *gauge) leave() { g.inFlight.Add(-1) }

var saturated = &refusal{status: http.StatusServiceUnavailable, text: "the gateway has too many requests under way", retry: time.Second}

// shed refuses the request if the process has too many: an answer at once costs less than one that comes too late.
func (c *call) shed() *refusal {
	if c.admitted = c.underWay.enter(); c.admitted {
		return nil
	}
	c.metrics.refused.saturated.Inc()
	return saturated
}
