// Package tree is what locations in a tree of files have in common, wherever the tree is: the names beside gwdr1/, and how
// bytes get into files.
package tree

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"
)

// What lies beside gwdr1/ at the top of a location.
const (
	IDFile        = ".gwdr-location"   // tells a location from the empty directory that an unmounted disk leaves behind
	TempDir       = ".gwdr-temp"       // objects that are being written
	QuarantineDir = ".gwdr-quarantine" // damaged objects that were moved out of the way
)

// StaleAge is how old a temporary file is that no writer can still be at.
const StaleAge = 24 * time.Hour

// Canary is the object that a probe tries to overwrite and to delete.
const (
	Canary        = "gwdr1/canary"
	CanaryContent = "gwdr tries to overwrite and to delete this file, to learn whether it can\n"
)

// ErrNotPrepared is wrapped when the top of a location has no id file.
var ErrNotPrepared = errors.New("no id file: not mounted, or not initialised")

// NewID returns the content of a new id file: a random id of 128 bits.
func NewID() string {
	var id [16]byte
	rand.Read(id[:])
	return hex.EncodeToString(id[:]) + "\n"
}

// QuarantineName returns where an object that is moved out of the way at that time goes. The object may be put, damaged
// and moved again.
func QuarantineName(name string, at time.Time) string {
	return path.Join(QuarantineDir, name+"."+at.UTC().Format("20060102T150405.000000000Z"))
}

// Related reports whether objects in the directory dir, "." being the top, can have names that start with prefix.
func Related(dir, prefix string) bool {
	if dir == "." {
		return true
	}
	return !strings.HasPrefix(dir, ".") && (strings.HasPrefix(dir+"/", prefix) || strings.HasPrefix(prefix, dir+"/"))
}

// Body reads exactly size bytes of r, and stops once ctx is done: it is an error if r has fewer or more.
func Body(ctx context.Context, r io.Reader, size int64) io.Reader {
	return &exactReader{ctx: ctx, r: r, left: size}
}

type exactReader struct {
	ctx  context.Context
	r    io.Reader
	left int64
}

func (e *exactReader) Read(p []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
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

// Same reports whether both readers give the same bytes.
func Same(a, b io.Reader) (bool, error) {
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
