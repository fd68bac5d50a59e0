package store_test

import (
	"testing"

	"gwdr/gateway/store"
)

// BenchmarkOpen opens a store that is there, until it takes writes.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		s, err := store.Open(b.Context(), store.Options{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
