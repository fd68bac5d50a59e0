package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// handshakeLimit is how long a client may take until it is known what it speaks.
const handshakeLimit = 10 * time.Second

// GuardTLS is Guard for TLS, with HTTP/2 for those who want it, whose frames leave no doubt. The server must serve the listener as one
// without TLS: it is served connections whose handshake is over.
func GuardTLS(s *http.Server, l net.Listener, config *tls.Config) net.Listener {
	config = config.Clone()
	config.NextProtos = []string{"h2", "http/1.1"}
	return Guard(s, &handshakes{Listener: l, config: config, ready: make(chan accepted), closed: make(chan struct{})})
}

// handshakes is a listener that makes them, many at once, so that a client that does not is in nobody's way.
type handshakes struct {
	net.Listener
	config *tls.Config
	begin  sync.Once
	ready  chan accepted
	end    sync.Once
	closed chan struct{}
}

type accepted struct {
	conn net.Conn
	err  error
}

// Accept implements net.Listener.
func (h *handshakes) Accept() (net.Conn, error) {
	h.begin.Do(func() { go h.accept() })
	select {
	case a := <-h.ready:
		return a.conn, a.err
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (h *handshakes) Close() error {
	h.end.Do(func() { close(h.closed) })
	return h.Listener.Close()
}

func (h *handshakes) accept() {
	for {
		conn, err := h.Listener.Accept()
		if err == nil {
			go h.shake(conn)
			continue
		}
		h.deliver(accepted{err: err})
		if errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

func (h *handshakes) shake(conn net.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), handshakeLimit)
	defer cancel()
	secure := tls.Server(conn, h.config)
	err := secure.HandshakeContext(ctx)
	if err == nil {
		h.deliver(accepted{conn: secure})
		return
	}
	if plain, ok := errors.AsType[tls.RecordHeaderError](err); ok && plain.Conn != nil && isRequest(plain.RecordHeader[:]) {
		_, _ = io.WriteString(plain.Conn, "HTTP/1.0 400 Bad Request\r\n\r\nThis is a port of TLS: ask it with https.\n")
	}
	conn.Close()
}

// isRequest reports whether the first bytes are those of a request without TLS.
func isRequest(first []byte) bool {
	return slices.Contains([]string{"GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "DELET", "PATCH"}, string(first))
}

// deliver hands the connection to the server, which may have stopped.
func (h *handshakes) deliver(a accepted) {
	select {
	case h.ready <- a:
	case <-h.closed:
		if a.conn != nil {
			a.conn.Close()
		}
	}
}

// guardedTLSConn lets the server know that requests came over TLS.
type guardedTLSConn struct {
	guardedConn
	tls *tls.Conn
}

// ConnectionState is asked for by http.Server.
func (c *guardedTLSConn) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// guarded looks at what comes over HTTP/1; the server knows HTTP/2 by the connection's own type.
func guarded(conn net.Conn) net.Conn {
	secure, ok := conn.(*tls.Conn)
	switch {
	case !ok:
		return &guardedConn{Conn: conn}
	case secure.ConnectionState().NegotiatedProtocol == "h2":
		return conn
	}
	return &guardedTLSConn{guardedConn: guardedConn{Conn: conn}, tls: secure}
}
