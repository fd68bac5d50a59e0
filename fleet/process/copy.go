package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// copyTree makes an exact copy of a directory of files, on disk before it returns. What holds only zeros takes no room in
// the copy. The target must not exist, or be empty.
func copyTree(from, to string) error {
	var dirs []string
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case entry.IsDir():
			dirs = append(dirs, target)
			return os.MkdirAll(target, 0o700)
		case entry.Type().IsRegular():
			return copyFile(path, target)
		}
		return fmt.Errorf("%s is neither a file nor a directory", path)
	})
	for _, dir := range append(dirs, filepath.Dir(to)) {
		err = errors.Join(err, syncDir(dir))
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", from, err)
	}
	return nil
}

// block is what is copied at once, or left out.
const block = 4 << 10

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	size := int64(0)
	err = eachBlock(in, func(at int64, b []byte) error {
		size = at + int64(len(b))
		if zeros(b) {
			return nil
		}
		_, err := out.WriteAt(b, at)
		return err
	})
	return errors.Join(err, out.Truncate(size), out.Sync(), out.Close())
}

// eachBlock calls do with each block of the file, the last of which may be short.
func eachBlock(in io.Reader, do func(at int64, b []byte) error) error {
	b := make([]byte, block)
	for at := int64(0); ; at += block {
		n, err := io.ReadFull(in, b)
		if n > 0 {
			if err := do(at, b[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
	}
}

func zeros(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
