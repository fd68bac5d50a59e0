package backup

import (
	"bufio"
	"bytes"
	"cmp"
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
	if l.last.ID != "" && ref.Compare(l.last) <= 0 {
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

// listed is a line of a listing, valid until the next one is read.
type listed struct {
	line     []byte // with its end
	kind, id []byte
}

// compare orders the line against an entity.
func (l listed) compare(ref gateway.Ref) int {
	if string(l.kind) != string(ref.Kind) {
		return gateway.Kind(l.kind).Compare(ref.Kind)
	}
	return cmp.Compare(string(l.id), ref.ID)
}

// listReader reads a listing line by line.
type listReader struct {
	rest []byte
	now  listed
	more bool
	err  error
}

func newListReader(listing []byte) *listReader {
	l := &listReader{rest: listing}
	l.next()
	return l
}

func (l *listReader) next() {
	l.more = false
	if len(l.rest) == 0 {
		return
	}
	end := bytes.IndexByte(l.rest, '\n') + 1
	kind := bytes.IndexByte(l.rest[:end], 0)
	if end == 0 || kind < 0 {
		l.err = errors.New("line is none")
		return
	}
	id := kind + 1 + bytes.IndexByte(l.rest[kind+1:end], 0)
	if end-id-2 != hex.EncodedLen(sha256.Size) {
		l.err = errors.New("line is none")
		return
	}
	l.now = listed{line: l.rest[:end], kind: l.rest[:kind], id: l.rest[kind+1 : id]}
	l.rest, l.more = l.rest[end:], true
}

// keep lists what another listing has. Its order was checked when that was written.
func (l *lister) keep(line listed) error {
	if string(line.kind) != string(l.last.Kind) {
		l.last.Kind = gateway.Kind(line.kind)
	}
	l.last.ID = ""
	l.counts[l.last.Kind]++
	l.sum.Write(line.line)
	_, err := l.w.Write(line.line)
	return err
}

// relist writes the listing that old becomes by the changes, where nil is a deletion, to l.
func relist(l *lister, old []byte, changes map[gateway.Ref]*fingerprint) error {
	changed := slices.SortedFunc(maps.Keys(changes), gateway.Ref.Compare)
	in := newListReader(old)
	for in.more || len(changed) > 0 {
		order := -1 // the line of old comes first
		switch {
		case !in.more:
			order = 1
		case len(changed) > 0:
			order = in.now.compare(changed[0])
		}
		var err error
		if order < 0 {
			err = l.keep(in.now)
		} else {
			if sum := changes[changed[0]]; sum != nil {
				_, err = l.add(changed[0], *sum)
			}
			changed = changed[1:]
		}
		if err != nil {
			return fmt.Errorf("relist: %w", err)
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
