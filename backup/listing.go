package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"strings"

	"gwdr/gateway"
)

// A listing is what a state digest is the SHA-256 of: one line per entity, kind NUL id NUL hex(sha256(body)) LF, in
// reference order, then by id. The spool keeps that of the newest point, so that the next one costs what has changed.

// fingerprint is the SHA-256 of an entity's body.
type fingerprint = [sha256.Size]byte

func appendListed(to []byte, ref gateway.Ref, sum fingerprint) []byte {
	to = append(append(to, ref.Kind...), 0)
	to = append(append(to, ref.ID...), 0)
	return append(hex.AppendEncode(to, sum[:]), '\n')
}

// lister writes a listing, and learns the digest and the counts of what it lists.
type lister struct {
	w      *bufio.Writer
	sum    hash.Hash
	counts map[gateway.Kind]int
	last   gateway.Ref
	line   []byte
}

func newLister(w io.Writer) *lister {
	return &lister{w: bufio.NewWriterSize(w, 256<<10), sum: sha256.New(), counts: map[gateway.Kind]int{}}
}

// add lists an entity, and returns its line, which is valid until the next one. What comes out of order, or twice, is an
// error: a digest of it would be that of another state.
func (l *lister) add(ref gateway.Ref, sum fingerprint) ([]byte, error) {
	if strings.ContainsAny(string(ref.Kind)+ref.ID, "\x00\n") || ref.Kind == "" {
		return nil, fmt.Errorf("entity %q cannot be listed", ref.String())
	}
	if l.last != (gateway.Ref{}) && ref.Compare(l.last) <= 0 {
		return nil, fmt.Errorf("entity %q comes after %q", ref.String(), l.last.String())
	}
	l.last = ref
	l.counts[ref.Kind]++
	l.line = appendListed(l.line[:0], ref, sum)
	l.sum.Write(l.line)
	_, err := l.w.Write(l.line)
	return l.line, err
}

// finish returns the digest and the counts.
func (l *lister) finish() (digest string, counts map[gateway.Kind]int, err error) {
	return hex.EncodeToString(l.sum.Sum(nil)), l.counts, l.w.Flush()
}

// listReader reads a listing line by line.
type listReader struct {
	lines *bufio.Scanner
	ref   gateway.Ref
	sum   fingerprint
	more  bool
	err   error
}

func newListReader(r io.Reader) *listReader {
	l := &listReader{lines: bufio.NewScanner(bufio.NewReaderSize(r, 256<<10))}
	l.next()
	return l
}

func (l *listReader) next() {
	if l.more = l.lines.Scan(); !l.more {
		l.err = l.lines.Err()
		return
	}
	parts := bytes.Split(l.lines.Bytes(), []byte{0})
	if len(parts) != 3 || len(parts[2]) != hex.EncodedLen(len(l.sum)) {
		l.more, l.err = false, errors.New("line is none")
		return
	}
	if _, err := hex.Decode(l.sum[:], parts[2]); err != nil {
		l.more, l.err = false, err
		return
	}
	l.ref = gateway.Ref{Kind: gateway.Kind(parts[0]), ID: string(parts[1])}
}

// relist writes the listing that old becomes by the changes, where nil is a deletion, to l.
func relist(l *lister, old io.Reader, changes map[gateway.Ref]*fingerprint) error {
	changed := slices.SortedFunc(maps.Keys(changes), gateway.Ref.Compare)
	in := newListReader(old)
	for in.more || len(changed) > 0 {
		order := 1
		if len(changed) == 0 {
			order = -1
		} else if in.more {
			order = in.ref.Compare(changed[0])
		}
		ref, sum := in.ref, &in.sum
		if order >= 0 {
			ref, sum = changed[0], changes[changed[0]]
			changed = changed[1:]
		}
		if sum != nil {
			if _, err := l.add(ref, *sum); err != nil {
				return fmt.Errorf("relist: %w", err)
			}
		}
		if order <= 0 {
			in.next()
		}
	}
	if in.err != nil {
		return fmt.Errorf("read listing: %w", in.err)
	}
	return nil
}
