package dir

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"gwdr/backup"
)

// mkdirSync makes the directory and those above it, each durable in its parent.
func mkdirSync(dir string) error {
	err := os.Mkdir(dir, 0o755)
	switch {
	case err == nil:
		return syncDir(filepath.Dir(dir))
	case errors.Is(err, os.ErrExist):
		return nil // what is no directory fails at its first use
	case errors.Is(err, os.ErrNotExist):
		if err := mkdirSync(filepath.Dir(dir)); err != nil {
			return err
		}
		return mkdirSync(dir)
	}
	return err
}

// syncDir makes names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// exactReader reads exactly left bytes: it is an error if r has fewer or more.
type exactReader struct {
	r    io.Reader
	left int64
}

func (e *exactReader) Read(p []byte) (int, error) {
	n, err := e.r.Read(p)
	e.left -= int64(n)
	switch {
	case e.left < 0:
		return 0, errors.New("body is longer than its size")
	case err == io.EOF && e.left > 0:
		return n, fmt.Errorf("body is %d bytes short: %w", e.left, io.ErrUnexpectedEOF)
	}
	return n, err
}

// contextReader stops reading once its context is done.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// sameContent reports whether both readers give the same bytes.
func sameContent(a, b io.Reader) (bool, error) {
	x, y := make([]byte, 64<<10), make([]byte, 64<<10)
	for {
		n, errA := io.ReadFull(a, x)
		m, errB := io.ReadFull(b, y)
		endA, err := ended(errA)
		if err != nil {
			return false, err
		}
		endB, err := ended(errB)
		if err != nil {
			return false, err
		}
		if !bytes.Equal(x[:n], y[:m]) || endA != endB {
			return false, nil
		}
		if endA {
			return true, nil
		}
	}
}

// ended reports whether io.ReadFull met the end.
func ended(err error) (bool, error) {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return true, nil
	}
	return false, err
}

func sortByName(objects []backup.Object) {
	slices.SortFunc(objects, func(a, b backup.Object) int { return cmp.Compare(a.Name, b.Name) })
}
