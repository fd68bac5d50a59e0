package proxy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"

	"gwdr/gateway"
)

// wire is a listener without a network, for servers in a synctest bubble.
type wire struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newWire() *wire { return &wire{conns: make(chan net.Conn), done: make(chan struct{})} }

var errWireClosed = errors.New("wire is closed")

func (w *wire) Accept() (net.Conn, error) {
	select {
	case c := <-w.conns:
		return c, nil
	case <-w.done:
		return nil, errWireClosed
	}
}

func (w *wire) Close() error {
	w.once.Do(func() { close(w.done) })
	return nil
}

func (w *wire) Addr() net.Addr { return &net.TCPAddr{} }

func (w *wire) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case w.conns <- theirs:
		return ours, nil
	case <-w.done:
		return nil, errWireClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// bubble is a gateway in a synctest bubble with a client in front and an upstream behind it, with real servers and connections.
type bubble struct {
	gateway *Gateway
	client  *http.Transport
	front   *wire
}

// newBubble serves one route, /, of an upstream that answers by the handler. The bodies are changed before.
func newBubble(t *testing.T, back http.HandlerFunc, change func(*gateway.RouteBody, *gateway.UpstreamBody)) *bubble {
	route, up := gateway.RouteBody{Path: "/{x...}", Upstream: "u", Auth: gateway.AuthNone}, bodyOf("http://back")
	change(&route, &up)
	b := &bubble{gateway: newGateway(t, Options{}, entity(gateway.Upstream, "u", up), entity(gateway.Route, "r", route)), front: newWire()}
	behind := newWire()
	transport := b.gateway.live.Load().upstreams["u"].transport
	transport.usual.DialContext = behind.dial
	b.client = &http.Transport{DialContext: b.front.dial}
	servers := []*http.Server{{Handler: b.gateway}, {Handler: back}}
	go servers[0].Serve(Guard(servers[0], b.front))
	go servers[1].Serve(behind)
	t.Cleanup(func() {
		b.client.CloseIdleConnections()
		transport.CloseIdleConnections()
		for _, s := range servers {
			s.Close()
		}
	})
	return b
}

// get asks for the path; the body is the caller's to read and close.
func (b *bubble) get(t *testing.T, ctx context.Context, path string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://front"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return b.client.RoundTrip(req)
}
