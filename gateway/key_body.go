package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"
)

// ConsumerBody is the body of a Consumer: whom a key was issued to.
type ConsumerBody struct {
	Name string `json:"name"`
}

// KeyBody is the body of a Key. The secret itself is stored nowhere.
type KeyBody struct {
	Consumer string     `json:"consumer,omitempty"`
	Hash     string     `json:"hash"` // hex SHA-256 of the 256-bit secret
	Scopes   []string   `json:"scopes,omitempty"`
	Routes   []string   `json:"routes,omitempty"` // ids of the routes that it opens, or what they begin with and *; empty: all
	Created  time.Time  `json:"created"`
	Expires  *time.Time `json:"expires,omitempty"` // absolute
}

// Check reports why the key cannot work.
func (b *KeyBody) Check() error {
	_, err := b.Sum()
	return err
}

// Sum returns the SHA-256 that Hash spells.
func (b *KeyBody) Sum() (sum [sha256.Size]byte, err error) {
	n, err := hex.Decode(sum[:], []byte(b.Hash[:min(len(b.Hash), 2*len(sum))]))
	if err != nil || n != len(sum) || len(b.Hash) != 2*len(sum) {
		return [sha256.Size]byte{}, fmt.Errorf("hash must be %d hex digits", 2*len(sum))
	}
	return sum, nil
}

// Check finds nothing wrong: any name will do.
func (b *ConsumerBody) Check() error { return nil }
