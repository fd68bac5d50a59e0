package gateway

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
)

// KeySet is a JSON Web Key Set (RFC 7517): the public keys of an issuer of tokens, each with the algorithm that it is for. What is for
// another algorithm than those of Algorithms is left out as it is read. There is at least one key.
type KeySet struct {
	Keys []jose.JSONWebKey `json:"keys"`
}

// Algorithms returns those that tokens may be signed by (RFC 7518, RFC 8037).
func Algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.EdDSA}
}

// UnmarshalJSON also refuses a key that is no public one: who can read it can make tokens.
func (s *KeySet) UnmarshalJSON(text []byte) error {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(text, &set) != nil {
		return errors.New("a JWKS must be an object with a list of keys")
	}
	var kept []jose.JSONWebKey
	for i, one := range set.Keys {
		var k jose.JSONWebKey
		if k.UnmarshalJSON(one) != nil { // as RFC 7517, section 5, has it, a key that is not understood is ignored
			continue
		}
		if !k.IsPublic() {
			return fmt.Errorf("key %d of the JWKS is not a public one", i+1)
		}
		if by := algorithmOf(k); by != "" {
			kept = append(kept, jose.JSONWebKey{Key: k.Key, KeyID: k.KeyID, Algorithm: string(by), Use: forSignatures})
		}
	}
	if len(kept) == 0 {
		return errors.New("the JWKS has no key for RS256, ES256 or EdDSA")
	}
	s.Keys = kept
	return nil
}

const forSignatures = "sig"

// Sizes of RSA keys, in bits: RFC 7518, section 3.3, asks for the least, and the time that a check takes for a most.
const (
	minRSA = 2048
	maxRSA = 8192
)

// algorithmOf returns the algorithm that the key is for; empty if it is none of ours.
func algorithmOf(k jose.JSONWebKey) (by jose.SignatureAlgorithm) {
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		if bits := key.N.BitLen(); bits >= minRSA && bits <= maxRSA {
			by = jose.RS256
		}
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() {
			by = jose.ES256
		}
	case ed25519.PublicKey:
		by = jose.EdDSA
	}
	if k.Use != "" && k.Use != forSignatures || k.Algorithm != "" && k.Algorithm != string(by) {
		return ""
	}
	return by
}
