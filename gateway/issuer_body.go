package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// IssuerBody is the body of a Setting whose id is jwt-NAME: whose tokens (JWT, RFC 7519) open routes. One of JWKS, JWKSURL and JWKSFile
// says what its keys are.
type IssuerBody struct {
	Issuer     string                    `json:"issuer"`    // as its tokens have it, to the letter
	Audiences  []string                  `json:"audiences"` // a token must be for one of them
	JWKS       *KeySet                   `json:"jwks,omitempty"`
	JWKSURL    string                    `json:"jwks_url,omitempty"`   // https, or http on loopback
	JWKSFile   string                    `json:"jwks_file,omitempty"`  // absolute path, on each data plane
	Algorithms []jose.SignatureAlgorithm `json:"algorithms,omitempty"` // empty: all of Algorithms
	Refresh    Duration                  `json:"refresh,omitempty"`    // how often the keys are read again; 0 means 5m
	MaxStale   Duration                  `json:"max_stale,omitempty"`  // for so long they count when they cannot be; 0 means 24h
}

const issuerPrefix = "jwt-"

// IssuerName returns NAME of a Setting jwt-NAME, and whether the reference is such a one.
func IssuerName(r Ref) (name string, ok bool) {
	name, ok = strings.CutPrefix(r.ID, issuerPrefix)
	return name, ok && name != "" && r.Kind == Setting
}

// MaxKeyAge bounds IssuerBody.MaxStale.
const MaxKeyAge = 30 * 24 * time.Hour

const minRefresh = 10 * time.Second

// WithDefaults returns the issuer with what is empty replaced by what that means.
func (b IssuerBody) WithDefaults() IssuerBody {
	if len(b.Algorithms) == 0 {
		b.Algorithms = Algorithms()
	}
	b.MaxStale = cmp.Or(b.MaxStale, Duration(24*time.Hour))
	b.Refresh = cmp.Or(b.Refresh, min(Duration(5*time.Minute), b.MaxStale))
	return b
}

// Check reports why the issuer cannot work. Whether its keys can be read is not looked at.
func (b *IssuerBody) Check() error {
	if b.Issuer == "" {
		return errors.New("issuer must be what the tokens have as iss")
	}
	if len(b.Audiences) == 0 || slices.Contains(b.Audiences, "") {
		return errors.New("audiences must name whom the tokens are for: one or more, of which each has one as aud")
	}
	for _, a := range b.Algorithms {
		if !slices.Contains(Algorithms(), a) {
			return fmt.Errorf("algorithms must be of %v, not %q", Algorithms(), a)
		}
	}
	full := b.WithDefaults()
	if full.Refresh < Duration(minRefresh) || full.MaxStale < full.Refresh || full.MaxStale > Duration(MaxKeyAge) {
		return fmt.Errorf("refresh must be %s or longer, and max_stale between that and %s", minRefresh, MaxKeyAge)
	}
	return b.checkSource()
}

func (b *IssuerBody) checkSource() error {
	sources := 0
	for _, there := range []bool{b.JWKS != nil, b.JWKSURL != "", b.JWKSFile != ""} {
		if there {
			sources++
		}
	}
	switch {
	case sources != 1:
		return errors.New("issuer needs one of jwks, jwks_url and jwks_file")
	case b.JWKSFile != "" && !filepath.IsAbs(b.JWKSFile):
		return fmt.Errorf("jwks_file %q is not an absolute path", b.JWKSFile)
	case b.JWKSURL != "":
		return checkKeysURL(b.JWKSURL)
	}
	return nil
}

// checkKeysURL refuses a way on which others could put keys of theirs.
func checkKeysURL(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.User != nil { // it would repeat a password
		return errors.New("jwks_url is not a URL without a password")
	}
	if u.Hostname() != "" && (u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname())) {
		return nil
	}
	return fmt.Errorf("jwks_url %q is not https, nor http to this machine", text)
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
