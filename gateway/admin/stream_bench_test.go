package admin_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"gwdr/gateway"
)

// whole is large with 500 documents: 110,501 entities, 36 MB.
func whole() *gateway.State {
	state := gateway.NewState()
	for _, c := range large() {
		state.Apply(c)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 500 {
		var doc strings.Builder
		for doc.Len() < 36_000 {
			fmt.Fprintf(&doc, `"/path-%d/{id}":{"get":{"operationId":"get%d","description":"Returns the thing"}},`, random.IntN(1e6), random.IntN(1e6))
		}
		state.Put(entity(gateway.Spec, fmt.Sprintf("spec-%d", i), doc.String()))
	}
	return state
}

func bodyBytes(s *gateway.State) (n int64) {
	for e := range s.All() {
		n += int64(len(e.Body))
	}
	return n
}

func cpu(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e6
}

func BenchmarkExportWhole(b *testing.B) {
	c := serveBench(b)
	s := whole()
	if err := c.Apply(b.Context(), gateway.Diff(gateway.NewState(), s)); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(bodyBytes(s))
	b.ReportAllocs()
	begun := cpu(b)
	for b.Loop() {
		if _, err := c.Export(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric((cpu(b)-begun)/float64(b.N), "cpu-ms/op")
}

// BenchmarkStreamWhole reads the same entity by entity, and keeps nothing.
func BenchmarkStreamWhole(b *testing.B) {
	c := serveBench(b)
	s := whole()
	if err := c.Apply(b.Context(), gateway.Diff(gateway.NewState(), s)); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(bodyBytes(s))
	b.ReportAllocs()
	begun := cpu(b)
	for b.Loop() {
		n := 0
		err := c.Stream(b.Context(), func(gateway.Header) error { return nil }, func(gateway.Entity) error { n++; return nil })
		if err != nil || n != s.Len() {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric((cpu(b)-begun)/float64(b.N), "cpu-ms/op")
}
