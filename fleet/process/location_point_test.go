package process

import (
	"archive/tar"
	"bytes"
	"errors"
	"testing"
)

// pointOf is a point with that point.json.
func pointOf(t testing.TB, text string) []byte {
	t.Helper()
	var object bytes.Buffer
	w := tar.NewWriter(&object)
	err := w.WriteHeader(&tar.Header{Name: "point.json", Size: int64(len(text)), Mode: 0o644})
	if err == nil {
		_, err = w.Write([]byte(text))
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return object.Bytes()
}

// FuzzReadPoint: whatever lies at a location, no name leads out of it, and nothing takes for ever.
func FuzzReadPoint(f *testing.F) {
	for _, text := range []string{
		`{"packs":[{"sha256":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}],"base":{"seq":1},"log":{"seq":3}}`,
		`{"packs":[{"sha256":"../../../etc/passwd"}]}`, `{"packs":[{"sha256":""}]}`,
		`{"log":{"seq":18446744073709551615}}`, `{"base":{"seq":2},"log":{"seq":1}}`, `null`, ``,
	} {
		f.Add(pointOf(f, text))
	}
	f.Add([]byte("not a tar"))
	f.Fuzz(func(t *testing.T, object []byte) {
		p, err := readPoint(bytes.NewReader(object))
		if err != nil {
			return
		}
		for _, pack := range p.Packs {
			if !packPattern.MatchString(pack.SHA256) {
				t.Errorf("%q is taken for a pack", pack.SHA256)
			}
		}
		if p.Log.Seq-p.Base.Seq > segmentLimit {
			t.Errorf("%d segments", p.Log.Seq-p.Base.Seq)
		}
	})
}
