package probes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// progress is how far an attempt came, and when. Its trace hooks run on goroutines of net/http and net, some of them after
// the attempt has ended.
type progress struct {
	start       time.Time
	cancel      context.CancelFunc
	connections atomic.Int32
	reused      atomic.Bool
	retried     atomic.Bool
	inTLS       atomic.Bool
	answered    atomic.Bool
	handshake   atomic.Pointer[tls.ConnectionState]

	dns, connect, tls, firstByte phase
}

// phase is one step of an attempt, in nanoseconds since the attempt's start.
type phase struct{ from, to atomic.Int64 }

func (p *phase) length() time.Duration {
	if to := p.to.Load(); to > 0 {
		return time.Duration(to - p.from.Load())
	}
	return 0
}

// watch returns the progress of an attempt that begins now and is made with the returned context, which ends at the
// deadline.
func watch(ctx context.Context, deadline time.Time) (*progress, context.Context) {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	p := &progress{start: time.Now(), cancel: cancel}
	return p, httptrace.WithClientTrace(ctx, p.trace())
}

func (p *progress) now() int64 { return int64(time.Since(p.start)) }

func (p *progress) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSStart:             func(httptrace.DNSStartInfo) { p.dns.from.Store(p.now()) },
		DNSDone:              func(httptrace.DNSDoneInfo) { p.dns.to.Store(p.now()) },
		ConnectStart:         func(string, string) { p.connect.from.CompareAndSwap(0, p.now()) },
		ConnectDone:          p.connectDone,
		TLSHandshakeStart:    p.tlsStart,
		TLSHandshakeDone:     p.tlsDone,
		GotConn:              p.gotConn,
		GotFirstResponseByte: p.gotFirstByte,
	}
}

// connectDone is called once for each address that was tried.
func (p *progress) connectDone(_, _ string, err error) {
	if err == nil {
		p.connect.to.Store(p.now())
	}
}

func (p *progress) tlsStart() {
	p.tls.from.Store(p.now())
	p.inTLS.Store(true)
}

func (p *progress) tlsDone(state tls.ConnectionState, err error) {
	p.inTLS.Store(err != nil)
	if err == nil {
		p.tls.to.Store(p.now())
		p.handshake.Store(&state)
	}
}

// answeredOver notes what the connection's handshake showed, nil if it had none. The attempt that is the first on a connection may
// not be the one that dialled it, and then saw no handshake.
func (p *progress) answeredOver(state *tls.ConnectionState) {
	if state != nil {
		p.handshake.CompareAndSwap(nil, state)
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
	p.connected()
}

// connected notes that an answer may come from now on.
func (p *progress) connected() { p.firstByte.from.Store(p.now()) }

func (p *progress) gotFirstByte() {
	p.answered.Store(true)
	p.firstByte.to.CompareAndSwap(0, p.now())
}

// over says that the attempt begins anew over another connection, which all its steps are to be of.
func (p *progress) over() {
	for _, step := range []*phase{&p.dns, &p.connect, &p.firstByte} {
		step.from.Store(0)
		step.to.Store(0)
	}
	p.answered.Store(false)
}

// end writes down in sample how the attempt ended: with err, or ok.
func (p *progress) end(sample *Sample, err error) {
	p.cancel()
	sample.Class = p.classify(err)
	sample.FirstByte = p.firstByte.length()
	sample.Reused = p.reused.Load()
	if !sample.Reused { // else a dial that net/http began for this attempt served another one
		sample.DNS, sample.Connect, sample.Handshake = p.dns.length(), p.connect.length(), p.tls.length()
		sample.TLS = newTLS(p.handshake.Load(), err)
	}
	switch {
	case p.retried.Load():
		sample.Error = "connection was lost, or refused the request"
	case err != nil:
		sample.Error = clip(err.Error(), maxError)
	}
}

// newTLS returns what a handshake showed, nil if that is nothing.
func newTLS(state *tls.ConnectionState, err error) *TLS {
	var refused *tls.CertificateVerificationError
	switch {
	case state != nil:
		t := &TLS{Version: tls.VersionName(state.Version)}
		if len(state.PeerCertificates) > 0 {
			t.NotAfter = state.PeerCertificates[0].NotAfter
		}
		return t
	case errors.As(err, &refused):
		t := &TLS{Problem: tlsProblem(refused)}
		if len(refused.UnverifiedCertificates) > 0 {
			t.NotAfter = refused.UnverifiedCertificates[0].NotAfter
		}
		return t
	default:
		return nil
	}
}

func tlsProblem(err error) TLSProblem {
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, new(x509.HostnameError)):
		return WrongHost
	case errors.As(err, new(x509.UnknownAuthorityError)):
		return UnknownAuthority
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return Expired
	default:
		return Invalid
	}
}
