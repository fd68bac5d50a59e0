package certs

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// write makes a certificate for the host, and returns its serial number.
func (p Pair) write(t *testing.T, host string, expires time.Time) *big.Int {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, _ := rand.Int(rand.Reader, big.NewInt(1<<62))
	made := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: expires.Add(-time.Hour), NotAfter: expires}
	der, err := x509.CreateCertificate(rand.Reader, made, made, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, p.Cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	put(t, p.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
	return serial
}

// put replaces the file, which gets another time: those of a bubble stand still.
func put(t *testing.T, file string, text []byte) {
	t.Helper()
	at := time.Unix(1, 0)
	if info, err := os.Stat(file); err == nil {
		at = info.ModTime().Add(time.Second)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(file, at, at); err != nil {
		t.Fatal(err)
	}
}

func pairIn(dir, name string) Pair {
	return Pair{Cert: filepath.Join(dir, name+".pem"), Key: filepath.Join(dir, name+".key")}
}

// served is the serial number of the certificate that a client gets who asks for the host.
func served(t *testing.T, s *Set, host string) string {
	t.Helper()
	client, server := net.Pipe()
	go func() {
		defer server.Close()
		_ = tls.Server(server, s.Config()).Handshake()
	}()
	defer client.Close()
	c := tls.Client(client, &tls.Config{ServerName: host, InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		t.Fatal(err)
	}
	return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// TestRenewed: each host has its certificate; what is renewed is served, what is broken is not, and said once.
func TestRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, expires := t.TempDir(), time.Now().Add(time.Hour)
		a, b := pairIn(dir, "a"), pairIn(dir, "b")
		first, second := a.write(t, "a.example", expires), b.write(t, "b.example", expires.Add(-time.Minute))
		var log bytes.Buffer
		s, err := Load([]Pair{a, b}, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		want := func(what, host string, serial *big.Int) {
			t.Helper()
			time.Sleep(2 * lookAgain)
			for range 2 {
				if got := served(t, s, host); got != serial.String() {
					t.Errorf("%s: %s gets %s, want %s", what, host, got, serial)
				}
			}
		}
		want("at first", "a.example", first)
		want("at first", "b.example", second)
		want("a host that nobody knows", "c.example", first)
		if at := s.Expires(); !at.Equal(expires.Add(-time.Minute).UTC().Truncate(time.Second)) {
			t.Errorf("expires %s", at)
		}
		second = b.write(t, "b.example", expires)
		want("renewed", "b.example", second)
		want("not renewed", "a.example", first)
		put(t, b.Cert, []byte("-----BEGIN CERTIFICATE-----\n"))
		want("broken", "b.example", second)
		if n := strings.Count(log.String(), "not renewed"); n != 1 {
			t.Errorf("said %d times: %s", n, &log)
		}
		if err := os.Remove(b.Cert); err != nil {
			t.Fatal(err)
		}
		want("gone", "b.example", second)
		second = b.write(t, "b.example", expires)
		want("back", "b.example", second)
	})
}

func TestLoadRefuses(t *testing.T) {
	dir := t.TempDir()
	a, b := pairIn(dir, "a"), pairIn(dir, "b")
	a.write(t, "a.example", time.Now())
	b.write(t, "b.example", time.Now())
	for name, c := range map[string]struct {
		pairs []Pair
		want  string
	}{
		"none":     {nil, "there is none"},
		"gone":     {[]Pair{a, pairIn(dir, "c")}, "there is no " + filepath.Join(dir, "c.pem")},
		"mismatch": {[]Pair{{a.Cert, b.Key}}, "private key does not match public key"},
		"swapped":  {[]Pair{{a.Key, a.Cert}}, "a.key with"},
	} {
		if _, err := Load(c.pairs, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
