package gateway

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// Token is an API key as its holder presents it: gwk_<id>_<secret>_<crc>, where id is 16 hex digits, secret 256 random
// bits in base64url without padding whose '_' and '-' are kept, and crc the CRC-32 (IEEE) of all before it, in 8 hex
// digits, so that a typing error is told from a wrong key and secret scanners have something to match.
type Token struct {
	ID     string
	secret [32]byte
}

// ErrToken is returned for text that is not a well-formed token.
var ErrToken = errors.New("malformed API key")

const tokenPrefix = "gwk_"

// NewToken returns a token with a random id and secret.
func NewToken() Token {
	var id [8]byte
	var t Token
	rand.Read(id[:])
	rand.Read(t.secret[:])
	t.ID = hex.EncodeToString(id[:])
	return t
}

// Reveal returns the text to hand to the key's holder, once. String never does.
func (t Token) Reveal() string {
	head := tokenPrefix + t.ID + "_" + base64.RawURLEncoding.EncodeToString(t.secret[:])
	sum := checksum(head)
	return head + "_" + string(sum[:])
}

// String names the token without its secret.
func (t Token) String() string { return tokenPrefix + t.ID + "_***" }

// GoString does what String does, for %#v.
func (t Token) GoString() string { return t.String() }

// Sum returns the SHA-256 of the secret.
func (t Token) Sum() [sha256.Size]byte { return sha256.Sum256(t.secret[:]) }

// Hash returns what KeyBody.Hash holds: the hex SHA-256 of the secret.
func (t Token) Hash() string {
	sum := t.Sum()
	return hex.EncodeToString(sum[:])
}

// ParseToken reads the text of a token; each token has exactly one. The error wraps ErrToken and never repeats the text.
func ParseToken(text string) (Token, error) {
	rest, ok := strings.CutPrefix(text, tokenPrefix)
	if !ok || len(rest) != 16+1+43+1+8 || rest[16] != '_' || rest[60] != '_' {
		return Token{}, fmt.Errorf("%w: not of the form gwk_<id>_<secret>_<crc>", ErrToken)
	}
	if sum := checksum(text[:len(text)-9]); string(sum[:]) != rest[61:] {
		return Token{}, fmt.Errorf("%w: checksum does not match", ErrToken)
	}
	t := Token{ID: rest[:16]}
	if !IsKeyID(t.ID) {
		return Token{}, fmt.Errorf("%w: id is not 16 lower-case hex digits", ErrToken)
	}
	var secret [43]byte // in arrays, and not in what the heap has: each request with a key comes here
	copy(secret[:], rest[17:60])
	n, err := strictURL.Decode(t.secret[:], secret[:])
	if err != nil || n != len(t.secret) {
		return Token{}, fmt.Errorf("%w: secret is not base64url", ErrToken)
	}
	return t, nil
}

// IsKeyID reports whether a token can have the id: 16 lower-case hex digits.
func IsKeyID(id string) bool { return len(id) == 16 && strings.Trim(id, "0123456789abcdef") == "" }

var strictURL = base64.RawURLEncoding.Strict()

// checksum is the CRC-32 (IEEE) of head in 8 hex digits. Package crc32 would have its argument on the heap.
func checksum(head string) (text [8]byte) {
	crc := ^uint32(0)
	for i := range len(head) {
		crc = crc32.IEEETable[byte(crc)^head[i]] ^ crc>>8
	}
	var sum [4]byte
	binary.BigEndian.PutUint32(sum[:], ^crc)
	hex.Encode(text[:], sum[:])
	return text
}
