package proxy

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
)

// peer is an endpoint of which each connection is a script's, which is told how many were before it.
type peer struct {
	url         string
	connections atomic.Int32
	closed      chan struct{} // gets one for each connection that the other side has closed
}

func newPeer(t testing.TB, script func(before int, c *peerConn)) *peer {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &peer{url: "http://" + l.Addr().String(), closed: make(chan struct{}, 1000)}
	go func() {
		for before := 0; ; before++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.connections.Add(1)
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second)) // that a test that fails ends
			go script(before, &peerConn{Conn: conn, in: bufio.NewReader(conn), peer: p})
		}
	}()
	return p
}

// peerConn is a connection to a peer.
type peerConn struct {
	net.Conn
	in   *bufio.Reader
	peer *peer
}

// asked returns the header of the next request; empty: the other side has closed.
func (c *peerConn) asked() string {
	var header strings.Builder
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			c.Close()
			c.peer.closed <- struct{}{}
			return ""
		}
		if header.WriteString(line); line == "\r\n" {
			return header.String()
		}
	}
}

func (c *peerConn) say(answer string) { _, _ = io.WriteString(c, answer) } // who asked may be gone

// serve gives the same answer to each request.
func (c *peerConn) serve(answer string) {
	for c.asked() != "" {
		c.say(answer)
	}
}

// awaitClosed returns once the other side has closed another connection.
func (p *peer) awaitClosed(t *testing.T) {
	t.Helper()
	select {
	case <-p.closed:
	case <-time.After(10 * time.Second):
		t.Fatal("the connection stays")
	}
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func testTransport(t testing.TB) *transport {
	tr := newTransport(time.Second)
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// said is what came of a request.
type said struct {
	Status  int
	Header  http.Header
	Body    string
	Trailer http.Header
	Broken  bool // the body ended early
}

func readAnswer(resp *http.Response) (said, error) {
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return said{resp.StatusCode, resp.Header, string(body), resp.Trailer, err != nil}, err
}

func newAsk(t testing.TB, method, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// askWhole makes a request whose answer must be whole.
func askWhole(t testing.TB, tr *transport, method, url string) said {
	t.Helper()
	resp, err := tr.lean.ask(newAsk(t, method, url), noInform())
	if err != nil {
		t.Fatal(err)
	}
	got, err := readAnswer(resp)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// idleAt is how many connections are idle.
func idleAt(tr *transport) (n int) {
	tr.lean.mu.Lock()
	defer tr.lean.mu.Unlock()
	for _, idle := range tr.lean.idle {
		n += len(idle)
	}
	return n
}

// noInform passes informational responses on to nobody.
func noInform() *inform { return &inform{ResponseWriter: httptest.NewRecorder()} }
