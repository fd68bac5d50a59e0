package sftp_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/crypto/ssh/knownhosts"

	"gwdr/backup/sftp"
)

// TestHostKeys: a host key that is not trusted is an error that says which, and nothing is logged in to.
func TestHostKeys(t *testing.T) {
	other, _ := newKey(t, "")
	line := func(marker string, key ssh.PublicKey) string {
		return marker + knownhosts.Line([]string{"nas.test"}, key) + "\n"
	}
	ecdsaKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecdsaPublic, err := ssh.NewPublicKey(&ecdsaKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		known func(real string) string
		want  sftp.HostKeyError // what matters of it
		text  string
	}{
		"unknown":        {func(string) string { return knownhosts.Line([]string{"elsewhere.test"}, other.PublicKey()) + "\n" }, sftp.HostKeyError{}, "is unknown: ssh-ed25519 SHA256:"},
		"other port":     {func(real string) string { return strings.Replace(real, "nas.test", "[nas.test]:2222", 1) }, sftp.HostKeyError{}, "is unknown"},
		"changed":        {func(string) string { return line("", other.PublicKey()) }, sftp.HostKeyError{Changed: true}, "has changed: ssh-ed25519 SHA256:"},
		"type changed":   {func(string) string { return line("", ecdsaPublic) }, sftp.HostKeyError{Changed: true}, "has changed: ssh-ed25519 SHA256:"},
		"revoked":        {func(real string) string { return real + "@revoked " + real }, sftp.HostKeyError{Revoked: true}, "was revoked"},
		"no certificate": {func(string) string { return line("@cert-authority ", ecdsaPublic) }, sftp.HostKeyError{Changed: true}, "has changed: ssh-ed25519 SHA256:"},
	} {
		s := newServer(t)
		real, err := os.ReadFile(s.known)
		if err != nil {
			t.Fatal(err)
		}
		write(t, s.known, c.known(string(real)))
		err = sftp.Open(s.options(t)).Init(t.Context())
		trust := (*sftp.HostKeyError)(nil)
		if !errors.As(err, &trust) || trust.Host != "nas.test:22" || trust.KnownHosts != s.known || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want a HostKeyError with %q", name, err, c.text)
			continue
		}
		if trust.Revoked != c.want.Revoked || !trust.Revoked && trust.Changed != c.want.Changed {
			t.Errorf("%s: %+v", name, trust)
		}
		if _, err := os.Stat(s.dir()); err == nil {
			t.Errorf("%s: the location was made", name)
		}
	}
}

// TestKnownHostsMissing: without the file no host is known.
func TestKnownHostsMissing(t *testing.T) {
	s := newServer(t)
	if err := os.Remove(s.known); err != nil {
		t.Fatal(err)
	}
	trust := (*sftp.HostKeyError)(nil)
	if err := sftp.Open(s.options(t)).Init(t.Context()); !errors.As(err, &trust) || trust.Changed {
		t.Errorf("Init = %v, want a HostKeyError", err)
	}
}

// TestSeveralHostKeys: of a server with several keys the known one is asked for.
func TestSeveralHostKeys(t *testing.T) {
	s := newServer(t)
	second, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromSigner(second)
	if err != nil {
		t.Fatal(err)
	}
	s.config.AddHostKey(signer)
	s.open(t)
	write(t, s.known, knownhosts.Line([]string{"nas.test"}, signer.PublicKey())+"\n")
	s.open(t)
}

// TestHostCertificate: an authority for the host is trusted with whatever key it signed.
func TestHostCertificate(t *testing.T) {
	s := newServer(t)
	authority, _ := newKey(t, "")
	host, _ := newKey(t, "")
	certificate := &ssh.Certificate{Key: host.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{"nas.test"}, ValidBefore: ssh.CertTimeInfinity}
	if err := certificate.SignCert(rand.Reader, authority); err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewCertSigner(certificate, host)
	if err != nil {
		t.Fatal(err)
	}
	s.config.AddHostKey(signer)
	write(t, s.known, "@cert-authority *.test "+string(ssh.MarshalAuthorizedKey(authority.PublicKey())))
	domain, err := s.open(t).Domain(t.Context())
	if want := ssh.FingerprintSHA256(host.PublicKey()); err != nil || !strings.HasSuffix(domain, want) {
		t.Errorf("Domain() = %q, %v; want %s", domain, err, want)
	}
}

// TestLogin: the key that was named, or those of the agent and the default files; and errors that say what was tried.
func TestLogin(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	wrong, locked, none := filepath.Join(dir, "wrong"), filepath.Join(dir, "locked"), filepath.Join(dir, "none")
	_, content := newKey(t, "")
	write(t, wrong, string(content))
	_, content = newKey(t, "correct horse")
	write(t, locked, string(content))
	for name, c := range map[string]struct {
		edit func(*sftp.Options)
		text string // of the error; empty if it works
	}{
		"named":           {func(o *sftp.Options) {}, ""},
		"wrong":           {func(o *sftp.Options) { o.Key = wrong }, "log in as backup with " + wrong},
		"locked":          {func(o *sftp.Options) { o.Key = locked }, "passphrase"},
		"missing":         {func(o *sftp.Options) { o.Key = none }, "no such file"},
		"no key":          {func(o *sftp.Options) { o.Key = "" }, "with no key"},
		"defaults":        {func(o *sftp.Options) { o.Key, o.DefaultKeys = "", []string{none, locked, wrong, s.key} }, ""},
		"agent":           {func(o *sftp.Options) { o.Key, o.Agent = "", serveAgent(t, s.key) }, ""},
		"agent is gone":   {func(o *sftp.Options) { o.Key, o.Agent, o.DefaultKeys = "", none, []string{s.key} }, ""},
		"agent's wrong":   {func(o *sftp.Options) { o.Key, o.Agent = "", serveAgent(t, wrong) }, "with 1 of the ssh-agent"},
		"not the agent's": {func(o *sftp.Options) { o.Key, o.Agent = wrong, serveAgent(t, s.key) }, "with " + wrong},
	} {
		o := s.options(t)
		c.edit(&o)
		err := sftp.Open(o).Init(t.Context())
		if (err == nil) != (c.text == "") || err != nil && !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v, want %q", name, err, c.text)
		}
	}
}

// serveAgent returns the socket of an agent that has the key.
func serveAgent(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParseRawPrivateKey(content)
	if err != nil {
		t.Fatal(err)
	}
	keyring := agent.NewKeyring()
	if err := keyring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "gwdr") // a socket's path must be short
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "agent")
	listener, err := (&net.ListenConfig{}).Listen(context.WithoutCancel(t.Context()), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		listener.Close()
		os.RemoveAll(dir)
	})
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go agent.ServeAgent(keyring, conn)
		}
	}()
	return socket
}
