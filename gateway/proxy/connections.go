package proxy

import (
	"net"
	"sync"
)

// Bound returns the listener with no more than so many connections open at once, and so many of each address, or of each /64 of IPv6;
// 0 means any. Those beyond are closed before anything is read. Of trusted proxies, which ask for many, each may have any number.
func (g *Gateway) Bound(l net.Listener, most, each int) net.Listener {
	return &connections{Listener: l, gateway: g, most: most, each: each, of: map[string]int{}}
}

type connections struct {
	net.Listener
	gateway    *Gateway
	most, each int

	mu  sync.Mutex
	all int
	of  map[string]int // those that are bounded by address
}

// Accept implements net.Listener.
func (l *connections) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		who := l.who(conn)
		beyond := l.enter(who)
		if beyond == "" {
			return &countedConn{Conn: conn, leave: sync.OnceFunc(func() { l.leave(who) })}, nil
		}
		l.gateway.metrics.connectionsRefused.WithLabelValues(beyond).Inc()
		conn.Close()
	}
}

// who is counted together; nobody if that is a trusted proxy, or nobody is.
func (l *connections) who(conn net.Conn) string {
	address, _, err := net.SplitHostPort(conn.RemoteAddr().String())
	if l.each == 0 || err != nil || l.gateway.trusts(address) {
		return ""
	}
	return network(address)
}

// enter counts a connection, or says which of the bounds it is beyond.
func (l *connections) enter(who string) (beyond string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.most > 0 && l.all >= l.most:
		return "all"
	case who != "" && l.of[who] >= l.each:
		return "address"
	}
	if l.all++; who != "" {
		l.of[who]++
	}
	l.gateway.metrics.connections.Inc()
	return ""
}

func (l *connections) leave(who string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if who != "" {
		if l.of[who]--; l.of[who] == 0 {
			delete(l.of, who)
		}
	}
	l.gateway.metrics.connections.Dec()
}

// countedConn leaves when it is closed, whoever has it by then.
type countedConn struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *countedConn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// CloseWrite is guardedConn's to pass on.
func (c *countedConn) CloseWrite() error { return closeWrite(c.Conn) }
