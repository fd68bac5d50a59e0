// Package sshsig makes and checks SSH signatures (SSHSIG) with ed25519 keys, so that ssh-keygen -Y verify can check
// what gwdr signed. The format is PROTOCOL.sshsig of OpenSSH.
package sshsig

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"golang.org/x/crypto/ssh"
)

const (
	magic        = "SSHSIG"
	version      = 1
	pemType      = "SSH SIGNATURE"
	maxSignature = 16 << 10 // of the armored text; one of ed25519 has 300 bytes
)

// Signer signs with one ed25519 key. Use NewSigner or ParseSigner.
type Signer struct {
	key     ed25519.PrivateKey
	comment string
}

// NewSigner returns a Signer with a new key. The comment is kept in the key's file.
func NewSigner(comment string) *Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil { // the system's random source does not fail
		panic("sshsig: generate key: " + err.Error())
	}
	return &Signer{key: key, comment: comment}
}

// ErrLocked is wrapped by ParseSigner if the key has a passphrase.
var ErrLocked = errors.New("the signing key has a passphrase")

// ErrPassphrase is wrapped by UnlockSigner if the passphrase is another.
var ErrPassphrase = errors.New("the passphrase is wrong")

// ParseSigner reads an OpenSSH private key file that holds an ed25519 key without a passphrase.
func ParseSigner(file []byte) (*Signer, error) {
	key, err := ssh.ParseRawPrivateKey(file)
	if missing := (*ssh.PassphraseMissingError)(nil); errors.As(err, &missing) {
		return nil, fmt.Errorf("parse signing key: %w", ErrLocked)
	}
	return newSigner(key, err)
}

// UnlockSigner reads an OpenSSH private key file that holds an ed25519 key with a passphrase.
func UnlockSigner(file, passphrase []byte) (*Signer, error) {
	key, err := ssh.ParseRawPrivateKeyWithPassphrase(file, passphrase)
	if errors.Is(err, x509.IncorrectPasswordError) {
		return nil, fmt.Errorf("parse signing key: %w", ErrPassphrase)
	}
	return newSigner(key, err)
}

func newSigner(key any, err error) (*Signer, error) {
	if err != nil {
		return nil, fmt.Errorf("parse signing key: %w", err)
	}
	ed, ok := key.(*ed25519.PrivateKey)
	if !ok || len(*ed) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("parse signing key: it is %T, not ed25519", key)
	}
	return &Signer{key: *ed}, nil
}

// Marshal returns the private key as an OpenSSH private key file.
func (s *Signer) Marshal() ([]byte, error) {
	block, err := ssh.MarshalPrivateKey(s.key, s.comment)
	if err != nil {
		return nil, fmt.Errorf("marshal signing key: %w", err)
	}
	return pem.EncodeToMemory(block), nil
}

// Public returns the signer's public key.
func (s *Signer) Public() PublicKey {
	return PublicKey{key: s.key.Public().(ed25519.PublicKey)}
}

// String names the key by its fingerprint, never by its secret.
func (s *Signer) String() string { return s.Public().Fingerprint() }

// Sign returns the armored signature of the message. The namespace says what the message is for: a signature made for
// one namespace is worth nothing in another. The same key, namespace and message make the same bytes.
func (s *Signer) Sign(namespace string, message []byte) []byte {
	const hash = "sha512"
	signature := ed25519.Sign(s.key, signedData(namespace, hash, message))
	blob := append([]byte(magic), ssh.Marshal(envelope{
		Version:   version,
		PublicKey: s.Public().wire(),
		Namespace: namespace,
		Hash:      hash,
		Signature: ssh.Marshal(wireSignature{Format: ssh.KeyAlgoED25519, Blob: signature}),
	})...)
	return armor(blob)
}

// envelope is what follows the magic in a signature.
type envelope struct {
	Version   uint32
	PublicKey []byte
	Namespace string
	Reserved  string
	Hash      string
	Signature []byte
}

type wireSignature struct {
	Format string
	Blob   []byte
}

// signedData is what the key signs. The hash must be one that parse accepts.
func signedData(namespace, hash string, message []byte) []byte {
	var sum []byte
	if hash == "sha256" {
		s := sha256.Sum256(message)
		sum = s[:]
	} else {
		s := sha512.Sum512(message)
		sum = s[:]
	}
	return append([]byte(magic), ssh.Marshal(struct {
		Namespace, Reserved, Hash string
		Sum                       []byte
	}{namespace, "", hash, sum})...)
}

// parsed is a signature whose form is right; nothing is verified yet.
type parsed struct {
	key       PublicKey
	namespace string
	hash      string
	signature []byte
}

// parse reads an armored signature. Text before or after the armor is an error.
func parse(text []byte) (parsed, error) {
	if len(text) > maxSignature {
		return parsed{}, errors.New("signature is too long")
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != pemType || len(block.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 ||
		!bytes.HasPrefix(text, []byte("-----BEGIN ")) {
		return parsed{}, errors.New("not an SSH signature")
	}
	blob, ok := bytes.CutPrefix(block.Bytes, []byte(magic))
	if !ok {
		return parsed{}, errors.New("not an SSH signature")
	}
	var e envelope
	if err := ssh.Unmarshal(blob, &e); err != nil {
		return parsed{}, fmt.Errorf("malformed SSH signature: %w", err)
	}
	// Base64 has bits that count for nothing: a flipped one must be seen, and one signature has one form.
	if !bytes.Equal(armor(block.Bytes), text) {
		return parsed{}, errors.New("SSH signature is not in the form of ssh-keygen")
	}
	if e.Version != version {
		return parsed{}, fmt.Errorf("SSH signature has version %d, not %d", e.Version, version)
	}
	if e.Hash != "sha256" && e.Hash != "sha512" {
		return parsed{}, fmt.Errorf("SSH signature uses the hash %q", e.Hash)
	}
	return e.open()
}

func (e envelope) open() (parsed, error) {
	key, err := parseWire(e.PublicKey)
	if err != nil {
		return parsed{}, err
	}
	var s wireSignature
	if err := ssh.Unmarshal(e.Signature, &s); err != nil {
		return parsed{}, fmt.Errorf("malformed SSH signature: %w", err)
	}
	if s.Format != ssh.KeyAlgoED25519 || len(s.Blob) != ed25519.SignatureSize {
		return parsed{}, fmt.Errorf("SSH signature is of type %q, not %s", s.Format, ssh.KeyAlgoED25519)
	}
	return parsed{key: key, namespace: e.Namespace, hash: e.Hash, signature: s.Blob}, nil
}

// armor wraps the blob as ssh-keygen does, with lines of 70 characters.
func armor(blob []byte) []byte {
	var out bytes.Buffer
	out.WriteString("-----BEGIN " + pemType + "-----\n")
	text := encodeBase64(blob)
	for len(text) > 70 {
		out.WriteString(text[:70] + "\n")
		text = text[70:]
	}
	out.WriteString(text + "\n-----END " + pemType + "-----\n")
	return out.Bytes()
}
