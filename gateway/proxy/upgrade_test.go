package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// switching is an upstream that takes up whatever upgrade it is offered, and then does what is said with the connection.
func switching(t *testing.T, then func(net.Conn, *bufio.Reader)) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		offer := r.Header.Get("Upgrade")
		if offer == "" {
			io.WriteString(w, r.Header.Get("Connection"))
			return
		}
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+offer+"\r\n\r\n")
		then(conn, buf.Reader)
	}))
	t.Cleanup(server.Close)
	return server
}

// TestNoUpgradeToHTTP: requests that nobody looks at do not get past the gateway.
func TestNoUpgradeToHTTP(t *testing.T) {
	back := switching(t, func(conn net.Conn, _ *bufio.Reader) { io.WriteString(conn, "smuggled") })
	url := serve(t, newGateway(t, Options{}, upstreamOf("u", back.URL), open("r", "/{x...}", "u")))
	for offer, want := range map[string]string{"h2c": "200 ", "H2C, websocket": "200 ", "foo,HTTP/2.0": "200 ", "TLS/1.3": "200 ", "websocket": "101 "} {
		got := raw(t, strings.TrimPrefix(url, "http://"), "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"+
			"Upgrade: "+offer+"\r\n\r\n", "GET /2 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
		if len(got) == 0 || !strings.HasPrefix(got[0], want) || strings.Contains(strings.Join(got, ""), "smuggled") {
			t.Errorf("%s: answered %q, want %s", offer, got, want)
		}
	}
}

// TestSidesOfAnUpgradeEndAlone: an upstream that has said all still hears what the client says.
func TestSidesOfAnUpgradeEndAlone(t *testing.T) {
	heard := make(chan string, 1)
	back := switching(t, func(conn net.Conn, r *bufio.Reader) {
		conn.(*net.TCPConn).CloseWrite()
		said, _ := io.ReadAll(r)
		heard <- string(said)
	})
	url := serve(t, newGateway(t, Options{}, upstreamOf("u", back.URL), open("r", "/{x...}", "u")))
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	r := bufio.NewReader(conn)
	if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%v, %v", resp, err)
	}
	if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
	io.WriteString(conn, "late")
	conn.(*net.TCPConn).CloseWrite()
	if got := <-heard; got != "late" {
		t.Errorf("the upstream hears %q", got)
	}
}

// TestNobodyIsSwitchedUnasked: nor gets an answer with a status that a server cannot write.
func TestNobodyIsSwitchedUnasked(t *testing.T) {
	for _, answer := range []string{"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nsmuggled",
		"HTTP/1.1 099 What\r\nContent-Length: 0\r\n\r\n"} {
		p := newPeer(t, func(_ int, c *peerConn) {
			c.asked()
			c.say(answer)
			c.asked()
		})
		url := serve(t, newGateway(t, Options{}, upstreamOf("u", p.url), open("r", "/", "u")))
		req := newAsk(t, "POST", url)
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader("body")), 4
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != http.StatusBadGateway {
			t.Errorf("%q is answered %s", answer, resp.Status)
		}
	}
}
