package proxy

import (
	"bytes"
	"fmt"
	"net/http"
	"runtime"
	"testing"
	"time"

	"gwdr/gateway"
)

const million = 1_000_000

// millionKeys is a state of as many keys as one instance is to hold, and the text of one. It is read as a data plane reads it.
func millionKeys(b *testing.B) (s *gateway.State, text string) {
	b.Helper()
	var stream bytes.Buffer
	w := gateway.StreamWriter{W: &stream}
	if err := w.Begin(storeA); err != nil {
		b.Fatal(err)
	}
	at := time.Now().UTC()
	for i := range million {
		token := gateway.NewToken()
		text = token.Reveal()
		e := entity(gateway.Key, token.ID, gateway.KeyBody{Consumer: fmt.Sprint("consumer-", i%1000), Hash: token.Hash(), Scopes: []string{"read"}, Created: at})
		if err := w.Entity(e); err != nil {
			b.Fatal(err)
		}
	}
	if err := w.End(); err != nil {
		b.Fatal(err)
	}
	_, s, err := gateway.ReadStream(&stream)
	if err != nil {
		b.Fatal(err)
	}
	return s, text // the last one
}

// heldMB is what the heap holds, in MB of a million bytes.
func heldMB() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / 1e6
}

// BenchmarkMillionKeys reports what a data plane holds in memory for a million keys, and what a check and a change take among them.
func BenchmarkMillionKeys(b *testing.B) {
	before := heldMB()
	s, text := millionKeys(b)
	s.Put(upstreamOf("u", "http://127.0.0.1:1"))
	g := newGateway(b, Options{})
	start := time.Now()
	if err := g.Load(storeA, s); err != nil {
		b.Fatal(err)
	}
	took := time.Since(start)
	s = nil
	held := heldMB() - before
	b.Run("hold", func(b *testing.B) {
		for b.Loop() {
		}
		b.ReportMetric(held, "MB-held")
		b.ReportMetric(took.Seconds(), "s-load")
		b.ReportMetric(0, "ns/op")
	})
	unknown := gateway.NewToken().Reveal()
	r := &route{id: "bench", scopes: []string{"read"}}
	for name, text := range map[string]string{"check": text, "check-unknown": unknown} {
		header := http.Header{"Authorization": {"Bearer " + text}}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				g.live.Load().keys.authenticate(header, r, storeA.Time)
			}
		})
	}
	key, _ := keyEntity(nil, nil)
	for _, e := range []gateway.Entity{key, entity(gateway.Revocation, key.ID, gateway.RevocationBody{}), open("r", "/r", "u")} {
		b.Run("change-"+string(e.Kind), func(b *testing.B) {
			for b.Loop() {
				if err := g.Update(gateway.Batch{Revision: 2, Changes: []gateway.Change{put(e)}}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("copy", func(b *testing.B) { // as for each write of the last good configuration
		for b.Loop() {
			g.State()
		}
	})
}
