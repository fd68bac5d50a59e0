package proxy

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"gwdr/gateway"
)

// issuer is a gateway.IssuerBody, ready to serve.
type issuer struct {
	name       string
	iss        string
	audiences  jwt.Audience
	algorithms []jose.SignatureAlgorithm
	keys       *keySource
}

func newIssuer(name string, body []byte) (*issuer, error) {
	var b gateway.IssuerBody
	if err := gateway.Decode(body, &b); err != nil {
		return nil, err
	}
	if err := b.Check(); err != nil {
		return nil, err
	}
	full := b.WithDefaults()
	return &issuer{name: name, iss: full.Issuer, audiences: full.Audiences, algorithms: full.Algorithms, keys: newKeySource(full)}, nil
}

// issuers are those whose tokens open routes, by name. They are never changed; with makes others.
type issuers []*issuer

// with returns the issuers with i as the one of that name; nil: without it.
func (all issuers) with(name string, i *issuer) issuers {
	others := slices.DeleteFunc(slices.Clone(all), func(o *issuer) bool { return o.name == name })
	if i == nil {
		return others
	}
	others = append(others, i)
	slices.SortFunc(others, func(a, b *issuer) int { return cmp.Compare(a.name, b.name) })
	return others
}

// authenticate decides on the request's token, and returns the name of its issuer and whom it is about. What is wrong with a token is
// told only to who holds a genuine one.
func (all issuers) authenticate(req *http.Request, r *route, now time.Time) (name, subject string, f *refusal) {
	text, n := presentedToken(req.Header)
	if n != 1 {
		return "", "", unauthorized("a token is required")
	}
	t, err := readToken(text)
	if err != nil {
		return "", "", unauthorized("the token is malformed")
	}
	i := all.of(t)
	if i == nil {
		return "", "", unauthorized("the token is not valid")
	}
	if f = i.verify(req.Context(), t, now); f == nil {
		f = t.refuse(r)
	}
	if f != nil {
		return "", "", f
	}
	return i.name, t.Subject, nil
}

// of returns the issuer of the token, if it is genuine: of several that call themselves the same, one whose audience the token is for.
func (all issuers) of(t *webToken) (found *issuer) {
	for _, i := range all {
		if i.iss != t.Issuer {
			continue
		}
		if slices.ContainsFunc(i.audiences, t.Audience.Contains) {
			return i
		}
		found = cmp.Or(found, i)
	}
	return found
}

// leeway is how far the clocks of issuer and gateway may differ.
const leeway = 30 * time.Second

// verify says why the token does not count. A key that is not there may have been added since the keys were last read.
func (i *issuer) verify(ctx context.Context, t *webToken, now time.Time) *refusal {
	if !slices.Contains(i.algorithms, t.algorithm) {
		return unauthorized("the token is not valid")
	}
	key, err := i.keys.find(t)
	if err != nil && i.keys.await(ctx) {
		key, err = i.keys.find(t)
	}
	if errors.Is(err, errNoKeys) {
		return &refusal{status: http.StatusServiceUnavailable, text: "the keys of the token's issuer are not known", retry: retryMin}
	}
	if err != nil || t.signed.Claims(key) != nil {
		return unauthorized("the token is not valid")
	}
	return t.check(i.audiences, now)
}

// webToken is a JSON Web Token (RFC 7519). Nothing of it is to be believed before its signature is verified.
type webToken struct {
	claims
	signed    *jwt.JSONWebToken
	algorithm jose.SignatureAlgorithm
	key       string // id of the key that it is signed by, if it says that
}

type claims struct {
	jwt.Claims
	Scope wordList `json:"scope"` // RFC 8693, section 4.2
	Scp   wordList `json:"scp"`   // as some issuers have it
}

const (
	maxToken   = 8 << 10 // bytes of its text
	maxSubject = 255     // likewise; OpenID Connect Core 1.0, section 2
)

var errForeignToken = errors.New("no token that gives access")

// readToken reads a signed token in its compact form, of the algorithms that there are.
func readToken(text string) (*webToken, error) {
	if len(text) > maxToken {
		return nil, errForeignToken
	}
	signed, err := jwt.ParseSigned(text, gateway.Algorithms())
	if err != nil {
		return nil, err
	}
	h := signed.Headers[0]
	if !isAccess(h.ExtraHeaders[jose.HeaderType]) {
		return nil, errForeignToken
	}
	t := &webToken{signed: signed, algorithm: jose.SignatureAlgorithm(h.Algorithm), key: h.KeyID}
	return t, signed.UnsafeClaimsWithoutVerification(&t.claims)
}

// isAccess reports whether a token of the type may give access: others, such as those of a logout, say of themselves that they are such
// (RFC 8725, section 3.11).
func isAccess(typ any) bool {
	if typ == nil {
		return true
	}
	name, _ := typ.(string)
	name = strings.TrimPrefix(strings.ToLower(name), "application/")
	return name == "jwt" || name == "at+jwt"
}

// check says why the token, which is genuine, does not count now.
func (t *webToken) check(audiences jwt.Audience, now time.Time) *refusal {
	err := t.ValidateWithLeeway(jwt.Expected{AnyAudience: audiences, Time: now}, leeway)
	switch {
	case t.Expiry == nil || t.Subject == "" || len(t.Subject) > maxSubject:
		return unauthorized("the token needs an expiry (exp) and a subject (sub) of at most 255 bytes")
	case errors.Is(err, jwt.ErrExpired):
		return unauthorized("the token is expired")
	case errors.Is(err, jwt.ErrInvalidAudience):
		return unauthorized("the token is for another audience")
	case err != nil:
		return unauthorized("the token is not valid yet")
	}
	return nil
}

// refuse says why the token does not open the route.
func (t *webToken) refuse(r *route) *refusal {
	for _, s := range r.scopes {
		if !slices.Contains(t.Scope, s) && !slices.Contains(t.Scp, s) {
			return &refusal{status: http.StatusForbidden, text: "the token lacks scope " + s}
		}
	}
	return nil
}

// presentedToken returns the request's bearer token that is no API key, and how many there are.
func presentedToken(header http.Header) (text string, n int) {
	for _, v := range header["Authorization"] {
		if _, isKey := bearerKey(v); isKey {
			continue
		}
		if borne, ok := bearer(v); ok {
			text, n = borne, n+1
		}
	}
	return text, n
}
