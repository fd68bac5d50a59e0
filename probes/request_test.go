package probes

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// echo answers as the echo upstream does: it repeats the nonce and says who it is.
func echo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set(NonceHeader, r.Header.Get(NonceHeader))
	w.Header().Set(InstanceHeader, "us-east-1")
	w.Header().Set(RegionHeader, "us-east")
	io.WriteString(w, "{}")
}

// listen serves every connection with serve, which must return when the connection is closed.
func listen(t *testing.T, serve func(*net.TCPConn)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c.(*net.TCPConn))
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// answers reads one request and writes text.
func answers(text string) func(*net.TCPConn) {
	return func(c *net.TCPConn) {
		c.Read(make([]byte, 4096))
		io.WriteString(c, text)
	}
}

func reset(c *net.TCPConn) {
	c.Read(make([]byte, 4096))
	c.SetLinger(0)
}

func hang(c *net.TCPConn) { io.Copy(io.Discard, c) }

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func refused(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// once makes one attempt with the timeout.
func once(t *testing.T, r Request, timeout time.Duration) Sample {
	t.Helper()
	s, err := newSender(r)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	var sample Sample
	s.send(t.Context(), time.Now().Add(timeout), &sample)
	return sample
}

// soon is a deadline that no attempt of a test should meet.
func soon() time.Time { return time.Now().Add(5 * time.Second) }

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(NonceHeader, r.Header.Get(NonceHeader))
		w.WriteHeader(code)
	}
}

func TestClasses(t *testing.T) {
	tls := httptest.NewUnstartedServer(http.HandlerFunc(echo))
	tls.Config.ErrorLog = log.New(io.Discard, "", 0)
	tls.StartTLS()
	defer tls.Close()
	plain := serve(t, echo)
	for name, c := range map[string]struct {
		request Request
		want    Class
	}{
		"right answer":           {Request{URL: plain, Echo: true}, OK},
		"expected status":        {Request{URL: serve(t, status(401)), Expect: 401}, OK},
		"refused":                {Request{URL: refused(t)}, FailRefused},
		"reset":                  {Request{URL: listen(t, reset)}, FailReset},
		"closed without answer":  {Request{URL: listen(t, answers(""))}, FailReset},
		"hang":                   {Request{URL: listen(t, hang)}, FailTimeout},
		"half an answer, hang":   {Request{URL: listen(t, func(c *net.TCPConn) { answers("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1")(c); hang(c) })}, FailTimeout},
		"half an answer":         {Request{URL: listen(t, answers("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1"))}, FailBody},
		"half a chunk":           {Request{URL: listen(t, answers("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n1"))}, FailBody},
		"no HTTP":                {Request{URL: listen(t, answers("SSH-2.0-OpenSSH_9.2\r\n"))}, FailBody},
		"401":                    {Request{URL: serve(t, status(401))}, FailAuth},
		"403":                    {Request{URL: serve(t, status(403))}, FailAuth},
		"a revoked key works":    {Request{URL: plain, Expect: 401}, FailStatus},
		"404":                    {Request{URL: serve(t, status(404))}, FailStatus},
		"503":                    {Request{URL: serve(t, status(503))}, FailStatus},
		"redirect":               {Request{URL: serve(t, http.RedirectHandler("/elsewhere", 302).ServeHTTP)}, FailStatus},
		"nonce of nobody":        {Request{URL: serve(t, func(http.ResponseWriter, *http.Request) {}), Echo: true}, FailBody},
		"nonce of another":       {Request{URL: serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set(NonceHeader, "1") }), Echo: true}, FailBody},
		"unknown authority":      {Request{URL: tls.URL}, FailTLS},
		"no TLS at a TLS client": {Request{URL: strings.Replace(plain, "http:", "https:", 1)}, FailTLS},
		"reset in the handshake": {Request{URL: strings.Replace(listen(t, reset), "http:", "https:", 1)}, FailTLS},
		"hang in the handshake":  {Request{URL: strings.Replace(listen(t, hang), "http:", "https:", 1)}, FailTimeout},
		"name does not resolve":  {Request{URL: "http://gateway.invalid", dial: noDNS}, FailDNS},
	} {
		t.Run(name, func(t *testing.T) {
			timeout := 5 * time.Second
			if c.want == FailTimeout {
				timeout = 100 * ms
			}
			got := once(t, c.request, timeout)
			if got.Class != c.want || (got.Error == "") != (c.want == OK) {
				t.Errorf("class = %s (%s), want %s", got.Class, got.Error, c.want)
			}
		})
	}
}

