package proxy

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/gateway"
)

// passedBy serves the one route of the gateway by pass, or as upgrades are.
func passedBy(t *testing.T, g *Gateway, reference bool) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		dropForHop(r.Header)
		c := g.live.Load()
		route, err := c.router.match(r)
		if err != nil {
			t.Error(err)
			return
		}
		x := &exchange{gateway: g, route: route, upstream: c.upstreams["u"], keys: c.keys, start: time.Now(), control: http.NewResponseController(w)}
		defer func() {
			x.once.cut()
			x.release()
		}()
		w = &recorder{ResponseWriter: w}
		if !reference {
			x.pass(w, r)
			return
		}
		proxy := httputil.ReverseProxy{Rewrite: x.rewrite, Transport: x, ModifyResponse: x.answer, ErrorHandler: x.fail, BufferPool: &g.buffers, ErrorLog: g.proxyLog}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// bothGot is what the endpoint and the client get.
type bothGot struct {
	Request []string // its lines, sorted
	Informs []http.Header
	Coding  []string
	Length  int64
	Answer  said
}

func passOnce(t *testing.T, address, request string, got <-chan string) (p bothGot) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	fmt.Fprint(conn, request)
	method, _, _ := strings.Cut(request, " ")
	in := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(in, &http.Request{Method: method})
		if err != nil {
			p.Answer.Broken = true // before the header was sent on
			break
		}
		if resp.StatusCode < 200 {
			p.Informs = append(p.Informs, resp.Header)
			continue
		}
		p.Coding, p.Length = resp.TransferEncoding, resp.ContentLength
		p.Answer, _ = readAnswer(resp)
		break
	}
	p.Answer.Header.Del("Date")
	p.Request = strings.Split(<-got, "\r\n")
	slices.Sort(p.Request)
	return p
}

// TestPassIsAReverseProxy: what both sides get is what httputil.ReverseProxy has them get. Streams have a
// type: pass sends their header at once, in which net/http guesses none; the other may be later.
func TestPassIsAReverseProxy(t *testing.T) {
	const get = "GET /a?b=%2f;c HTTP/1.1\r\nHost: a\r\n"
	for name, c := range map[string]struct{ request, answer string }{
		"plain":               {get + "User-Agent: x\r\n", okAnswer},
		"no user agent":       {get, okAnswer},
		"empty user agent":    {get + "User-Agent:\r\n", okAnswer},
		"hop by hop":          {get + "Connection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authorization: x\r\nProxy-Authenticate: x\r\nTe: gzip\r\n", "HTTP/1.1 200 OK\r\nConnection: x-hop, Y\r\nX-Hop: 1\r\nY: 2\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authenticate: x\r\nTe: x\r\nUpgrade: x\r\nStays: 1\r\nContent-Length: 2\r\n\r\nok"},
		"te":                  {get + "Te: gzip, Trailers\r\n", okAnswer},
		"forged":              {get + "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: x\r\nX-Forwarded-Host: x\r\nForwarded: for=x\r\nX-Real-Ip: x\r\n", okAnswer},
		"twice":               {get + "X: 1\r\nX: 2\r\n", "HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 2\r\n\r\nok"},
		"set here":            {get + "X-Set: client\r\n", "HTTP/1.1 200 OK\r\nX-Gwdr-Region: behind\r\nContent-Length: 0\r\n\r\n"},
		"request trailer":     {"POST / HTTP/1.1\r\nHost: a\r\nTrailer: Sum\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nSum: 7\r\n", okAnswer},
		"announced trailer":   {get, "HTTP/1.1 200 OK\r\nTrailer: Sum\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nSum: 7\r\n\r\n"},
		"unannounced trailer": {get, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nSum: 7\r\n\r\n"},
		"informed":            {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n", "HTTP/1.1 103 Early Hints\r\nLink: x\r\nLink: y\r\n\r\n" + okAnswer},
		"events":              {get, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nContent-Length: 2\r\n\r\nok"},
		"head":                {"HEAD / HTTP/1.1\r\nHost: a\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"},
		"304":                 {get, "HTTP/1.1 304 Not Modified\r\nEtag: x\r\n\r\n"},
		"large":               {get, "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + strings.Repeat("x", 300000)},
		"breaks off":          {get, "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + strings.Repeat("x", 200000)},
		"chunks break off":    {get, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got := make(chan string, 1)
			p := newPeer(t, func(_ int, conn *peerConn) {
				header := conn.asked()
				if strings.Contains(header, "chunked") {
					header += conn.asked()
				}
				got <- header
				conn.say(c.answer)
				conn.Close()
			})
			g := newGateway(t, Options{Instance: "i", Region: "here"}, upstreamOf("u", p.url), entity(gateway.Route, "r",
				gateway.RouteBody{Path: "/{x...}", Upstream: "u", Auth: gateway.AuthNone, Headers: map[string]string{"X-Set": "route"}}))
			want := passOnce(t, passedBy(t, g, true), c.request+"\r\n", got)
			if d := cmp.Diff(want, passOnce(t, passedBy(t, g, false), c.request+"\r\n", got)); d != "" {
				t.Error(d)
			}
			if broken := strings.Contains(name, "break"); want.Answer.Broken != broken {
				t.Errorf("broken: %v", want.Answer.Broken)
			}
		})
	}
}
