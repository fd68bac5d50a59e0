package cmd

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// settling is how long connections that were accepted may take to come to rest before the server shuts down: http.Server drops
// requests that it is about to read then.
const settling = time.Second

// gate is a listener that can stop to accept while its server does not know yet that it is to end.
type gate struct {
	net.Listener
	mu       sync.Mutex
	busy     map[net.Conn]bool // a request is under way, or the first one is waited for
	shut     sync.Once
	stopped  chan struct{}
	closing  sync.Once
	released chan struct{}
}

// newGate watches the server's connections.
func newGate(l net.Listener, s *http.Server) *gate {
	g := &gate{Listener: l, busy: map[net.Conn]bool{}, stopped: make(chan struct{}), released: make(chan struct{})}
	s.ConnState = func(c net.Conn, state http.ConnState) {
		g.mu.Lock()
		defer g.mu.Unlock()
		if state == http.StateNew || state == http.StateActive {
			g.busy[c] = true
		} else {
			delete(g.busy, c)
		}
	}
	return g
}

// Accept implements net.Listener. Once the gate is shut it waits for Close.
func (g *gate) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err != nil {
		select {
		case <-g.stopped:
			<-g.released
		default:
		}
	}
	return c, err
}

// Close implements net.Listener.
func (g *gate) Close() error {
	g.closing.Do(func() { close(g.released) })
	return g.stop()
}

// stop accepts no connection any more.
func (g *gate) stop() (err error) {
	g.shut.Do(func() {
		close(g.stopped)
		err = g.Listener.Close()
	})
	return err
}

// settle returns once no request is under way and none is about to come on a new connection, or ctx ends.
func (g *gate) settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	for {
		g.mu.Lock()
		rest := len(g.busy) == 0
		g.mu.Unlock()
		if rest {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// drain takes no new connections, answers what comes on those that are there, and waits for requests under way: the data plane's first.
func (in *instance) drain(servers []*listener) error {
	ctx, cancel := context.WithTimeout(context.Background(), in.options.drain)
	defer cancel()
	var errs []error
	for i := len(servers) - 1; i >= 0; i-- {
		s := servers[i]
		err := s.gate.stop()
		s.SetKeepAlivesEnabled(false) // and closes idle connections: the next request is for somebody else
		s.gate.settle(ctx)
		err = errors.Join(err, s.Shutdown(ctx))
		if errors.Is(err, context.DeadlineExceeded) {
			in.Log.Warn("requests under way were cut off", "address", s.socket.Addr().String(), "after", in.options.drain)
			err = s.Close()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
