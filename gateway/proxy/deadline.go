package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

var (
	errTotal = errors.New("response did not end in time")
	errIdle  = errors.New("response fell silent")
)

// deadline breaks a response off that takes too long as a whole. The zero value waits for ever.
type deadline struct {
	timer *time.Timer
	mu    sync.Mutex
	over  bool // the response has ended, and its connection may serve another one
}

// bound limits how long the body of the response takes, and may be silent. An upgraded connection takes as long as it likes.
func (x *exchange) bound(resp *http.Response, cancel context.CancelCauseFunc) {
	if resp.StatusCode == http.StatusSwitchingProtocols {
		return
	}
	if total := x.upstream.total; total > 0 {
		x.deadline.timer = time.AfterFunc(time.Until(x.start.Add(total)), func() { x.expire(cancel) })
	}
	if idle := x.upstream.idle; idle > 0 {
		stall := time.AfterFunc(idle, func() {
			x.gateway.metrics.cut.Inc()
			cancel(errIdle)
		})
		stall.Stop()
		resp.Body = &idleBody{ReadCloser: resp.Body, limit: idle, stall: stall}
	}
}

// expire ends the response, also if it is the client that does not take it.
func (x *exchange) expire(cancel context.CancelCauseFunc) {
	x.deadline.mu.Lock()
	defer x.deadline.mu.Unlock()
	if x.deadline.over {
		return
	}
	x.gateway.metrics.cut.Inc()
	cancel(errTotal)
	_ = x.control.SetWriteDeadline(time.Unix(1, 0)) // a ResponseWriter without deadlines is a test's
}

// end lets the response be, once it is over.
func (d *deadline) end() {
	if d.timer == nil {
		return
	}
	d.mu.Lock()
	d.over = true
	d.mu.Unlock()
	d.timer.Stop()
}

// idleBody waits for each piece of a response's body so long. The time in which the client takes what came does not count.
type idleBody struct {
	io.ReadCloser
	limit time.Duration
	stall *time.Timer
}

func (b *idleBody) Read(p []byte) (int, error) {
	b.stall.Reset(b.limit)
	defer b.stall.Stop()
	return b.ReadCloser.Read(p)
}
