package backup

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"time"
)

// file is one member of a small tar: name and content.
type file struct {
	name    string
	content []byte
}

// tarHeader is the header of every member that gwdr writes: it depends on name and size only, so that the same content
// always makes the same bytes.
func tarHeader(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0)}
}

// packTar returns a tar of the files in their order.
func packTar(files ...file) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		mustWrite(w.WriteHeader(tarHeader(f.name, int64(len(f.content)))))
		_, err := w.Write(f.content)
		mustWrite(err)
	}
	mustWrite(w.Close())
	return b.Bytes()
}

// tarSize is the size of a tar that packTar makes of files of these sizes.
func tarSize(sizes ...int64) int64 {
	total := int64(2 * tarBlock) // the end
	for _, n := range sizes {
		total += tarBlock + (n+tarBlock-1)/tarBlock*tarBlock
	}
	return total
}

// mustWrite panics: the names are constants and a buffer takes all.
func mustWrite(err error) {
	if err != nil {
		panic("backup: write tar: " + err.Error())
	}
}

// unpackTar returns the contents of a tar that packTar made of files with these names. Any other bytes are an error, so
// there is one tar for one content.
func unpackTar(content []byte, names ...string) ([][]byte, error) {
	r := tar.NewReader(bytes.NewReader(content))
	files := make([]file, len(names))
	contents := make([][]byte, len(names))
	for i, name := range names {
		header, err := r.Next()
		if err != nil {
			return nil, fmt.Errorf("read tar: %s: %w", name, unexpected(err))
		}
		if header.Name != name || header.Typeflag != tar.TypeReg || header.Size > int64(len(content)) {
			return nil, fmt.Errorf("read tar: member %q in place of %s", header.Name, name)
		}
		if contents[i], err = io.ReadAll(r); err != nil {
			return nil, fmt.Errorf("read tar: %s: %w", name, unexpected(err))
		}
		files[i] = file{name, contents[i]}
	}
	if !bytes.Equal(packTar(files...), content) {
		return nil, fmt.Errorf("read tar: it is not in gwdr's form")
	}
	return contents, nil
}

// unexpected turns the end of the input, where more was due, into an error that says so.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
