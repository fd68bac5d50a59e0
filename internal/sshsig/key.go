package sshsig

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// PublicKey is an ed25519 public key. The zero value is no key.
type PublicKey struct {
	key ed25519.PublicKey
}

// ParsePublicKey reads a key as in a .pub file: `ssh-ed25519 BASE64 [comment]`.
func ParsePublicKey(text string) (PublicKey, error) {
	fields := strings.Fields(text)
	if len(fields) < 2 || fields[0] != ssh.KeyAlgoED25519 {
		return PublicKey{}, fmt.Errorf("parse public key: not of the form `%s BASE64`", ssh.KeyAlgoED25519)
	}
	blob, err := base64.StdEncoding.Strict().DecodeString(fields[1])
	if err != nil {
		return PublicKey{}, fmt.Errorf("parse public key: %w", err)
	}
	return parseWire(blob)
}

// parseWire reads the key in SSH wire format.
func parseWire(blob []byte) (PublicKey, error) {
	var w struct {
		Format string
		Key    []byte
	}
	if err := ssh.Unmarshal(blob, &w); err != nil {
		return PublicKey{}, fmt.Errorf("parse public key: %w", err)
	}
	if w.Format != ssh.KeyAlgoED25519 || len(w.Key) != ed25519.PublicKeySize {
		return PublicKey{}, fmt.Errorf("parse public key: it is of type %q, not %s", w.Format, ssh.KeyAlgoED25519)
	}
	return PublicKey{key: w.Key}, nil
}

func (k PublicKey) wire() []byte {
	return ssh.Marshal(struct {
		Format string
		Key    []byte
	}{ssh.KeyAlgoED25519, k.key})
}

// String returns the key as in a .pub file, without a comment.
func (k PublicKey) String() string {
	return ssh.KeyAlgoED25519 + " " + encodeBase64(k.wire())
}

// Fingerprint returns what ssh-keygen -l prints for the key: SHA256:...
func (k PublicKey) Fingerprint() string {
	key, err := ssh.ParsePublicKey(k.wire())
	if err != nil {
		return "no key"
	}
	return ssh.FingerprintSHA256(key)
}

// Equal reports whether both are the same key.
func (k PublicKey) Equal(other PublicKey) bool { return k.key.Equal(other.key) }

func encodeBase64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
