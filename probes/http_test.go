package probes

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// serveHTTP2 serves h over HTTP/2: with TLS (trusted by trust), or without.
func serveHTTP2(t *testing.T, h http.HandlerFunc, overTLS bool) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	if overTLS {
		s.EnableHTTP2 = true
		s.StartTLS()
	} else {
		var p http.Protocols
		p.SetHTTP1(true)
		p.SetUnencryptedHTTP2(true)
		s.Config.Protocols = &p
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// trust returns r with trust in the certificate of s.
func trust(s *httptest.Server, r Request) Request {
	if s.TLS != nil {
		r.TLS = s.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
		r.TLS.NextProtos = nil
	}
	return r
}

func TestHTTP2(t *testing.T) {
	for _, overTLS := range []bool{true, false} {
		for _, fresh := range []bool{true, false} {
			t.Run(fmt.Sprintf("TLS %v, fresh %v", overTLS, fresh), func(t *testing.T) {
				var proto atomic.Pointer[string]
				connections := make(chan string, 5)
				server := serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
					proto.Store(&r.Proto)
					connections <- r.RemoteAddr
					echo(w, r)
				}, overTLS)
				s, err := newSender(trust(server, Request{URL: server.URL, HTTP2: true, Echo: true, Fresh: fresh}))
				if err != nil {
					t.Fatal(err)
				}
				defer s.close()
				seen := map[string]bool{}
				for i := range 5 {
					var got Sample
					s.send(t.Context(), soon(), &got)
					seen[<-connections] = true
					if got.Class != OK || got.Reused != (i > 0 && !fresh) || *proto.Load() != "HTTP/2.0" {
						t.Errorf("attempt %d over %s: %+v", i, *proto.Load(), got)
					}
				}
				if want := map[bool]int{true: 5, false: 1}[fresh]; len(seen) != want {
					t.Errorf("%d connections, want %d", len(seen), want)
				}
			})
		}
	}
}

func TestH2CByScheme(t *testing.T) {
	server := serveHTTP2(t, echo, false)
	if s := once(t, Request{URL: strings.Replace(server.URL, "http:", "h2c:", 1), Echo: true}, 5*time.Second); s.Class != OK {
		t.Errorf("class = %s (%s), want ok", s.Class, s.Error)
	}
}

func TestHTTP2AndNothingElse(t *testing.T) {
	ours := newAuthority(t, "ours")
	certificate := ours.issue(t, time.Now().Add(time.Hour), nil, net.IPv4(127, 0, 0, 1))
	refuses := httptest.NewUnstartedServer(http.HandlerFunc(echo)) // offers HTTP/1.1 only
	refuses.Config.ErrorLog = log.New(io.Discard, "", 0)
	refuses.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	refuses.StartTLS()
	defer refuses.Close()
	silent := httptest.NewUnstartedServer(http.HandlerFunc(echo)) // does not negotiate
	silent.Listener = tls.NewListener(silent.Listener, &tls.Config{Certificates: []tls.Certificate{certificate}})
	silent.Start()
	defer silent.Close()
	for name, c := range map[string]struct {
		url  string
		want Class
	}{
		"server offers another":     {refuses.URL, FailTLS},
		"server does not negotiate": {strings.Replace(silent.URL, "http:", "https:", 1), FailBody},
		"without TLS":               {serve(t, echo), FailReset}, // which is how the server ends it
	} {
		r := Request{URL: c.url, HTTP2: true}
		if strings.HasPrefix(c.url, "https") {
			r.TLS = ours.trusted()
		}
		if s := once(t, r, 5*time.Second); s.Class != c.want {
			t.Errorf("%s: class = %s (%s), want %s", name, s.Class, s.Error, c.want)
		}
	}
}

// refuseSecond speaks HTTP/2 and answers every stream of a connection but the second one, which it refuses.
func refuseSecond(c *net.TCPConn) {
	io.ReadFull(c, make([]byte, len(http2.ClientPreface)))
	f := http2.NewFramer(c, c)
	f.WriteSettings()
	var block bytes.Buffer
	hpack.NewEncoder(&block).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	for streams := 0; ; {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		if _, ok := frame.(*http2.HeadersFrame); !ok {
			continue
		}
		if streams++; streams == 2 {
			f.WriteRSTStream(frame.Header().StreamID, http2.ErrCodeRefusedStream)
		} else {
			f.WriteHeaders(http2.HeadersFrameParam{
				StreamID: frame.Header().StreamID, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true,
			})
		}
	}
}

