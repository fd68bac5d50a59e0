package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/gateway"
)

// TestLeanReusesAConnection: one serves many requests, where the answer lets it; else each has its own.
func TestLeanReusesAConnection(t *testing.T) {
	for name, c := range map[string]struct {
		method, answer, body, trailer string
		ends                          bool // with the answer, the connection does
	}{
		"length":             {"GET", okAnswer, "ok", "", false},
		"no body":            {"DELETE", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", "", false},
		"204":                {"OPTIONS", "HTTP/1.1 204 No Content\r\n\r\n", "", "", false},
		"304":                {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", "", "", false},
		"head":               {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "", "", false},
		"head, chunked":      {"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "", "", false},
		"informed":           {"GET", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + okAnswer, "ok", "", false},
		"chunked":            {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1;x=y\r\nk\r\n0\r\n\r\n", "ok", "", false},
		"trailer":            {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nSum: 7\r\n\r\n", "ok", "7", false},
		"HTTP/1.0 and kept":  {"GET", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", "ok", "", false},
		"HTTP/1.0":           {"GET", "HTTP/1.0 200 OK\r\n\r\nok", "ok", "", true},
		"HTTP/1.0, length":   {"GET", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok", "", true},
		"until the end":      {"GET", "HTTP/1.1 200 OK\r\n\r\nok", "ok", "", true},
		"close":              {"GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", "ok", "", true},
		"close, no length":   {"GET", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", "ok", "", true},
		"close without body": {"GET", "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", "", "", true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, func(_ int, conn *peerConn) {
				for conn.asked() != "" {
					if conn.say(c.answer); c.ends {
						_ = conn.Conn.(*net.TCPConn).CloseWrite()
					}
				}
			})
			tr := testTransport(t)
			const requests = 5
			for range requests {
				if got := askWhole(t, tr, c.method, p.url); got.Body != c.body || got.Trailer.Get("Sum") != c.trailer {
					t.Errorf("%+v", got)
				}
				if c.ends {
					p.awaitClosed(t)
				}
			}
			if n := p.connections.Load(); c.ends != (n == requests) || !c.ends && n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// TestLeanAsksAgain: an idle connection that turns out to be closed costs no request, whether that shows before it is sent or after.
func TestLeanAsksAgain(t *testing.T) {
	for name, seen := range map[string]int{"before": 1, "after it was asked": 2} {
		t.Run(name, func(t *testing.T) {
			closed, asked := make(chan struct{}, 1), make(chan string, 10)
			p := newPeer(t, func(before int, c *peerConn) {
				if before > 0 {
					header := c.asked()
					asked <- header
					c.say(okAnswer)
					return
				}
				for i := range seen {
					header := c.asked()
					asked <- header
					if i == 0 {
						c.say(okAnswer)
					}
				}
				c.Close()
				closed <- struct{}{}
			})
			url := serve(t, newGateway(t, Options{}, upstreamOf("u", p.url), open("r", "/{x...}", "u")))
			if got := get(t, url+"/1"); got.Status != 200 {
				t.Fatalf("first: %d", got.Status)
			}
			if seen == 1 {
				<-closed
			}
			if got := get(t, url+"/2"); got.Status != 200 || got.Body != "ok" {
				t.Errorf("second: %d %s", got.Status, got.Body)
			}
			if n := p.connections.Load(); n != 2 || len(asked) != seen+1 {
				t.Errorf("%d requests on %d connections", len(asked), n)
			}
		})
	}
}

// TestLeanDoesNotAskAgain: a new connection that breaks, or one whose answer has begun, is the endpoint's failure.
func TestLeanDoesNotAskAgain(t *testing.T) {
	for name, c := range map[string]struct {
		good  int // answers before
		begun string
	}{"new": {0, ""}, "begun": {1, "HTTP/1.1 2"}} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, func(_ int, conn *peerConn) {
				for range c.good {
					conn.asked()
					conn.say(okAnswer)
				}
				conn.asked()
				conn.say(c.begun)
				conn.Close()
			})
			tr := testTransport(t)
			for range c.good {
				askWhole(t, tr, "GET", p.url)
			}
			if resp, err := tr.lean.ask(newAsk(t, "GET", p.url), noInform()); err == nil {
				t.Errorf("%s", resp.Status)
			}
			if n := p.connections.Load(); n != 1 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// TestLeanTakesNoAnswerUnasked: bytes after an answer are nobody's, and their connection serves no other request.
func TestLeanTakesNoAnswerUnasked(t *testing.T) {
	const evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	for name, apart := range map[string]bool{"at once": false, "later": true} {
		t.Run(name, func(t *testing.T) {
			heard, sent := make(chan struct{}), make(chan struct{})
			p := newPeer(t, func(before int, c *peerConn) {
				switch c.asked(); {
				case before > 0:
					c.say(okAnswer)
				case apart:
					c.say(okAnswer)
					<-heard
					c.say(evil)
				default:
					c.say(okAnswer + evil)
				}
				if before == 0 {
					close(sent)
				}
				if next := c.asked(); next != "" {
					t.Errorf("asked again: %q", next)
				}
			})
			tr := testTransport(t)
			askWhole(t, tr, "GET", p.url)
			close(heard)
			<-sent
			if got := askWhole(t, tr, "GET", p.url); got.Body != "ok" {
				t.Errorf("body %q", got.Body)
			}
			p.awaitClosed(t)
			if n := p.connections.Load(); n != 2 {
				t.Errorf("%d connections", n)
			}
		})
	}
}

// TestLeanRefusesAnswers that are none.
func TestLeanRefusesAnswers(t *testing.T) {
	endless := func(begin, more string) func(*peerConn) {
		return func(c *peerConn) {
			c.say(begin)
			more := strings.Repeat(more, 1000)
			for {
				if _, err := io.WriteString(c, more); err != nil {
					return
				}
			}
		}
	}
	once := func(answer string) func(*peerConn) { return func(c *peerConn) { c.say(answer) } }
	for name, c := range map[string]struct {
		answer func(*peerConn)
		want   error // nil: any; net/http takes the line that is cut for malformed
	}{
		"endless informational": {endless("", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"), nil},
		"endless header":        {endless("HTTP/1.1 200 OK\r\n", "X: y\r\n"), nil},
		"endless line":          {endless("HTTP/1.1 200 OK\r\nX: ", "y"), errLongHeader},
		"switches":              {once("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"), errSwitched},
		"status too small":      {once("HTTP/1.1 099 What\r\nContent-Length: 0\r\n\r\n" + okAnswer), errStatus},
		"status of no number":   {once("HTTP/1.1 2xx OK\r\n\r\n"), nil},
		"other protocol":        {once("SSH-2.0-OpenSSH_9.2\r\n\r\n"), nil},
		"malformed header":      {once("HTTP/1.1 200 OK\r\nno header\r\n\r\n"), nil},
		"two lengths":           {once("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok"), nil},
		"ends in the status":    {once("HTTP/1.1 20"), nil},
		"ends in the header":    {once("HTTP/1.1 200 OK\r\nContent-Le"), nil},
		"ends after informing":  {once("HTTP/1.1 103 Early Hints\r\n\r\n"), io.ErrUnexpectedEOF},
		"nothing":               {once(""), io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, func(_ int, conn *peerConn) {
				conn.asked()
				c.answer(conn)
				_ = conn.Conn.(*net.TCPConn).CloseWrite()
				conn.asked()
			})
			tr := testTransport(t)
			resp, err := tr.lean.ask(newAsk(t, "GET", p.url), noInform())
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("%v, %v", resp, err)
			}
			p.awaitClosed(t)
			if name == "endless informational" { // of which the client would have its share
				return
			}
			url := serve(t, newGateway(t, Options{}, upstreamOf("u", p.url), open("r", "/", "u")))
			if got := get(t, url); got.Status != http.StatusBadGateway {
				t.Errorf("the gateway answers %d", got.Status)
			}
		})
	}
}

// TestLeanBodyBreaksOff: what ends early is no whole answer, for nobody.
func TestLeanBodyBreaksOff(t *testing.T) {
	for name, answer := range map[string]string{
		"length":   "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegun",
		"chunk":    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nbegun",
		"chunks":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n",
		"trailer":  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n0\r\nSum: 7\r\n",
		"no chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\nnone\r\n",
		"line too long": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n" +
			strings.Repeat("0", 8<<10) + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := newPeer(t, func(_ int, c *peerConn) {
				c.asked()
				c.say(answer)
				_ = c.Conn.(*net.TCPConn).CloseWrite()
				c.asked()
			})
			tr := testTransport(t)
			for who, ask := range map[string]func() (*http.Response, error){
				"lean": func() (*http.Response, error) { return tr.lean.ask(newAsk(t, "GET", p.url), noInform()) },
				"client": func() (*http.Response, error) {
					return http.Get(serve(t, newGateway(t, Options{}, upstreamOf("u", p.url), open("r", "/", "u"))))
				},
			} {
				resp, err := ask()
				if err == nil {
					_, err = readAnswer(resp)
				}
				if err == nil {
					t.Errorf("%s: the answer is whole", who)
				}
				p.awaitClosed(t)
			}
			if idleAt(tr) != 0 {
				t.Error("the connection is kept")
			}
		})
	}
}

// TestLeanEndsWithItsRequest: what a client waits for no more is closed, before the header has come and after.
func TestLeanEndsWithItsRequest(t *testing.T) {
	errGone := errors.New("gone")
	for name, answer := range map[string]string{"header": "", "body": "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegun"} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			p := newPeer(t, func(_ int, c *peerConn) {
				c.asked()
				if c.say(answer); answer == "" {
					cancel(errGone)
				}
				c.asked()
			})
			tr := testTransport(t)
			resp, err := tr.lean.ask(newAsk(t, "GET", p.url).WithContext(ctx), noInform())
			if answer != "" {
				cancel(errGone)
				_, err = readAnswer(resp)
			}
			if !errors.Is(err, errGone) {
				t.Errorf("error is %v", err)
			}
			p.awaitClosed(t)
			if idleAt(tr) != 0 {
				t.Error("the connection is kept")
			}
		})
	}
}

// TestClientThatLeavesClosesWhatItAskedFor in the middle of the answer.
func TestClientThatLeavesClosesWhatItAskedFor(t *testing.T) {
	p := newPeer(t, func(_ int, c *peerConn) {
		c.asked()
		c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegun\r\n")
		c.asked()
	})
	g := newGateway(t, Options{}, upstreamOf("u", p.url), open("r", "/", "u"))
	ctx, cancel := context.WithCancel(t.Context())
	resp, err := http.DefaultTransport.RoundTrip(newAsk(t, "GET", serve(t, g)).WithContext(ctx))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, len("begun"))); err != nil {
		t.Fatal(err)
	}
	cancel()
	p.awaitClosed(t)
	if n := idleAt(g.live.Load().upstreams["u"].transport); n != 0 {
		t.Errorf("%d idle", n)
	}
}

// TestReplacedUpstreamClosesIdleConnections, and those that become idle later.
func TestReplacedUpstreamClosesIdleConnections(t *testing.T) {
	p := newPeer(t, func(_ int, c *peerConn) { c.serve(okAnswer) })
	g := newGateway(t, Options{}, upstreamOf("u", p.url), open("r", "/", "u"))
	get(t, serve(t, g))
	old := g.live.Load().upstreams["u"].transport
	body := bodyOf(p.url)
	body.Retries = 1
	late, err := old.lean.ask(newAsk(t, "GET", p.url), noInform()) // takes the idle one
	if err != nil {
		t.Fatal(err)
	}
	askWhole(t, old, "GET", p.url)
	update := gateway.Change{Op: gateway.Update, Entity: entity(gateway.Upstream, "u", body)}
	if err := g.Update(gateway.Batch{Revision: 2, Changes: []gateway.Change{update}}); err != nil {
		t.Fatal(err)
	}
	p.awaitClosed(t)
	if got, err := readAnswer(late); err != nil || got.Body != "ok" {
		t.Errorf("%+v, %v", got, err)
	}
	p.awaitClosed(t)
}

// closingConn counts how often it is closed.
type closingConn struct {
	net.Conn
	closed *atomic.Int32
}

func (c closingConn) Close() error {
	c.closed.Add(1)
	return c.Conn.Close()
}

// TestLeanSweeps: what was idle for too long is closed, what is used stays.
func TestLeanSweeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }, func(*gateway.RouteBody, *gateway.UpstreamBody) {})
		tr := b.gateway.live.Load().upstreams["u"].transport
		var dialed, closed atomic.Int32
		dial := tr.usual.DialContext
		tr.usual.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			dialed.Add(1)
			conn, err := dial(ctx, network, address)
			return closingConn{conn, &closed}, err
		}
		use := func() {
			resp, err := b.get(t, t.Context(), "/")
			if err != nil {
				t.Fatal(err)
			}
			if got, err := readAnswer(resp); err != nil || got.Body != "ok" {
				t.Fatalf("%+v, %v", got, err)
			}
			synctest.Wait()
		}
		for range 3 {
			use()
			time.Sleep(tr.usual.IdleConnTimeout - sweepEvery)
		}
		if dialed.Load() != 1 || closed.Load() != 0 {
			t.Errorf("while it is used: %d dialed, %d closed", dialed.Load(), closed.Load())
		}
		time.Sleep(2 * sweepEvery)
		synctest.Wait()
		if idleAt(tr) != 0 || closed.Load() != 1 {
			t.Errorf("later: %d idle, %d closed", idleAt(tr), closed.Load())
		}
		if use(); dialed.Load() != 2 || idleAt(tr) != 1 {
			t.Errorf("in the end: %d dialed, %d idle", dialed.Load(), idleAt(tr))
		}
	})
}

