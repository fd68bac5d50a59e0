package proxy

import (
	"context"
	"net"
	"net/http"
	"net/http/httptrace"
	"time"

	"gwdr/gateway"
)

// transport makes requests of endpoints, by the scheme of the URL: http, https, or gateway.H2C.
type transport struct {
	lean  *lean           // HTTP/1.1 for requests that it takes
	usual *http.Transport // HTTP/1.1; HTTP/2 where TLS finds that out
	plain *http.Transport // HTTP/2 without TLS, from the first byte on (RFC 9113, section 3.3)
}

// newTransport keeps many idle connections, as all requests go to few hosts, and lets bodies pass as they are. The time
// to the response header is limited for all attempts together, by the exchange.
func newTransport(connect time.Duration) *transport {
	usual := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: connect, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   connect,
		MaxIdleConnsPerHost:   256,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true,
		ForceAttemptHTTP2:     true,
		WriteBufferSize:       16 << 10,
		ReadBufferSize:        16 << 10,
		HTTP2:                 &http.HTTP2Config{SendPingTimeout: 15 * time.Second}, // else nobody notices that a peer is gone
	}
	plain := usual.Clone()
	plain.Protocols = new(http.Protocols)
	plain.Protocols.SetUnencryptedHTTP2(true)
	return &transport{lean: newLean(usual), usual: usual, plain: plain}
}

// RoundTrip is ask without informational responses.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) { return t.ask(req, nil) }

// ask makes the request, whose URL it may change, and tells of informational responses. If inform is nil, the request's context may hold who
// is told, of which lean knows nothing.
func (t *transport) ask(req *http.Request, inform *inform) (*http.Response, error) {
	if inform != nil && t.lean.takes(req) {
		return t.lean.ask(req, inform)
	}
	if inform != nil {
		req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{Got1xxResponse: inform.got}))
	}
	by := t.usual
	if req.URL.Scheme == gateway.H2C {
		req.URL.Scheme = "http"
		by = t.plain
	}
	resp, err := by.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if err := checkStatus(resp); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// CloseIdleConnections closes those of both.
func (t *transport) CloseIdleConnections() {
	t.lean.close()
	t.usual.CloseIdleConnections()
	t.plain.CloseIdleConnections()
}

// once makes it use each connection for one request only. Nothing must have been asked yet.
func (t *transport) once() *transport {
	t.usual.DisableKeepAlives, t.plain.DisableKeepAlives = true, true
	return t
}

// divert makes all connections to the address, whatever the endpoints say, and none of them encrypted. Nothing must have been
// asked yet.
func (t *transport) divert(address string) {
	dial := t.usual.DialContext
	there := func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, "tcp", address) }
	t.usual.DialContext, t.usual.DialTLSContext, t.plain.DialContext = there, there, there
}
