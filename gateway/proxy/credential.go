package proxy

import (
	"crypto/sha256"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
	"unique"

	"gwdr/gateway"
)

// credential is what is known of one key id: the key, its revocation, or both. There may be a million: it takes 64 bytes.
type credential struct {
	sum     [sha256.Size]byte
	grant   unique.Handle[grant] // zero: there is no key, only its revocation
	expires int64                // when the key ends, in nanoseconds since 1970; or never
	revoked int64                // likewise, by its revocation
	used    uint32               // atomic: when it last opened a route, in minutes since 1970; 0: not since this process began
}

// always and never are times in nanoseconds since 1970, of which these are the first and the last.
const (
	always = math.MinInt64
	never  = math.MaxInt64
)

// nanoseconds returns the time in nanoseconds since 1970; always or never, if it is before or after what these can count.
func nanoseconds(t time.Time) int64 {
	switch {
	case t.Before(time.Unix(0, always)):
		return always
	case t.After(time.Unix(0, never)):
		return never
	}
	return t.UnixNano()
}

// newCredential reads a key's body.
func newCredential(body []byte) (*credential, error) {
	b, err := gateway.DecodeKey(body)
	if err != nil {
		return nil, err
	}
	sum, err := b.Sum()
	if err != nil {
		return nil, err
	}
	c := &credential{sum: sum, expires: never, revoked: never}
	c.grant = unique.Make(grant{scopes: wordsOf(b.Scopes), routes: wordsOf(b.Routes)})
	if b.Expires != nil {
		c.expires = nanoseconds(*b.Expires)
	}
	return c, nil
}

// newRevocation reads a revocation's body.
func newRevocation(body []byte) *credential {
	return &credential{revoked: nanoseconds(gateway.RevokedFrom(body))}
}

func (c *credential) known() bool { return c.grant != unique.Handle[grant]{} }

// copy returns another that can be changed while this one is in use.
func (c *credential) copy() credential {
	return credential{sum: c.sum, grant: c.grant, expires: c.expires, revoked: c.revoked, used: atomic.LoadUint32(&c.used)}
}

// use takes note that the key opened a route. Most of the time that is known already, and nothing is written.
func (c *credential) use(now time.Time) {
	if minute := uint32(now.Unix() / 60); atomic.LoadUint32(&c.used) != minute {
		atomic.StoreUint32(&c.used, minute)
	}
}

// refuse says why the key, whose holder asks, does not open the route.
func (c *credential) refuse(r *route, now time.Time) *refusal {
	at, grant := now.UnixNano(), c.grant.Value()
	switch {
	case at >= c.revoked:
		return unauthorized("the API key is revoked")
	case at >= c.expires:
		return unauthorized("the API key is expired")
	case !grant.opens(r.id):
		return &refusal{status: http.StatusForbidden, text: "the API key is not for this route"}
	}
	for _, s := range r.scopes {
		if !grant.holds(s) {
			return &refusal{status: http.StatusForbidden, text: "the API key lacks scope " + s}
		}
	}
	return nil
}

// grant is what a key opens. Keys with the same share one.
type grant struct {
	scopes words
	routes words // or beginnings of their ids with a * after it; none: all
}

func (g grant) holds(scope string) bool {
	scope = escape.Replace(scope)
	return g.scopes.any(func(word string) bool { return word == scope })
}

func (g grant) opens(route string) bool {
	return g.routes == "" || g.routes.any(func(word string) bool { return gateway.OpensRoute(word, route) })
}

// words are a list of words as one text, each with a separator after it, which none of them can hold.
type words string

const separator = "\x00"

var escape = strings.NewReplacer("\x00", "\x01\x02", "\x01", "\x01\x01")

func wordsOf(list []string) words {
	var text strings.Builder
	for _, word := range list {
		text.WriteString(escape.Replace(word) + separator)
	}
	return words(text.String())
}

// any reports whether one of the words matches.
func (w words) any(match func(word string) bool) bool {
	for len(w) > 0 {
		word, rest, _ := strings.Cut(string(w), separator)
		if match(word) {
			return true
		}
		w = words(rest)
	}
	return false
}
