package proxy

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"
)

// bodyGrace is how long a client may send nothing of its request's body, and by how much it may fall behind the rate that it must keep.
const bodyGrace = 10 * time.Second

// reading says whether the request's body is still to be read. Once the request is answered, its connection, or stream, is not the
// exchange's any more.
type reading struct {
	mu   sync.Mutex
	over bool
}

func (r *reading) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
}

// cut ends the wait for what is still to be read.
func (r *reading) cut(control *http.ResponseController) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		_ = control.SetReadDeadline(time.Unix(1, 0)) // a ResponseWriter without deadlines is a test's
	}
}

// stopReading ends the wait for a request body that does not come: the transport would go on waiting whatever the context
// says, and so would the server before it answers. The connection cannot be used again.
func (x *exchange) stopReading() {
	if x.once != nil && !x.once.ended.Load() {
		x.reading.cut(x.control)
	}
}

// pace breaks the request off if its body comes slower than the route allows.
func (x *exchange) pace(cancel context.CancelCauseFunc) {
	if x.once != nil {
		x.once.Reader = x.route.paced(x.once.Reader, func() {
			x.gateway.metrics.slowBodies.Inc()
			cancel(errClientSlow)
			x.stopReading()
		})
	}
}

// paced is the body, of which it is said when it comes slower than the route allows.
func (r *route) paced(body io.Reader, slow func()) io.Reader {
	if r.minBodyRate == 0 {
		return body
	}
	stall := time.AfterFunc(bodyGrace, slow)
	stall.Stop()
	return &pacedBody{Reader: body, rate: r.minBodyRate, credit: bodyGrace, stall: stall}
}

// pacedBody is a body that must come at a rate. Time in which nobody reads it does not count.
type pacedBody struct {
	io.Reader
	rate   int64         // bytes a second
	credit time.Duration // for which may be waited; what comes adds to it, up to bodyGrace
	stall  *time.Timer
}

func (b *pacedBody) Read(p []byte) (int, error) {
	start := time.Now()
	b.stall.Reset(b.credit)
	n, err := b.Reader.Read(p)
	b.stall.Stop()
	earned := time.Duration(float64(n) / float64(b.rate) * float64(time.Second))
	b.credit = min(b.credit-time.Since(start)+earned, bodyGrace)
	return n, err
}
