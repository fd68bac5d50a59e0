package probes

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
)

// The headers that a probe sends and learns from.
const (
	NonceHeader    = "X-Gwdr-Nonce"
	InstanceHeader = "X-Gwdr-Instance"
	RegionHeader   = "X-Gwdr-Region"
)

// Request is the GET that a Prober sends, over HTTP/1.1, without following redirects, without a proxy, and without the
// silent retries of net/http.
type Request struct {
	URL    string
	Host   string            // for the Host header; empty takes it from URL
	Header map[string]string // may hold a credential: never recorded
	Expect int               // status; 0 is 200
	Echo   bool              // the answer must repeat X-Gwdr-Nonce
	Fresh  bool              // a new connection (DNS, TCP, TLS) for each attempt; else connections are kept alive
	TLS    *tls.Config       // nil is the system's trust
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
}

// maxBody bounds what is read of an answer. A longer body is not read on, and its connection not used again.
const maxBody = 256 << 10

// sender sends one Request's attempts.
type sender struct {
	request   Request
	prototype *http.Request
	transport *http.Transport
}

func newSender(r Request) (*sender, error) {
	u, err := url.Parse(r.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("run prober: not an http or https URL: %q", r.URL)
	}
	prototype := &http.Request{Method: http.MethodGet, URL: u, Host: r.Host, Header: http.Header{}, Proto: "HTTP/1.1"}
	for k, v := range r.Header {
		prototype.Header.Set(k, v)
	}
	if r.Expect == 0 {
		r.Expect = http.StatusOK
	}
	if r.dial == nil {
		r.dial = new(net.Dialer).DialContext
	}
	return &sender{request: r, prototype: prototype, transport: &http.Transport{
		DialContext:         r.dial,
		TLSClientConfig:     r.TLS,
		DisableKeepAlives:   r.Fresh,
		DisableCompression:  true,
		MaxIdleConnsPerHost: 1 << 10,
	}}, nil
}

func (s *sender) close() { s.transport.CloseIdleConnections() }

// send makes one attempt and writes down in sample what became of it.
func (s *sender) send(ctx context.Context, sample *Sample) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	p := &progress{cancel: cancel}
	nonce := strconv.FormatUint(rand.Uint64(), 16)
	request := s.prototype.Clone(httptrace.WithClientTrace(ctx, p.trace()))
	request.Header.Set(NonceHeader, nonce)
	response, err := s.transport.RoundTrip(request)
	if err == nil {
		err = s.read(response, nonce, sample)
	}
	sample.Reused = p.reused.Load()
	sample.Class = p.classify(err)
	switch {
	case p.retried.Load():
		sample.Error = "kept-alive connection was lost"
	case err != nil:
		sample.Error = err.Error()
	}
}

// read checks the answer. The error is an *answerError if the answer is whole and wrong.
func (s *sender) read(response *http.Response, nonce string, sample *Sample) error {
	defer response.Body.Close()
	sample.Status = response.StatusCode
	sample.Instance = response.Header.Get(InstanceHeader)
	sample.Region = response.Header.Get(RegionHeader)
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, maxBody)); err != nil {
		return &bodyError{err}
	}
	if response.StatusCode != s.request.Expect {
		return &answerError{class: statusClass(response.StatusCode), text: "status is " + strconv.Itoa(response.StatusCode)}
	}
	if s.request.Echo && response.Header.Get(NonceHeader) != nonce {
		return &answerError{class: FailBody, text: "answer belongs to another request"}
	}
	return nil
}

func statusClass(status int) Class {
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		return FailAuth
	}
	return FailStatus
}

// progress is how far an attempt came. Its trace hooks run on goroutines of the transport.
type progress struct {
	cancel      context.CancelFunc
	connections atomic.Int32
	reused      atomic.Bool
	retried     atomic.Bool
	inTLS       atomic.Bool
	answered    atomic.Bool
}

func (p *progress) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn:              p.gotConn,
		TLSHandshakeStart:    func() { p.inTLS.Store(true) },
		TLSHandshakeDone:     func(_ tls.ConnectionState, err error) { p.inTLS.Store(err != nil) },
		GotFirstResponseByte: func() { p.answered.Store(true) },
	}
}

// gotConn ends the attempt when net/http is about to retry it on another connection: a client that retries silently
// hides an outage.
func (p *progress) gotConn(info httptrace.GotConnInfo) {
	if p.connections.Add(1) > 1 {
		p.retried.Store(true)
		p.cancel()
		return
	}
	p.reused.Store(info.Reused)
}
