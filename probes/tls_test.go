package probes

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// authority is a certificate authority of a test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) authority {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	key := newKey(t)
	return authority{sign(t, template, template, key, key), key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// issue makes a server's certificate, through an authority in between.
func (a authority) issue(t *testing.T, notAfter time.Time, names []string, addresses ...net.IP) tls.Certificate {
	t.Helper()
	between := newKey(t)
	middle := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "between"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}, a.certificate, between, a.key)
	key := newKey(t)
	leaf := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(3), Subject: pkix.Name{CommonName: "gateway"}, DNSNames: names, IPAddresses: addresses,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: notAfter,
	}, middle, key, between)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw, middle.Raw}, PrivateKey: key}
}

func (a authority) trusted() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return &tls.Config{RootCAs: pool}
}

func serveTLS(t *testing.T, h http.HandlerFunc, config *tls.Config) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.EnableHTTP2 = true
	s.TLS = config
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.URL
}

func TestTLSOfASample(t *testing.T) {
	ours, theirs := newAuthority(t, "ours"), newAuthority(t, "theirs")
	here := net.IPv4(127, 0, 0, 1)
	valid, past := time.Now().Add(time.Hour).Truncate(time.Second), time.Now().Add(-time.Hour).Truncate(time.Second)
	with := func(c tls.Certificate) *tls.Config { return &tls.Config{Certificates: []tls.Certificate{c}} }
	old := with(ours.issue(t, valid, nil, here))
	old.MaxVersion = tls.VersionTLS12
	for name, c := range map[string]struct {
		server *tls.Config
		class  Class
		want   TLS
	}{
		"valid":             {with(ours.issue(t, valid, nil, here)), OK, TLS{Version: "TLS 1.3", NotAfter: valid}},
		"older version":     {old, OK, TLS{Version: "TLS 1.2", NotAfter: valid}},
		"expired":           {with(ours.issue(t, past, nil, here)), FailTLS, TLS{Problem: Expired, NotAfter: past}},
		"wrong host":        {with(ours.issue(t, valid, []string{"another.example"})), FailTLS, TLS{Problem: WrongHost, NotAfter: valid}},
		"unknown authority": {with(theirs.issue(t, valid, nil, here)), FailTLS, TLS{Problem: UnknownAuthority, NotAfter: valid}},
	} {
		for _, http2 := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				r := Request{URL: serveTLS(t, echo, c.server.Clone()), TLS: ours.trusted(), HTTP2: http2}
				s := once(t, r, 5*time.Second)
				if s.Class != c.class || s.TLS == nil || s.TLS.Version != c.want.Version || s.TLS.Problem != c.want.Problem ||
					!s.TLS.NotAfter.Equal(c.want.NotAfter) {
					t.Errorf("%s (%s) with %+v, want %s with %+v", s.Class, s.Error, s.TLS, c.class, c.want)
				}
			})
		}
	}
}

func TestTLSFailuresWithoutACertificate(t *testing.T) {
	ours := newAuthority(t, "ours")
	server := &tls.Config{Certificates: []tls.Certificate{ours.issue(t, time.Now().Add(time.Hour), nil, net.IPv4(127, 0, 0, 1))}}
	client := ours.trusted()
	client.MaxVersion = tls.VersionTLS12
	server.MinVersion = tls.VersionTLS13
	plain := strings.TrimPrefix(serve(t, echo), "http")
	for name, r := range map[string]Request{
		"plain text":           {URL: "https" + plain},
		"plain text at gRPC":   {URL: "grpcs" + plain},
		"no version in common": {URL: serveTLS(t, echo, server), TLS: client},
	} {
		if s := once(t, r, 5*time.Second); s.Class != FailTLS || s.TLS != nil {
			t.Errorf("%s: %s (%s) with %+v, want %s", name, s.Class, s.Error, s.TLS, FailTLS)
		}
	}
}

// TestTLSIsKnownOfEveryConnection begins two attempts while there is no connection yet: each dials, and may be answered over
// the connection that the other one dialled.
func TestTLSIsKnownOfEveryConnection(t *testing.T) {
	ours := newAuthority(t, "ours")
	certificate := ours.issue(t, time.Now().Add(time.Hour), nil, net.IPv4(127, 0, 0, 1))
	for _, http2 := range []bool{false, true} {
		for range 30 {
			var both sync.WaitGroup
			both.Add(2)
			url := serveTLS(t, echo, &tls.Config{Certificates: []tls.Certificate{certificate}, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				both.Done()
				both.Wait()
				return nil, nil
			}})
			s, err := newSender(Request{URL: url, TLS: ours.trusted(), HTTP2: http2})
			if err != nil {
				t.Fatal(err)
			}
			var samples [2]Sample
			var sent sync.WaitGroup
			for i := range samples {
				sent.Go(func() { s.send(t.Context(), soon(), &samples[i]) })
			}
			sent.Wait()
			s.close()
			if samples[0].TLS == nil && samples[1].TLS == nil {
				t.Fatalf("HTTP/2 %v: no handshake is known of %+v and %+v", http2, samples[0], samples[1])
			}
		}
	}
}