// TestLeanSweepsWhatIsClosed by its peer.
func TestLeanSweepsWhatIsClosed(t *testing.T) {
	gone := make(chan struct{})
	leave := make(chan struct{})
	p := newPeer(t, func(_ int, c *peerConn) {
		c.asked()
		c.say(okAnswer)
		<-leave
		c.Close()
		close(gone)
	})
	tr := testTransport(t)
	askWhole(t, tr, "GET", p.url)
	if tr.lean.sweep(); idleAt(tr) != 1 {
		t.Error("an idle connection is closed")
	}
	close(leave)
	<-gone
	if tr.lean.sweep(); idleAt(tr) != 0 {
		t.Error("a closed connection stays")
	}
}

// TestLeanKeepsNoMoreThanItMay of those that become idle.
func TestLeanKeepsNoMoreThanItMay(t *testing.T) {
	p := newPeer(t, func(_ int, c *peerConn) { c.serve(okAnswer) })
	tr := testTransport(t)
	tr.usual.MaxIdleConnsPerHost = 2
	var answers []*http.Response
	for range 5 {
		resp, err := tr.lean.ask(newAsk(t, "GET", p.url), noInform())
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, resp)
	}
	for _, resp := range answers {
		if _, err := readAnswer(resp); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		p.awaitClosed(t)
	}
	if idle, n := idleAt(tr), p.connections.Load(); idle != 2 || n != 5 {
		t.Errorf("%d of %d connections are idle", idle, n)
	}
}

