package proxy

import (
	"crypto/sha256"
	"crypto/subtle"
	"hash/crc32"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"gwdr/gateway"
)

// keyring holds the API keys and revocations by key id. It is never changed; edit makes another that shares all shards
// but those it touches, so that one key among 100,000 costs little.
type keyring struct {
	shards [256]map[string]*credential
}

// credential is what is known of one key id: the key, its revocation, or both.
type credential struct {
	known   bool // the key is there, not only its revocation
	revoked bool
	sum     [sha256.Size]byte
	scopes  []string
	expires time.Time // zero means never
}

func shardOf(id string) uint8 { return uint8(crc32.ChecksumIEEE([]byte(id))) }

func (k *keyring) get(id string) *credential { return k.shards[shardOf(id)][id] }

// keyEdit is a keyring in the making.
type keyEdit struct {
	ring  *keyring
	owned [256]bool // shards that are the edit's own
}

func (k *keyring) edit() *keyEdit {
	ring := *k
	return &keyEdit{ring: &ring}
}

// apply makes the change of a Revocation, or that of a Key to what its body says, which is nil if it is gone. Revocations are
// only ever added.
func (e *keyEdit) apply(c gateway.Change, key *credential) {
	id := c.Entity.ID
	var next credential
	if key != nil {
		next = *key
	}
	if old := e.ring.get(id); old != nil {
		if c.Entity.Kind == gateway.Revocation {
			next = *old
		}
		next.revoked = old.revoked
	}
	if c.Entity.Kind == gateway.Revocation && c.Op != gateway.Delete {
		next.revoked = true
	}
	e.set(id, next)
}

func (e *keyEdit) set(id string, c credential) {
	i := shardOf(id)
	if !e.owned[i] {
		e.ring.shards[i] = maps.Clone(e.ring.shards[i])
		e.owned[i] = true
	}
	if !c.known && !c.revoked {
		delete(e.ring.shards[i], id)
		return
	}
	if e.ring.shards[i] == nil {
		e.ring.shards[i] = map[string]*credential{}
	}
	e.ring.shards[i][id] = &c
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
	c := &credential{known: true, sum: sum, scopes: b.Scopes}
	if b.Expires != nil {
		c.expires = *b.Expires
	}
	return c, nil
}

// authenticate decides on the request's key, and returns its id. Whether a key is revoked, expired or too weak is told only to
// who holds it.
func (k *keyring) authenticate(header http.Header, scopes []string, now time.Time) (id string, f *refusal) {
	text, ok := presentedKey(header)
	if !ok {
		return "", unauthorized("an API key is required")
	}
	token, err := gateway.ParseToken(text)
	if err != nil {
		return "", unauthorized("the API key is malformed")
	}
	c := k.get(token.ID)
	if c == nil {
		c = &credential{} // compare all the same: it takes as long as for a known id
	}
	sum := token.Sum()
	if subtle.ConstantTimeCompare(sum[:], c.sum[:]) != 1 || !c.known {
		return "", unauthorized("the API key is not valid")
	}
	return token.ID, c.refuse(scopes, now)
}

// refuse says why the key, whose holder asks, does not open what asks for the scopes.
func (c *credential) refuse(scopes []string, now time.Time) *refusal {
	if c.revoked {
		return unauthorized("the API key is revoked")
	}
	if !c.expires.IsZero() && !now.Before(c.expires) {
		return unauthorized("the API key is expired")
	}
	for _, s := range scopes {
		if !slices.Contains(c.scopes, s) {
			return &refusal{status: http.StatusForbidden, text: "the API key lacks scope " + s}
		}
	}
	return nil
}

const keyHeader = "X-Api-Key"

// presentedKey returns the request's API key. Two of them are as good as none: which one counts must not be guessed.
func presentedKey(header http.Header) (text string, ok bool) {
	keys := header[keyHeader]
	for _, v := range header["Authorization"] {
		if text, ok := bearerKey(v); ok {
			keys = append(keys[:len(keys):len(keys)], text)
		}
	}
	if len(keys) != 1 {
		return "", false
	}
	return keys[0], true
}

// bearerKey returns the API key of an Authorization header; a bearer token of another make is not ours.
func bearerKey(value string) (text string, ok bool) {
	scheme, text, ok := strings.Cut(value, " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	text = strings.TrimLeft(text, " ")
	return text, strings.HasPrefix(text, "gwk_")
}

// stripKey removes API keys, and nothing else, from what goes to the upstream.
func stripKey(header http.Header) {
	header.Del(keyHeader)
	kept := slices.DeleteFunc(slices.Clone(header["Authorization"]), func(v string) bool {
		_, ok := bearerKey(v)
		return ok
	})
	if len(kept) == 0 {
		header.Del("Authorization")
		return
	}
	header["Authorization"] = kept
}
