package cmd

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"gwdr/drills"
)

// probed runs gwdr probe, and wants the exit code, and that what it recorded verifies. SSL_CERT_FILE is the only file with
// certificates.
func probed(t *testing.T, certificates string, code int, args ...string) (drills.WatchResult, *os.ProcessState) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	home := t.TempDir()
	gwdr := func(args ...string) (*exec.Cmd, *bytes.Buffer, *bytes.Buffer) {
		var out, said bytes.Buffer
		c := exec.CommandContext(ctx, "gwdr", args...)
		c.Dir, c.Stdout, c.Stderr = home, &out, &said
		c.Env = append(os.Environ(), "HOME="+home, "XDG_STATE_HOME=", "XDG_CONFIG_HOME=", "SSL_CERT_FILE="+certificates, "GODEBUG=netdns=go")
		return c, &out, &said
	}
	c, out, said := gwdr(append([]string{"probe", "--json", "-q"}, args...)...)
	_ = c.Run() // the exit code says more
	if c.ProcessState.ExitCode() != code {
		t.Fatalf("exit code %d, want %d\n%s", c.ProcessState.ExitCode(), code, said)
	}
	var r drills.WatchResult
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if v, out, said := gwdr("report", "verify", r.Evidence); v.Run() != nil {
		t.Errorf("report verify: %s%s", out, said)
	}
	return r, c.ProcessState
}

// authority signs the certificates of a test's servers.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	file        string // for SSL_CERT_FILE
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{file: filepath.Join(t.TempDir(), "authority.pem")}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-72 * time.Hour), NotAfter: time.Now().Add(72 * time.Hour), KeyUsage: x509.KeyUsageCertSign}
	var der []byte
	der, a.key = a.sign(t, template)
	if err := os.WriteFile(a.file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if a.certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

// sign signs with the authority's key, or with the certificate's own while there is none.
func (a *authority) sign(t *testing.T, template *x509.Certificate) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parent, by := a.certificate, a.key
	if parent == nil {
		parent, by = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	return der, key
}

// serve serves h over TLS with a certificate for 127.0.0.1, or for the names if there are any.
func (a *authority) serve(t *testing.T, h http.Handler, notAfter time.Time, names ...string) (address string) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: notAfter, DNSNames: names}
	if len(names) == 0 {
		template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	der, key := a.sign(t, template)
	s := httptest.NewUnstartedServer(h)
	s.EnableHTTP2, s.Config.ErrorLog = true, log.New(io.Discard, "", 0)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// serveHTTP serves h over HTTP/1.1 and over HTTP/2 without TLS.
func serveHTTP(t *testing.T, h http.HandlerFunc) (address string) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.Protocols = &http.Protocols{}
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// serveTCP serves each connection with serve, and closes it.
func serveTCP(t *testing.T, serve func(net.Conn)) (address string) {
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
				serve(c)
			}()
		}
	}()
	return l.Addr().String()
}

// serveDNS answers the nth question, counted from 0, with the address or, for none, with NXDOMAIN.
func serveDNS(t *testing.T, answer func(n int64) [4]byte) (address string) {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		var asked atomic.Int64
		for datagram := make([]byte, 4096); ; {
			size, from, err := c.ReadFrom(datagram)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if err := m.Unpack(datagram[:size]); err != nil {
				continue
			}
			m.Response, m.Additionals = true, nil
			if a := answer(asked.Add(1) - 1); a == [4]byte{} {
				m.RCode = dnsmessage.RCodeNameError
			} else {
				header := dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET}
				m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: a}}}
			}
			if said, err := m.Pack(); err == nil {
				c.WriteTo(said, from)
			}
		}
	}()
	return c.LocalAddr().String()
}
