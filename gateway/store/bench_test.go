package store_test

import (
	"fmt"
	"strings"
	"testing"

	"gwdr/gateway"
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

// BenchmarkStream reads 100,000 keys.
func BenchmarkStream(b *testing.B) {
	s := filled(b)
	for b.Loop() {
		if err := s.Stream(b.Context(), func(gateway.Header) error { return nil }, func(gateway.Entity) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkChanges reads 10,000 revisions, from the memory of the embedded etcd and as a client of it.
func BenchmarkChanges(b *testing.B) {
	for name, choose := range map[string]func(*store.Store){"in process": func(*store.Store) {}, "by client": (*store.Store).ReadByClient} {
		b.Run(name, func(b *testing.B) {
			s := filled(b)
			from, err := s.Revision(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			for i := range 10_000 {
				if _, _, err := s.Put(b.Context(), entity(gateway.Key, fmt.Sprint(i%100), "{}"), gateway.Condition{}); err != nil {
					b.Fatal(err)
				}
			}
			choose(s)
			for b.Loop() {
				if _, err := s.Changes(b.Context(), "", from, func(gateway.Batch) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func filled(b *testing.B) *store.Store {
	s, err := store.Open(b.Context(), store.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	if _, _, err := s.Apply(b.Context(), creates(gateway.Key, 100_000, strings.Repeat("x", 200)), gateway.Bulk{}); err != nil {
		b.Fatal(err)
	}
	return s
}
