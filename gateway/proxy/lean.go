package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"
)

// lean makes requests of HTTP/1.1 that have no body and no TLS, as most are, on the goroutine of who asks. http.Transport has two more for each
// connection, and to hand a request to and fro between them costs a gateway more than all else that it does with it.
type lean struct {
	usual *http.Transport // as which it dials, and keeps connections

	mu     sync.Mutex
	idle   map[string][]*leanConn // by address; the last one was used last
	sweeps *time.Timer            // nil: nothing was ever idle
	closed bool                   // nothing is kept any more
}

// sweepEvery is how long an idle connection that its peer has closed may stay.
const sweepEvery = 15 * time.Second

func newLean(usual *http.Transport) *lean { return &lean{usual: usual, idle: map[string][]*leanConn{}} }

// takes reports whether lean makes such requests: they can be made again when an idle connection turns out to be dead.
func (l *lean) takes(req *http.Request) bool {
	return req.URL.Scheme == "http" && (req.Body == nil || req.Body == http.NoBody) && isIdempotent(req.Method) && !req.Close &&
		!l.usual.DisableKeepAlives && len(req.Header["Upgrade"]) == 0 && len(req.Header["Expect"]) == 0
}

// ask makes a request that it takes, and tells of informational responses.
func (l *lean) ask(req *http.Request, inform *inform) (*http.Response, error) {
	address := req.URL.Host
	if req.URL.Port() == "" {
		address = net.JoinHostPort(req.URL.Hostname(), "80")
	}
	for {
		c, err := l.connect(req.Context(), address)
		if err != nil {
			if ctx := req.Context(); ctx.Err() != nil { // which says nothing about the address
				err = context.Cause(ctx)
			}
			return nil, err
		}
		resp, err := c.ask(req, inform)
		if err == nil || !c.reused || c.heard || !isHangUp(err) {
			return resp, err
		}
	}
}

// isHangUp reports whether the peer has closed the connection.
func isHangUp(err error) bool {
	return slices.ContainsFunc([]error{io.EOF, io.ErrClosedPipe, syscall.ECONNRESET, syscall.EPIPE}, func(e error) bool { return errors.Is(err, e) })
}

// connect returns the idle connection that was used last, or a new one.
func (l *lean) connect(ctx context.Context, address string) (*leanConn, error) {
	for c := l.take(address); c != nil; c = l.take(address) {
		if c.isQuiet() {
			c.reused, c.heard = true, false
			return c, nil
		}
		c.Close()
	}
	conn, err := l.usual.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return newLeanConn(conn, l, address), nil
}

func (l *lean) take(address string) *leanConn {
	l.mu.Lock()
	defer l.mu.Unlock()
	idle := l.idle[address]
	if len(idle) == 0 {
		return nil
	}
	c := idle[len(idle)-1]
	idle[len(idle)-1] = nil
	l.idle[address] = idle[:len(idle)-1]
	return c
}

// keep takes back a connection that is idle again, if there is room.
func (l *lean) keep(c *leanConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	idle := l.idle[c.address]
	if l.closed || len(idle) >= l.usual.MaxIdleConnsPerHost {
		c.Close()
		return
	}
	c.since = time.Now()
	l.idle[c.address] = append(idle, c)
	if l.sweeps == nil {
		l.sweeps = time.AfterFunc(sweepEvery, l.sweep)
	}
}

// sweep closes what was idle too long, or has been closed by its peer, and comes again.
func (l *lean) sweep() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for address, idle := range l.idle {
		kept := slices.DeleteFunc(idle, func(c *leanConn) bool {
			stays := now.Sub(c.since) < l.usual.IdleConnTimeout && c.isQuiet()
			if !stays {
				c.Close()
			}
			return !stays
		})
		if l.idle[address] = kept; len(kept) == 0 {
			delete(l.idle, address)
		}
	}
	if !l.closed {
		l.sweeps.Reset(sweepEvery)
	}
}

// close closes what is idle, and what will be.
func (l *lean) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.sweeps != nil {
		l.sweeps.Stop()
	}
	for _, idle := range l.idle {
		for _, c := range idle {
			c.Close()
		}
	}
	clear(l.idle)
}
