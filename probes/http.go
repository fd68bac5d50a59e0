package probes

import (
	"context"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// The connections of HTTP/2 carry every attempt, so one that is dead must be found out: it is asked for a sign of life after
// pingAfter without any, and closed after another pingTimeout.
const (
	pingAfter   = time.Second
	pingTimeout = time.Second
)

// httpSender sends one GET again and again.
type httpSender struct {
	request   Request
	accepts   statuses
	prototype *http.Request
	transport *http.Transport
}

func newHTTPSender(r Request, u *url.URL) (sender, error) {
	if r.Expect == 0 {
		r.Expect = http.StatusOK
	}
	accepts := statuses{{r.Expect, r.Expect}}
	if r.Want.Status != "" {
		var err error
		if accepts, err = parseStatuses(r.Want.Status); err != nil {
			return nil, err
		}
	}
	if u.Scheme == "h2c" {
		u.Scheme, r.HTTP2 = "http", true
	}
	prototype := &http.Request{Method: http.MethodGet, URL: u, Host: r.Host, Header: http.Header{}, Proto: "HTTP/1.1"}
	for k, v := range r.Header {
		prototype.Header.Set(k, v)
	}
	return &httpSender{request: r, accepts: accepts, prototype: prototype, transport: newTransport(r)}, nil
}

// newTransport returns what makes the connections of r: HTTP/2 and nothing else if r.HTTP2, else HTTP/1.1.
func newTransport(r Request) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(!r.HTTP2)
	protocols.SetHTTP2(r.HTTP2)
	protocols.SetUnencryptedHTTP2(r.HTTP2)
	return &http.Transport{
		DialContext:            r.dial,
		TLSClientConfig:        r.TLS,
		Protocols:              &protocols,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
		DisableKeepAlives:      r.Fresh,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    1 << 10,
		MaxResponseHeaderBytes: maxBody,
	}
}

func (s *httpSender) close() { s.transport.CloseIdleConnections() }

func (s *httpSender) send(ctx context.Context, deadline time.Time, sample *Sample) {
	p, ctx := watch(ctx, deadline)
	nonce := strconv.FormatUint(rand.Uint64(), 16)
	request := s.prototype.WithContext(ctx)
	request.Header = maps.Clone(request.Header)
	request.Header[NonceHeader] = []string{nonce}
	response, err := s.transport.RoundTrip(request)
	if err == nil {
		p.answeredOver(response.TLS)
		err = s.read(response, nonce, sample)
	}
	p.end(sample, err)
}

// read checks the answer. The error is an *answerError if the answer is whole and wrong.
func (s *httpSender) read(response *http.Response, nonce string, sample *Sample) error {
	defer response.Body.Close()
	sample.Status = response.StatusCode
	sample.Instance = clip(response.Header.Get(InstanceHeader), maxName)
	sample.Region = clip(response.Header.Get(RegionHeader), maxName)
	want := &s.request.Want
	body, err := readBody(response.Body, want.readsBody())
	if err != nil {
		return err
	}
	if err := checkProtocol(s.request.HTTP2, response); err != nil {
		return err
	}
	if !s.accepts.has(response.StatusCode) {
		return &answerError{class: statusClass(response.StatusCode), text: "status is " + strconv.Itoa(response.StatusCode)}
	}
	if s.request.Echo && response.Header.Get(NonceHeader) != nonce {
		return wrong("answer belongs to another request")
	}
	if err := want.checkHeader(response.Header); err != nil {
		return err
	}
	return want.checkBody(body)
}

// checkProtocol refuses an answer over HTTP/1.1 where HTTP/2 was asked for: a TLS server that does not offer it gets there.
func checkProtocol(http2 bool, response *http.Response) error {
	if http2 && response.ProtoMajor != 2 {
		return wrong("answer is %s, not HTTP/2", response.Proto)
	}
	return nil
}

func statusClass(status int) Class {
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		return FailAuth
	}
	return FailStatus
}
