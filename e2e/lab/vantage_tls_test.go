package lab

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"gwdr/drills"
)

// certificate writes one for the loopback that signs itself, and its key.
func (u *user) certificate() (cert, key string) {
	u.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		u.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "agent"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		u.t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		u.t.Fatal(err)
	}
	return u.write("cert.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))),
		u.write("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})))
}

// TestVantageTLS: an agent that other machines can reach speaks TLS, and who it is must be proven.
func TestVantageTLS(t *testing.T) {
	u, server := newUser(t), newFlaky(t)
	cert, key := u.certificate()
	eu := u.agent("eu", "", "--cert", cert, "--key", key)
	args := []string{"probe", server.URL, "--vantage", "eu=" + strings.Replace(eu.url, "http:", "https:", 1), "--for", "1s", "--baseline", "500ms", "--json"}
	contains(t, u.want(1, args...).stderr, "vantage point eu: ", "certificate signed by unknown authority")
	u.env = append(u.env, "SSL_CERT_FILE="+cert)
	r := decode[drills.WatchResult](t, u.want(0, args...).stdout)
	if v := r.Vantages[0]; !v.Whole || v.Unknown > 0 || series(t, r, "eu: fresh").Requests.OK == 0 {
		t.Errorf("%+v", v)
	}
	if code := eu.end(t, syscall.SIGTERM); code != 0 {
		t.Errorf("agent: exit code %d", code)
	}
}
