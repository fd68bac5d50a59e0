//go:build linux

package gateway

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gwdr/e2e/shell"
	"gwdr/gateway"
)

// headerLimit is how long a request's header may take, and some more for a busy machine.
const headerLimit = 5*time.Second + 10*time.Second

// What clients send that is no good request is refused and reaches no backend as if it were one; clients that never come to an end are cut
// off. Others are served meanwhile, and after each.
func TestHostileClients(t *testing.T) {
	shell.New(t, binary)
	target := newTarget(t)
	slow := target.dribble(20)
	for _, c := range []struct {
		name, sent string
		want       int
	}{
		{"header of 1 MB", "GET /open HTTP/1.1\r\nHost: a\r\nX-Large: " + strings.Repeat("x", 1<<20) + "\r\n\r\n", 431},
		{"many headers", "GET /open HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X-Many: x\r\n", 100_000) + "\r\n", 431},
		{"path of 1 MB", "GET /open" + strings.Repeat("x", 1<<20) + " HTTP/1.1\r\nHost: a\r\n\r\n", 431},
		{"chunk of no length", "POST /open HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", 400},
		{"unknown coding", "POST /open HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
		{"two lengths", "POST /open HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 400},
		{"negative length", "POST /open HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello", 400},
		{"no host", "GET /open HTTP/1.1\r\n\r\n", 400},
		{"two hosts", "GET /open HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
		{"blank in a header's name", "GET /open HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello", 400},
		{"NUL in a header", "GET /open HTTP/1.1\r\nHost: a\r\nX-Nul: \x00\r\n\r\n", 400},
		{"dot segments", "GET /open/../guarded HTTP/1.1\r\nHost: a\r\n\r\n", 400},
		{"unknown host", "GET /hosted HTTP/1.1\r\nHost: unknown.test\r\n\r\n", 404},
		{"unknown path", "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 404},
		{"unknown method", "BREW /get HTTP/1.1\r\nHost: a\r\n\r\n", 405},
		{"HTTP/2 in the clear that goes wrong", "PRI * HTTP/2.0\r\n\r\nNO\r\n\r\n", 400},
		{"HTTP/3", "GET /open HTTP/3.0\r\nHost: a\r\n\r\n", 505},
		{"TLS", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n", 400},
		{"no HTTP", "hello\r\n\r\n", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			defer target.isWell(t, target.whole.Load())
			if got, err := target.send(c.sent); err != nil || got != c.want {
				t.Errorf("status %d, %v, want %d", got, err, c.want)
			}
		})
	}
	slow.areCut(t)
	target.isWell(t, target.whole.Load())
}

// target is a gateway whose backend counts the requests that it has had to their end, and the bytes of their bodies.
type target struct {
	*server
	whole, bytes atomic.Int64
}

func newTarget(t *testing.T) *target {
	t.Helper()
	g := &target{}
	back := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		g.bytes.Add(n)
		if err == nil {
			g.whole.Add(1)
		}
	}))
	t.Cleanup(back.Close)
	g.server = serve(t)
	g.put(gateway.Upstream, "back", gateway.UpstreamBody{Endpoints: endpoints(back.Listener.Addr().String())})
	g.put(gateway.Route, "open", gateway.RouteBody{Path: "/open", Upstream: "back", Auth: gateway.AuthNone})
	g.put(gateway.Route, "get", gateway.RouteBody{Path: "/get", Upstream: "back", Auth: gateway.AuthNone, Methods: []string{"GET"}})
	g.put(gateway.Route, "hosted", gateway.RouteBody{Path: "/hosted", Upstream: "back", Auth: gateway.AuthNone, Hosts: []string{"shop.test"}})
	g.put(gateway.Route, "guarded", gateway.RouteBody{Path: "/guarded", Upstream: "back", Scopes: []string{"read"}})
	g.awaits("/guarded", g.issue("read").Token, 200)
	return g
}

// isWell fails the test unless a good request is answered, and has been the backend's only one since it had had so many.
func (g *target) isWell(t *testing.T, before int64) {
	t.Helper()
	if got, err := g.get("/open", ""); err != nil || got != 200 {
		t.Errorf("a good request: status %d, %v", got, err)
	}
	if n := g.whole.Load() - before; n != 1 {
		t.Errorf("the backend took %d requests for whole, of which 1 was", n)
	}
}

// andNoMore ends what is sent: the client can only listen from then on.
func andNoMore(conn net.Conn) error { return conn.(*net.TCPConn).CloseWrite() }

// send sends the text, and does what comes after, and returns the status of the answer.
func (g *target) send(text string, after ...func(net.Conn) error) (status int, err error) {
	conn, err := net.Dial("tcp", g.Listen)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return 0, err
	}
	go func() { // it may be answered, and no more of it read, before all is sent
		_, err := io.WriteString(conn, text)
		for i := 0; err == nil && i < len(after); i++ {
			err = after[i](conn)
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// dribblers are clients whose headers never end.
type dribblers []chan time.Duration

// dribble begins to send so many headers, a byte at a time.
func (g *target) dribble(n int) (all dribblers) {
	for range n {
		cut := make(chan time.Duration, 1)
		all = append(all, cut)
		conn, err := net.Dial("tcp", g.Listen)
		if err != nil {
			g.t.Fatal(err)
		}
		go func() {
			defer conn.Close()
			start := time.Now()
			go io.Copy(conn, endless{})
			io.Copy(io.Discard, conn) // until the gateway closes it
			cut <- time.Since(start)
		}()
	}
	return all
}

// areCut fails the test unless the gateway has closed all connections, or does in time.
func (d dribblers) areCut(t *testing.T) {
	t.Helper()
	alarm := time.After(headerLimit)
	for _, cut := range d {
		select {
		case after := <-cut:
			if after > headerLimit {
				t.Errorf("a header that does not end was cut off after %s", after)
			}
		case <-alarm:
			t.Fatal("a header that does not end was not cut off")
		}
	}
}

// endless is a header that comes a byte at a time.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	time.Sleep(50 * time.Millisecond) // what makes it slow
	p[0] = 'x'
	return 1, nil
}
