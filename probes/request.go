package probes

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"strings"
	"time"
)

// The headers that a probe sends and learns from.
const (
	NonceHeader    = "X-Gwdr-Nonce"
	InstanceHeader = "X-Gwdr-Instance"
	RegionHeader   = "X-Gwdr-Region"
)

// Request is what a Prober sends, without a proxy, and without silent retries. The scheme of URL says how:
//
//	http, https            GET over HTTP/1.1, or HTTP/2 if asked for; redirects are not followed
//	h2c                    GET over HTTP/2 without TLS
//	tcp://HOST:PORT        a new connection; Send and what is expected of the answer are optional
//	dns://SERVER:PORT/NAME a question at that server, ?type=A if not said (the form of RFC 4501)
//	grpc, grpcs            grpc.health.v1 Check; the path is the service, empty asks for the server as a whole
//
// A field that a scheme has no use for must not be set: see Schemes.
type Request struct {
	URL    string
	Host   string            // for the Host header; empty takes it from URL
	Header map[string]string // may hold a credential: never recorded
	Expect int               // status; 0 is 200
	Want   Expectation       // what else the answer must be
	Send   []byte            // TCP: to be sent first
	Echo   bool              // the answer must repeat X-Gwdr-Nonce
	Fresh  bool              // a new connection (DNS, TCP, TLS) for each attempt; else connections are kept alive
	HTTP2  bool              // HTTP/2 and nothing else: over TLS for https, without for http
	TLS    *tls.Config       // nil is the system's trust
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
}

// MaxFreshRate bounds the attempts a second that connect each time: there are 28,000 ports to connect from, and one that was
// used may not be free again for a minute.
const MaxFreshRate = 400

// Connects reports whether each attempt makes a connection of its own.
func (r Request) Connects() bool {
	scheme, _, _ := strings.Cut(r.URL, ":")
	kind, ok := SchemeOf(strings.ToLower(scheme))
	return r.Fresh || ok && !kind.KeepAlive
}

// maxBody bounds what is read of an answer, in bytes. A longer body is not read on, and its connection not used again.
const maxBody = 256 << 10

// sender makes the attempts of one Request. It is safe for concurrent use.
type sender interface {
	// send makes one attempt, until the deadline or the end of ctx, and writes down in sample what became of it.
	send(ctx context.Context, deadline time.Time, sample *Sample)
	// close gives up idle connections.
	close()
}

// newSender returns the sender for the scheme of r.URL.
func newSender(r Request) (sender, error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return nil, errors.New("malformed URL")
	}
	scheme, err := r.scheme(u)
	if err != nil {
		return nil, err
	}
	if r.dial == nil {
		r.dial = new(net.Dialer).DialContext
	}
	return scheme.open(r, u)
}

// keepsAlive reports whether one attempt goes over the connection of another.
func (r *Request) keepsAlive() bool {
	u, err := url.Parse(r.URL)
	if err != nil || r.Fresh {
		return false
	}
	s, _ := SchemeOf(u.Scheme)
	return s.KeepAlive
}
