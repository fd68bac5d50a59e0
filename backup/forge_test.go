package backup_test

import (
	"archive/tar"
	"bytes"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
)

func tarMember(t testing.TB, object []byte, member string) []byte {
	t.Helper()
	r := tar.NewReader(bytes.NewReader(object))
	for {
		header, err := r.Next()
		if err != nil {
			t.Fatalf("%s: %v", member, err)
		}
		if header.Name == member {
			content, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			return content
		}
	}
}

// tarOf makes a tar in gwdr's form of a signed file.
func tarOf(t testing.TB, name string, content []byte, signatureName string, signature []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range []struct {
		name    string
		content []byte
	}{{name, content}, {signatureName, signature}} {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Size: int64(len(f.content)), Mode: 0o644, ModTime: time.Unix(0, 0)}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(f.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// resigned returns the tar with another signature.
func resigned(t testing.TB, object, signature []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	r, w := tar.NewReader(bytes.NewReader(object)), tar.NewWriter(&b)
	for {
		header, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content := io.Reader(r)
		if strings.HasSuffix(header.Name, ".sig") {
			content, header.Size = bytes.NewReader(signature), int64(len(signature))
		}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}
