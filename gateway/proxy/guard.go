package proxy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
)

// Guard returns the listener that the server must serve, so that it answers 400 to HTTP/1 requests whose framing is ambiguous. Call it
// before the server runs.
func Guard(s *http.Server, l net.Listener) net.Listener {
	before := s.ConnState
	s.ConnState = func(c net.Conn, state http.ConnState) {
		if guarded, ok := c.(interface{ lookAway() }); ok && state == http.StateHijacked {
			guarded.lookAway()
		}
		if before != nil {
			before(c, state)
		}
	}
	return guardedListener{l}
}

type guardedListener struct{ net.Listener }

// Accept implements net.Listener.
func (l guardedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return guarded(c), nil
}

// guardedConn is a connection whose requests are looked at before the server sees them.
type guardedConn struct {
	net.Conn
	opaque  atomic.Bool // what comes is not HTTP any more: the connection was upgraded
	framing framing
	refused bool
	rest    []byte // of spoilt
}

func (c *guardedConn) lookAway() { c.opaque.Store(true) }

// spoilt comes in place of the end of the line that shows a request to be ambiguous: no header line may be like that, so that the
// server answers 400 and closes, and never sees what follows.
var spoilt = []byte("\x00\n")

// CloseWrite says that nothing more will be sent, while more may come. The server does so before it closes, lest an answer that is on
// its way is lost, and for the sides of an upgraded connection.
func (c *guardedConn) CloseWrite() error { return closeWrite(c.Conn) }

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Read implements net.Conn.
func (c *guardedConn) Read(p []byte) (n int, err error) {
	if !c.refused {
		n, err = c.Conn.Read(p)
		if c.opaque.Load() {
			return n, err
		}
		at := c.framing.scan(p[:n])
		if at < 0 {
			return n, err
		}
		c.refused, c.rest = true, spoilt
		if at > 0 {
			return at, nil
		}
	}
	if len(c.rest) == 0 {
		return 0, io.EOF
	}
	n = copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}
