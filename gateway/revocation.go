package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"
)

// RevocationBody is the body of a Revocation, whose id is the id of the revoked key. It outlives the key.
type RevocationBody struct {
	At        time.Time  `json:"at"`
	Reason    string     `json:"reason,omitempty"`
	Effective *time.Time `json:"effective,omitempty"` // when the key ends: that of a rotation lives for a while; nil: at once
	Successor string     `json:"successor,omitempty"` // id of the key that takes its place
}

// Check reports a successor that no key can be. It is the revocation's own id that counts, which the function Check looks at.
func (b *RevocationBody) Check() error {
	if b.Successor != "" && !IsKeyID(b.Successor) {
		return errors.New("successor must be the id of a key: 16 lower-case hex digits")
	}
	return nil
}

// RevokedFrom returns when a revocation with the body ends its key. It is the zero time, which has always been, unless the body
// says otherwise: one that cannot be read, or is of another version, must not let a key in.
func RevokedFrom(body []byte) time.Time {
	if !bytes.Contains(body, []byte(`"effective"`)) { // nearly all, of which there may be a million
		return time.Time{}
	}
	var b RevocationBody
	if json.Unmarshal(body, &b) != nil || b.Effective == nil {
		return time.Time{}
	}
	return *b.Effective
}

// RevokesEarlier reports whether a revocation with the body ends its key before one with the other body does. Of two, the
// earlier counts, wherever they are known: a revocation is never taken back.
func RevokesEarlier(body, other []byte) bool { return RevokedFrom(body).Before(RevokedFrom(other)) }
