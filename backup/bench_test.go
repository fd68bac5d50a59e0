package backup_test

import (
	"archive/tar"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/backup/dir"
	"gwdr/gateway"
)

// BenchmarkTake backs up 10,000 routes, 100,000 keys and 500 documents to three directories. GWDR_BENCH_SPECS names a
// .tar.gz of real OpenAPI documents to use in place of the made ones.
func BenchmarkTake(b *testing.B) {
	h := benchmarkHouse(b)
	h.job.Full = true
	var result *backup.Result
	for b.Loop() {
		result = h.take(b)
	}
	b.ReportMetric(float64(result.Bytes)/1e6, "packed-MB")
}

// BenchmarkTakeChanges backs up again after 1 % of the entities, evenly spread, have changed.
func BenchmarkTakeChanges(b *testing.B) {
	h := benchmarkHouse(b)
	h.take(b)
	state, err := h.source.Export(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	var result *backup.Result
	for round := 0; b.Loop(); round++ {
		i := 0
		for e := range state.State.All() {
			if i++; i%100 == round%100 {
				h.source.Put(gateway.Entity{Ref: e.Ref, Body: append(slices.Clone(e.Body[:len(e.Body)-1]), ` ,"x":1}`...)})
			}
		}
		result = h.take(b)
	}
	b.ReportMetric(float64(result.Bytes)/1e6, "sent-MB")
}

// BenchmarkLoad reads back what BenchmarkTake writes.
func BenchmarkLoad(b *testing.B) {
	h := benchmarkHouse(b)
	h.take(b)
	found := h.find(b)[0]
	for b.Loop() {
		h.load(b, found)
	}
}

func benchmarkHouse(b *testing.B) *house {
	b.Helper()
	state := benchmarkState(b)
	h := newHouse(b)
	h.source = backuptest.NewSource("store", slices.Collect(state.All())...)
	h.job.Source = h.source
	for i := range h.job.Copies {
		l := &dir.Location{Dir: filepath.Join(b.TempDir(), h.job.Copies[i].Name)}
		if err := l.Init(b.Context()); err != nil {
			b.Fatal(err)
		}
		h.job.Copies[i].Location = l
	}
	var bytes int64
	for e := range state.All() {
		bytes += int64(len(e.Body))
	}
	b.SetBytes(bytes)
	return h
}

func benchmarkState(b *testing.B) *gateway.State {
	b.Helper()
	state := gateway.NewState()
	for i := range 10_000 {
		state.Put(backuptest.Entity(gateway.Route, fmt.Sprintf("route-%d", i), fmt.Sprintf(
			`{"hosts":["api-%d.example.com"],"methods":["GET"],"path":"/v%d/things/{id}/parts/%d","upstream":"upstream-%d","scopes":["read"]}`, i%50, i%3, i, i%200)))
	}
	for i := range 100_000 {
		token := gateway.NewToken()
		state.Put(backuptest.Entity(gateway.Key, token.ID, fmt.Sprintf(
			`{"consumer":"consumer-%d","hash":%q,"scopes":["read"],"created":"2026-01-01T00:00:00Z"}`, i%1000, token.Hash())))
	}
	if file := os.Getenv("GWDR_BENCH_SPECS"); file != "" {
		addSpecs(b, state, file)
		return state
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 500 {
		var doc strings.Builder
		for doc.Len() < 70_000 {
			fmt.Fprintf(&doc, `"/path-%d/{id}":{"get":{"operationId":"get%d","description":"Returns the thing"}},`, random.IntN(1e6), random.IntN(1e6))
		}
		state.Put(backuptest.Entity(gateway.Spec, fmt.Sprintf("spec-%d", i), doc.String()))
	}
	return state
}

func addSpecs(b *testing.B, state *gateway.State, file string) {
	b.Helper()
	f, err := os.Open(file)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		b.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		header, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			b.Fatal(err)
		}
		if header.Typeflag != tar.TypeReg {
			continue
		}
		content, err := io.ReadAll(r)
		if err != nil {
			b.Fatal(err)
		}
		state.Put(backuptest.Entity(gateway.Spec, header.Name, string(content)))
	}
}
