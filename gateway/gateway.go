// Package gateway is what gwdr knows about an API gateway's configuration: a set of entities whose bodies are kept
// byte for byte, the digest of that set, and the difference between two of them.
//
// It imports nothing else of gwdr. The bundled gateway's runtime lives below it (store, admin, proxy), and so do the
// drivers that read and write real gateways (native, ...).
package gateway

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Kind names what an Entity is. The value is the word used in the API path, in packs and in reports.
type Kind string

// The kinds of entity. A gateway driver may add kinds of its own; these are the ones the bundled gateway understands.
const (
	Setting    Kind = "setting"
	Cert       Kind = "cert"
	Upstream   Kind = "upstream"
	Spec       Kind = "spec"
	Consumer   Kind = "consumer"
	Revocation Kind = "revocation"
	Key        Kind = "key"
	Route      Kind = "route"
)

// Kinds lists the kinds of the bundled gateway in reference order: an entity refers only to kinds before its own, and a
// revocation comes before the keys, so that a restored key is dead before it is there.
func Kinds() []Kind {
	return []Kind{Setting, Cert, Upstream, Spec, Consumer, Revocation, Key, Route}
}

// rank is the position of k in reference order; foreign kinds come after the known ones, by name.
func (k Kind) rank() int {
	if i := slices.Index(referenceOrder, k); i >= 0 {
		return i
	}
	return len(referenceOrder)
}

var referenceOrder = Kinds()

// Compare orders kinds by reference order.
func (k Kind) Compare(other Kind) int {
	return cmp.Or(cmp.Compare(k.rank(), other.rank()), cmp.Compare(k, other))
}

// Ref names one entity.
type Ref struct {
	Kind Kind   `json:"kind"`
	ID   string `json:"id"`
}

// String returns kind/id.
func (r Ref) String() string { return string(r.Kind) + "/" + r.ID }

// Compare orders references by kind in reference order, then by id.
func (r Ref) Compare(other Ref) int {
	if r.Kind == other.Kind { // most of the time, and cheap
		return cmp.Compare(r.ID, other.ID)
	}
	return r.Kind.Compare(other.Kind)
}

// Entity is one object of a gateway's configuration. Body holds exactly the bytes that the gateway stores (JSON for
// everything but a Spec, which may also be YAML): a recovery tool may not lose what it did not understand.
type Entity struct {
	Ref
	Body []byte
}

// Bounds of an entity, in bytes: of its id, and of its body where the admin API takes it.
const (
	MaxIDLength = 512
	MaxBody     = 64 << 20
)

// Validate reports why the reference cannot be stored: an unknown kind, an empty or overlong id, or control characters.
func (r Ref) Validate() error {
	if r.Kind.rank() == len(referenceOrder) {
		return fmt.Errorf("unknown kind %q: there are %s", r.Kind, strings.ReplaceAll(strings.Trim(fmt.Sprint(referenceOrder), "[]"), " ", ", "))
	}
	if len(r.ID) > MaxIDLength {
		return fmt.Errorf("%s id must have 1 to %d bytes, not %d", r.Kind, MaxIDLength, len(r.ID))
	}
	return r.wellFormed()
}

// wellFormed reports why the reference cannot even be written down: the digest, paths and JSON need UTF-8 without
// control characters. It knows no kinds, as a driver may add some.
func (r Ref) wellFormed() error {
	name, text := "kind", string(r.Kind)
	if text != "" && isPlain(text) {
		name, text = "id", r.ID
	}
	if text == "" {
		return fmt.Errorf("entity %q has no %s", r.String(), name)
	}
	if !isPlain(text) {
		return fmt.Errorf("%s of entity %q holds a control character or is not UTF-8", name, r.String())
	}
	return nil
}

// isPlain reports whether the text is UTF-8 without control characters.
func isPlain[T string | []byte](text T) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return !strings.ContainsFunc(string(text), isControl)
		}
		if isControl(rune(text[i])) {
			return false
		}
	}
	return true
}

// isControl also holds for what invalid UTF-8 decodes to.
func isControl(c rune) bool { return c < 0x20 || c == 0x7f || c == utf8.RuneError }