func TestARefusedStreamIsNotRetriedSilently(t *testing.T) {
	s, err := newSender(Request{URL: listen(t, refuseSecond), HTTP2: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	var first, second Sample
	s.send(t.Context(), soon(), &first)
	s.send(t.Context(), soon(), &second)
	if first.Class != OK || second.Class != FailReset {
		t.Errorf("%+v, then %+v; want ok, then a reset", first, second)
	}
}

func TestAnEndlessRedirectIsAStatus(t *testing.T) {
	var asked atomic.Int64
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, fmt.Sprint("/", asked.Add(1)), http.StatusFound)
	})
	if s := once(t, Request{URL: url}, 5*time.Second); s.Class != FailStatus || s.Status != 302 {
		t.Errorf("%+v, want fail:status with 302", s)
	}
	if s := once(t, Request{URL: url, Want: Expectation{Status: "3xx"}}, 5*time.Second); s.Class != OK {
		t.Errorf("%+v, want ok where 3xx is expected", s)
	}
	if asked.Load() != 2 {
		t.Errorf("asked %d times in two attempts", asked.Load())
	}
}

func TestAGigabyteIsNeitherReadNorKept(t *testing.T) {
	const size = 1 << 30
	var written atomic.Int64
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(size))
		for block := make([]byte, 64<<10); written.Load() < size; {
			n, err := w.Write(block)
			if written.Add(int64(n)); err != nil {
				return
			}
		}
	})
	for name, c := range map[string]struct {
		want Expectation
		is   Class
	}{
		"no expectation": {Expectation{}, OK},
		"contains":       {Expectation{Contains: "end"}, FailBody},
		"sha256":         {Expectation{SHA256: strings.Repeat("0", 64)}, FailBody},
	} {
		t.Run(name, func(t *testing.T) {
			written.Store(0)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			s := once(t, Request{URL: url, Want: c.want}, 5*time.Second)
			runtime.ReadMemStats(&after)
			if s.Class != c.is {
				t.Errorf("class = %s (%s), want %s", s.Class, s.Error, c.is)
			}
			if grown := after.TotalAlloc - before.TotalAlloc; grown > 16*maxBody {
				t.Errorf("%d bytes were allocated, server's included", grown)
			}
			if written.Load() >= size {
				t.Error("the whole body was read")
			}
		})
	}
}

func TestASlowDripEndsAtTheDeadline(t *testing.T) {
	drip := func(c *net.TCPConn) {
		answers("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")(c)
		for {
			if _, err := io.WriteString(c, "."); err != nil {
				return
			}
			time.Sleep(ms) // the drip itself
		}
	}
	for name, want := range map[string]Expectation{"no expectation": {}, "contains": {Contains: "end"}} {
		begin := time.Now()
		s := once(t, Request{URL: listen(t, drip), Want: want}, 100*ms)
		if s.Class != FailTimeout || time.Since(begin) < 100*ms {
			t.Errorf("%s: %s (%s) after %v, want a timeout after 100ms", name, s.Class, s.Error, time.Since(begin))
		}
	}
}

func TestEndlessHeadersEnd(t *testing.T) {
	url := listen(t, func(c *net.TCPConn) {
		answers("HTTP/1.1 200 OK\r\n")(c)
		for line := "X: " + strings.Repeat("x", 1000) + "\r\n"; ; {
			if _, err := io.WriteString(c, line); err != nil {
				return
			}
		}
	})
	if s := once(t, Request{URL: url}, 5*time.Second); s.Class != FailBody {
		t.Errorf("class = %s (%s), want %s", s.Class, s.Error, FailBody)
	}
}

func TestClosedAtAcceptIsReset(t *testing.T) {
	atOnce := func(*net.TCPConn) {}
	killed := func(c *net.TCPConn) { c.SetLinger(0) }
	for name, serve := range map[string]func(*net.TCPConn){"closed": atOnce, "reset": killed} {
		url := listen(t, serve)
		target := strings.TrimPrefix(url, "http")
		for kind, r := range map[string]Request{
			"http": {URL: url}, "fresh http": {URL: url, Fresh: true}, "h2c": {URL: "h2c" + target}, "grpc": {URL: "grpc" + target},
			"tcp": {URL: "tcp" + target, Send: []byte("PING\n"), Want: Expectation{Contains: "PONG"}},
		} {
			if s := once(t, r, 5*time.Second); s.Class != FailReset {
				t.Errorf("%s, %s: class = %s (%s), want %s", name, kind, s.Class, s.Error, FailReset)
			}
		}
	}
}

func TestPhases(t *testing.T) {
	server := serveHTTP2(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(5 * ms) // the server's own time
		echo(w, r)
	}, true)
	s, err := newSender(trust(server, Request{URL: server.URL}))
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	var first, second Sample
	s.send(t.Context(), soon(), &first)
	s.send(t.Context(), soon(), &second)
	if first.Connect <= 0 || first.Handshake <= 0 || first.FirstByte < 5*ms || first.DNS != 0 {
		t.Errorf("%+v, want times of connect, TLS and first byte, and no DNS for an address", first)
	}
	if second.Connect != 0 || second.Handshake != 0 || second.TLS != nil || second.FirstByte < 5*ms {
		t.Errorf("%+v, want the first byte only: the connection was there", second)
	}
}