// noDNS dials with a resolver that reaches no server.
func noDNS(ctx context.Context, network, address string) (net.Conn, error) {
	unreachable := func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no name server") }
	d := net.Dialer{Resolver: &net.Resolver{PreferGo: true, Dial: unreachable}}
	return d.DialContext(ctx, network, address)
}

func TestAnswerTellsWhoAnswered(t *testing.T) {
	s := once(t, Request{URL: serve(t, echo)}, time.Second)
	if s.Instance != "us-east-1" || s.Region != "us-east" || s.Status != 200 {
		t.Errorf("%+v, want status 200 of us-east-1 in us-east", s)
	}
}

func TestRequestIsSentAsGiven(t *testing.T) {
	var got http.Request
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = *r })
	once(t, Request{URL: url + "/orders?x=1", Host: "api.gwdr.lab", Header: map[string]string{"x-api-key": "k"}}, time.Second)
	if got.Method != "GET" || got.RequestURI != "/orders?x=1" || got.Host != "api.gwdr.lab" || got.Header.Get("X-Api-Key") != "k" {
		t.Errorf("%s %s of %s with %v", got.Method, got.RequestURI, got.Host, got.Header)
	}
}

func TestNoncesDiffer(t *testing.T) {
	seen := map[string]bool{}
	url := serve(t, func(_ http.ResponseWriter, r *http.Request) { seen[r.Header.Get(NonceHeader)] = true })
	s, err := newSender(Request{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for range 20 {
		s.send(t.Context(), soon(), &Sample{})
	}
	if len(seen) != 20 || seen[""] {
		t.Errorf("%d nonces in 20 attempts", len(seen))
	}
}

func TestFreshAndKeptAliveConnections(t *testing.T) {
	for _, fresh := range []bool{true, false} {
		connections := map[string]bool{}
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			connections[r.RemoteAddr] = true
			echo(w, r)
		})
		s, err := newSender(Request{URL: url, Fresh: fresh})
		if err != nil {
			t.Fatal(err)
		}
		reused := 0
		for range 5 {
			var sample Sample
			s.send(t.Context(), soon(), &sample)
			if sample.Reused {
				reused++
			}
		}
		s.close()
		if want := map[bool]int{true: 5, false: 1}[fresh]; len(connections) != want || reused != 5-want {
			t.Errorf("fresh %v: %d connections, %d reused; want %d", fresh, len(connections), reused, want)
		}
	}
}

func TestALostKeptAliveConnectionIsNotRetriedSilently(t *testing.T) {
	url := listen(t, func(c *net.TCPConn) {
		answers("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")(c) // the first request
		reset(c)                                                   // the second one on the same connection
	})
	s, err := newSender(Request{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	var first, second Sample
	s.send(t.Context(), soon(), &first)
	s.send(t.Context(), soon(), &second)
	if first.Class != OK || second.Class != FailReset || !second.Reused {
		t.Errorf("%+v, then %+v; want ok, then a reset of the reused connection", first, second)
	}
}

// TestARetryThatSucceedsIsAReset makes sure of what the test above meets now and then.
func TestARetryThatSucceedsIsAReset(t *testing.T) {
	p, _ := watch(t.Context(), soon())
	p.gotConn(httptrace.GotConnInfo{Reused: true})
	p.gotConn(httptrace.GotConnInfo{})
	var s Sample
	p.end(&s, nil)
	if s.Class != FailReset || s.Error == "" {
		t.Errorf("%+v, want a reset of the first connection", s)
	}
}

func TestOnlyTheBeginningOfABodyIsRead(t *testing.T) {
	var written atomic.Int64
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for range 1000 {
			n, err := w.Write(make([]byte, 64<<10))
			if written.Add(int64(n)); err != nil {
				return
			}
		}
	})
	if s := once(t, Request{URL: url}, 5*time.Second); s.Class != OK {
		t.Errorf("class = %s (%s), want ok", s.Class, s.Error)
	}
	if written.Load() >= 1000*64<<10 {
		t.Error("the whole body was read")
	}
}

func TestUnusableURLs(t *testing.T) {
	for _, url := range []string{"", "orders", "ftp://host/x", "http://", "http://a b/"} {
		p := Prober{Series: orders, Request: Request{URL: url}, T0: time.Now(), Out: func(Sample) {}}
		if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "URL") {
			t.Errorf("%q was accepted", url)
		}
	}
}
