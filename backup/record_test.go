package backup

import (
	"archive/tar"
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestTarHeader: the headers from the template are the bytes that archive/tar writes.
func TestTarHeader(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	names := []string{"route/a.json", strings.Repeat("n", 100), strings.Repeat("n", 101), "spec/ä.json", strings.Repeat("long/", 60) + "x"}
	for _, name := range names {
		for _, size := range []int64{0, 1, 7, 8, 511, 512, 513, 1<<33 - 1, 1 << 33, random.Int64N(1 << 33)} {
			got, err := appendTarHeader(nil, name, size)
			if err != nil {
				t.Fatal(err)
			}
			var want bytes.Buffer
			if err := tar.NewWriter(&want).WriteHeader(tarHeader(name, size)); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want.Bytes()) {
				t.Errorf("%q, %d bytes:\n%q\n%q", name, size, got, want.Bytes())
			}
		}
	}
}