// TestLeanSendsNoLineOfAHeaderValue: whatever put it there.
func TestLeanSendsNoLineOfAHeaderValue(t *testing.T) {
	sent := make(chan string, 1)
	p := newPeer(t, func(_ int, c *peerConn) {
		all, _ := io.ReadAll(c.in)
		sent <- string(all)
	})
	for _, value := range []string{"a\r\nEvil: 1", "a\nEvil: 1", "a\r", "\n"} {
		req := newAsk(t, "GET", p.url)
		req.Header["X"] = []string{"fine", value}
		if _, err := testTransport(t).lean.ask(req, noInform()); err == nil || !strings.Contains(err.Error(), "X") {
			t.Errorf("%q: error is %v", value, err)
		}
		if got := <-sent; got != "" {
			t.Errorf("%q: sent %q", value, got)
		}
	}
}

// TestLeanSaysThatAPutHasNoBody, and of no other.
func TestLeanSaysThatAPutHasNoBody(t *testing.T) {
	headers := make(chan string, 1)
	p := newPeer(t, func(_ int, c *peerConn) {
		for h := c.asked(); h != ""; h = c.asked() {
			headers <- h
			c.say(okAnswer)
		}
	})
	url := serve(t, newGateway(t, Options{}, upstreamOf("u", p.url), open("r", "/", "u")))
	for _, method := range []string{"PUT", "GET", "DELETE", "OPTIONS"} {
		do(t, method, url, "")
		if h := <-headers; strings.Contains(h, "\r\nContent-Length: 0\r\n") != (method == "PUT") || strings.Contains(h, "Transfer-Encoding") {
			t.Errorf("%s: %q", method, h)
		}
	}
}
