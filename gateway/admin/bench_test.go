package admin_test

import (
	"fmt"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"gwdr/gateway"
	"gwdr/gateway/admin"
	"gwdr/gateway/native"
	"gwdr/gateway/store"
)

// large is the configuration of the benchmarks: 10,000 routes and 100,000 keys.
func large() []gateway.Change {
	state := gateway.NewState(entity(gateway.Upstream, "echo", echo))
	for i := range 10_000 {
		state.Put(entity(gateway.Route, fmt.Sprintf("spec:GET:/v1/things-%d/{id}", i),
			fmt.Sprintf(`{"hosts":["api%d.example.com"],"methods":["GET"],"path":"/v1/things-%d/{id}","upstream":"echo"}`, i%100, i)))
	}
	for i := range 100_000 {
		state.Put(entity(gateway.Key, fmt.Sprintf("%016x", i*7919),
			`{"consumer":"c","hash":"`+strings.Repeat("ab", 32)+`","scopes":["read","write"],"created":"2026-01-01T00:00:00Z"}`))
	}
	return gateway.Diff(gateway.NewState(), state)
}

func serveBench(b *testing.B) *native.Client {
	st, err := store.Open(b.Context(), store.Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	ts := httptest.NewServer((&admin.Server{Store: st}).Handler())
	b.Cleanup(func() { ts.Close(); st.Close() })
	return &native.Client{URL: ts.URL}
}

// BenchmarkApply loads 110,000 entities into an empty store over HTTP.
func BenchmarkApply(b *testing.B) {
	changes := large()
	for b.Loop() {
		c := serveBench(b)
		if err := c.Apply(b.Context(), changes); err != nil {
			b.Fatal(err)
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.Sys)/(1<<20), "MB-sys")
}

// BenchmarkExport reads 110,000 entities over HTTP.
func BenchmarkExport(b *testing.B) {
	c := serveBench(b)
	if err := c.Apply(b.Context(), large()); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := c.Export(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPut is one acknowledged change of a route over HTTP, fsync included.
func BenchmarkPut(b *testing.B) {
	c := serveBench(b)
	if err := c.Apply(b.Context(), large()); err != nil {
		b.Fatal(err)
	}
	route := entity(gateway.Route, "ledger", `{"path":"/ledger","upstream":"echo"}`)
	for b.Loop() {
		if _, err := c.Put(b.Context(), route, gateway.Condition{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDigest is the status of 110,000 entities after a change.
func BenchmarkDigest(b *testing.B) {
	c := serveBench(b)
	if err := c.Apply(b.Context(), large()); err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		if _, err := c.Put(b.Context(), entity(gateway.Setting, "s", fmt.Sprint(i)), gateway.Condition{}); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Status(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
