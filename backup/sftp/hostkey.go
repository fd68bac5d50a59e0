package sftp

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// HostKeyError says that the server did not show the host key that is trusted.
type HostKeyError struct {
	Host       string // host:port
	KnownHosts string // the file of trusted keys
	Offered    string // type and fingerprint of the key that the server showed
	Changed    bool   // the file has other keys of this host; otherwise it has none
	Revoked    bool   // the file says that the key is not to be trusted
}

// Error names the host, the key and the file.
func (e *HostKeyError) Error() string {
	switch {
	case e.Revoked:
		return fmt.Sprintf("host key of %s was revoked in %s: %s", e.Host, e.KnownHosts, e.Offered)
	case e.Changed:
		return fmt.Sprintf("host key of %s has changed: %s is not in %s", e.Host, e.Offered, e.KnownHosts)
	}
	return fmt.Sprintf("host key of %s is unknown: %s is not in %s", e.Host, e.Offered, e.KnownHosts)
}

// hostKeys are the keys that a known_hosts file has of one host.
type hostKeys struct {
	host, file string
	check      ssh.HostKeyCallback
	known      []knownhosts.KnownKey
	algorithms []string // to negotiate, those of known keys first; empty if the host is unknown
}

// readHostKeys reads the file. Where there is none, every host is unknown.
func readHostKeys(host, file string) (*hostKeys, error) {
	k := &hostKeys{host: host, file: file}
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		k.check = func(string, net.Addr, ssh.PublicKey) error { return &knownhosts.KeyError{} }
		return k, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read known hosts: %w", err)
	}
	if k.check, err = knownhosts.New(file); err != nil {
		return nil, fmt.Errorf("read known hosts: %w", err)
	}
	return k, k.find(content)
}

// find asks for the keys of the host with a key that nobody has.
func (k *hostKeys) find(content []byte) error {
	nobodys, err := ssh.NewPublicKey(ed25519.PublicKey(make([]byte, ed25519.PublicKeySize)))
	if err != nil {
		return err
	}
	var mismatch *knownhosts.KeyError
	if errors.As(k.check(k.host, &net.TCPAddr{}, nobodys), &mismatch) {
		k.known = mismatch.Want
	}
	if len(k.known) == 0 {
		return nil
	}
	lines := bytes.Split(content, []byte("\n"))
	for _, known := range k.known {
		if n := known.Line - 1; n < len(lines) && bytes.HasPrefix(bytes.TrimSpace(lines[n]), []byte("@cert-authority")) {
			k.algorithms = append(k.algorithms, certificateAlgorithms()...)
		}
		k.algorithms = append(k.algorithms, signatureAlgorithms(known.Key.Type())...)
	}
	slices.SortStableFunc(k.algorithms, func(a, b string) int { return certificatesFirst(a) - certificatesFirst(b) })
	// The others come last: a server that has only those gets to show its key, and is refused for it.
	k.algorithms = compact(append(k.algorithms, ssh.SupportedAlgorithms().HostKeys...))
	return nil
}

// certificateAlgorithms are those of certificates, which an authority can issue for keys of any type.
func certificateAlgorithms() []string {
	return []string{ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
		ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01}
}

// signatureAlgorithms are those that a key of the type can sign with. A server that has several keys shows the one that
// is asked for: without this it might show one that the file does not have.
func signatureAlgorithms(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256}
	}
	return []string{keyType}
}

func certificatesFirst(algorithm string) int {
	if strings.Contains(algorithm, "-cert-") {
		return 0
	}
	return 1
}

// compact drops what is there already.
func compact(list []string) []string {
	var kept []string
	for _, s := range list {
		if !slices.Contains(kept, s) {
			kept = append(kept, s)
		}
	}
	return kept
}

// verify is nil if the key is trusted to be the host's.
func (k *hostKeys) verify(remote net.Addr, key ssh.PublicKey) error {
	err := k.check(k.host, remote, key)
	if err == nil {
		return nil
	}
	e := &HostKeyError{Host: k.host, KnownHosts: k.file, Offered: key.Type() + " " + fingerprint(key), Changed: len(k.known) > 0}
	revoked, mismatch := (*knownhosts.RevokedError)(nil), (*knownhosts.KeyError)(nil)
	if e.Revoked = errors.As(err, &revoked); e.Revoked || errors.As(err, &mismatch) {
		return e
	}
	return fmt.Errorf("%w: %w", e, err) // of a certificate
}

// fingerprint is that of the key itself, also of one in a certificate.
func fingerprint(key ssh.PublicKey) string {
	if certificate, ok := key.(*ssh.Certificate); ok {
		key = certificate.Key
	}
	return ssh.FingerprintSHA256(key)
}
