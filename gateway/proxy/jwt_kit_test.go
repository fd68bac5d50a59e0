package proxy

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"gwdr/gateway"
)

// signer makes the tokens of an issuer.
type signer struct {
	id      string
	by      jose.SignatureAlgorithm
	private any
	public  any
}

// rsaKey takes long to make.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

func newSigner(t testing.TB, id string, by jose.SignatureAlgorithm) signer {
	t.Helper()
	s := signer{id: id, by: by}
	var err error
	switch by {
	case jose.RS256:
		var k *rsa.PrivateKey
		if k, err = rsaKey(); err == nil {
			s.private, s.public = k, k.Public()
		}
	case jose.ES256:
		var k *ecdsa.PrivateKey
		if k, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err == nil {
			s.private, s.public = k, k.Public()
		}
	case jose.EdDSA:
		s.public, s.private, err = ed25519.GenerateKey(rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// token signs the claims; those that are nil are left out of what is usual.
func (s signer) token(t testing.TB, changed map[string]any, header ...any) string {
	t.Helper()
	all := map[string]any{"iss": "https://id.example", "aud": "api", "sub": "ann", "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(all, changed)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	options := new(jose.SignerOptions)
	if s.id != "" {
		options.WithHeader("kid", s.id)
	}
	for i := 0; i < len(header); i += 2 {
		options.WithHeader(jose.HeaderKey(header[i].(string)), header[i+1])
	}
	signing, err := jose.NewSigner(jose.SigningKey{Algorithm: s.by, Key: s.private}, options)
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.Signed(signing).Claims(all).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// keySetOf is the JWKS of the signers.
func keySetOf(t testing.TB, signers ...signer) *gateway.KeySet {
	t.Helper()
	var set jose.JSONWebKeySet
	for _, s := range signers {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: s.public, KeyID: s.id})
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	read := new(gateway.KeySet)
	if err := json.Unmarshal(text, read); err != nil {
		t.Fatal(err)
	}
	return read
}

// issuerOf is one whose keys are part of the configuration.
func issuerOf(t testing.TB, name string, signers ...signer) gateway.Entity {
	return entity(gateway.Setting, "jwt-"+name, gateway.IssuerBody{Issuer: "https://id.example", Audiences: []string{"api"}, JWKS: keySetOf(t, signers...)})
}

// tokenRoute is /ID.
func tokenRoute(id, auth string, scopes ...string) gateway.Entity {
	return entity(gateway.Route, id, gateway.RouteBody{Path: "/" + id, Upstream: "u", Auth: auth, Scopes: scopes})
}
