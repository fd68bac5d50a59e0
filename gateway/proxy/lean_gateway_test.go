package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gwdr/gateway"
)

// TestLongTrailer passes as far as the usual transport's buffer is large.
func TestLongTrailer(t *testing.T) {
	long := strings.Repeat("x", 10<<10)
	back := newPeer(t, func(_ int, c *peerConn) {
		c.serve("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Long\r\n\r\n1\r\nx\r\n0\r\nX-Long: " + long + "\r\n\r\n")
	})
	url := serve(t, newGateway(t, Options{}, upstreamOf("u", back.url), open("r", "/{x...}", "u")))
	client := &http.Client{Transport: &http.Transport{ReadBufferSize: 64 << 10, DisableKeepAlives: true}}
	resp, err := client.Get(url + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadAll(resp.Body); err != nil || resp.Trailer.Get("X-Long") != long {
		t.Errorf("%v; %d bytes", err, len(resp.Trailer.Get("X-Long")))
	}
}

// TestTimeIsOverAmidDial: that the time was over says as little about an endpoint as with the usual transport: it was not refused.
func TestTimeIsOverAmidDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, func(http.ResponseWriter, *http.Request) {}, func(_ *gateway.RouteBody, u *gateway.UpstreamBody) {
			u.Timeout = 100 * ms
		})
		b.upstream().transport.usual.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, &net.OpError{Op: "dial", Err: ctx.Err()} // as net.Dialer says it
		}
		resp, err := b.get(t, t.Context(), "/")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if e := b.upstream().endpoints[0]; resp.StatusCode != http.StatusGatewayTimeout || e.isEjected(time.Now()) || e.failures.Load() != 1 {
			t.Errorf("%d; ejected: %v, after %d failures", resp.StatusCode, e.isEjected(time.Now()), e.failures.Load())
		}
	})
}

// TestHintsToWhoOffersHTTP2: what offers an upgrade to HTTP/2, as curl does, passes without, and its answer whole.
func TestHintsToWhoOffersHTTP2(t *testing.T) {
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
	}))
	t.Cleanup(back.Close)
	url := serve(t, newGateway(t, Options{}, upstreamOf("u", back.URL), open("r", "/{x...}", "u")))
	hints := 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(int, textproto.MIMEHeader) error {
		hints++
		return nil
	}})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"h2c"}}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if hints != 1 {
		t.Errorf("%d hints", hints)
	}
}
