package proxy

import (
	"crypto/subtle"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"gwdr/gateway"
)

// keyring holds the API keys and revocations by key id. It is never changed; edit makes another that shares all shards
// but those it touches, so that one key among a million costs little.
type keyring struct {
	shards [shards]map[keyID]*credential
}

const (
	shardBits = 12
	shards    = 1 << shardBits
)

// keyID is the number that a key's id spells.
type keyID uint64

// keyIDOf reports false for what no token can have as its id: nobody can ask for it.
func keyIDOf(id string) (keyID, bool) {
	if !gateway.IsKeyID(id) {
		return 0, false
	}
	n, err := strconv.ParseUint(id, 16, 64)
	return keyID(n), err == nil
}

// shard spreads ids however they were chosen, as by the golden ratio of Knuth's multiplicative hashing.
func (id keyID) shard() int { return int(uint64(id) * 0x9e3779b97f4a7c15 >> (64 - shardBits)) }

func (k *keyring) get(id keyID) *credential { return k.shards[id.shard()][id] }

// keyEdit is a keyring in the making.
type keyEdit struct {
	ring  *keyring
	owned [shards]bool // shards that are the edit's own
}

func (k *keyring) edit() *keyEdit {
	ring := *k
	return &keyEdit{ring: &ring}
}

// apply makes the change of a Revocation, or that of a Key, to what its body says; nil if it is gone. Revocations are only ever
// added, and of two of a key the earlier counts.
func (e *keyEdit) apply(c gateway.Change, said *credential) {
	id, ok := keyIDOf(c.Entity.ID)
	if !ok {
		return
	}
	next := credential{expires: never, revoked: never}
	old := e.ring.get(id)
	if old != nil {
		next = old.copy()
	}
	switch {
	case c.Entity.Kind == gateway.Revocation:
		if said != nil {
			next.revoked = min(next.revoked, said.revoked)
		}
	case said != nil:
		next.sum, next.grant, next.expires = said.sum, said.grant, said.expires
	default:
		next = credential{expires: never, revoked: next.revoked}
	}
	e.set(id, &next)
}

func (e *keyEdit) set(id keyID, c *credential) {
	i := id.shard()
	if !e.owned[i] {
		e.ring.shards[i] = maps.Clone(e.ring.shards[i])
		e.owned[i] = true
	}
	if !c.known() && c.revoked == never {
		delete(e.ring.shards[i], id)
		return
	}
	if e.ring.shards[i] == nil {
		e.ring.shards[i] = map[keyID]*credential{}
	}
	e.ring.shards[i][id] = c
}

// authenticate decides on the request's key, and returns its id. Whether a key is revoked, expired or too weak is told only to
// who holds it.
func (k *keyring) authenticate(header http.Header, r *route, now time.Time) (id string, f *refusal) {
	text, n := presentedKey(header)
	if n != 1 {
		return "", unauthorized("an API key is required")
	}
	token, err := gateway.ParseToken(text)
	if err != nil {
		return "", unauthorized("the API key is malformed")
	}
	number, _ := keyIDOf(token.ID)
	c := k.get(number)
	if c == nil {
		c = &credential{} // compare all the same: it takes as long as for a known id
	}
	sum := token.Sum()
	if subtle.ConstantTimeCompare(sum[:], c.sum[:]) != 1 || !c.known() {
		return "", unauthorized("the API key is not valid")
	}
	if f := c.refuse(r, now); f != nil {
		return "", f
	}
	c.use(now)
	return token.ID, nil
}

const keyHeader = "X-Api-Key"

// presentedKey returns the request's API key and how many there are. Two of them are as good as none: which one counts must not be
// guessed.
func presentedKey(header http.Header) (text string, n int) {
	n = len(header[keyHeader])
	if n > 0 {
		text = header[keyHeader][0]
	}
	for _, v := range header["Authorization"] {
		if key, ok := bearerKey(v); ok {
			text, n = key, n+1
		}
	}
	return text, n
}

// bearerKey returns the API key of an Authorization header; a bearer token of another make is none.
func bearerKey(value string) (text string, ok bool) {
	text, ok = bearer(value)
	return text, ok && strings.HasPrefix(text, "gwk_")
}

// bearer returns what an Authorization header bears (RFC 6750).
func bearer(value string) (text string, ok bool) {
	scheme, text, ok := strings.Cut(value, " ")
	return strings.TrimLeft(text, " "), ok && strings.EqualFold(scheme, "Bearer")
}

// strip removes API keys, and nothing else, from what goes to the upstream: all of them, or those of this gateway alone, also if they
// are revoked or expired.
func (k *keyring) strip(header http.Header, all bool) {
	isKey := func(text string) bool { return all || k.issued(text) }
	dropValues(header, keyHeader, isKey)
	dropValues(header, "Authorization", func(v string) bool {
		text, ok := bearerKey(v)
		return ok && isKey(text)
	})
}

// issued reports whether the text is a key whose id is known here.
func (k *keyring) issued(text string) bool {
	token, err := gateway.ParseToken(text)
	if err != nil {
		return false
	}
	id, _ := keyIDOf(token.ID)
	return k.get(id) != nil
}

func dropValues(header http.Header, name string, drop func(value string) bool) {
	kept := slices.DeleteFunc(slices.Clone(header[name]), drop)
	if len(kept) == 0 {
		delete(header, name)
		return
	}
	header[name] = kept
}
