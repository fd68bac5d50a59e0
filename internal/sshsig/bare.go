package sshsig

import (
	"crypto/ed25519"
	"errors"
)

// SignBare returns the plain ed25519 signature of the message, 64 bytes, for formats that frame their content
// themselves so that it cannot be taken for an SSH signature's: DSSE does.
func (s *Signer) SignBare(message []byte) []byte { return ed25519.Sign(s.key, message) }

// VerifyBare checks a signature of SignBare. The key is the trusted one with the fingerprint, and must be trusted for
// the namespace, although a bare signature does not hold it. It returns the name of the key's holder.
func (t Trusted) VerifyBare(namespace, fingerprint string, message, signature []byte) (principal string, err error) {
	signer, err := t.find(namespace, fingerprint)
	if err != nil {
		return "", err
	}
	if !ed25519.Verify(signer.key.key, message, signature) {
		return "", errors.New("verify signature: it does not match the content")
	}
	return signer.principal, nil
}
