package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Batch is one line of a watch: all changes of one revision. Without changes it is a heartbeat.
type Batch struct {
	Revision int64    `json:"revision"`
	Changes  []Change `json:"changes,omitempty"`
}

// AppendLine appends the batch as a line of a watch: {"revision":N,"changes":[...]} with what Change.MarshalJSON writes, and a
// line feed.
func (b Batch) AppendLine(to []byte) ([]byte, error) {
	to = strconv.AppendInt(append(to, revisionKey...), b.Revision, 10)
	for i, c := range b.Changes {
		if i == 0 {
			to = append(to, changesKey...)
		} else {
			to = append(to, ',')
		}
		var err error
		if to, err = c.append(to); err != nil {
			return nil, err
		}
	}
	if len(b.Changes) > 0 {
		to = append(to, ']')
	}
	return append(to, "}\n"...), nil
}

// The canonical form of a batch, as AppendLine writes it.
const (
	revisionKey = `{"revision":`
	changesKey  = `,"changes":[`
)

// watchLine is either a batch or the end, as encoding/json reads them.
type watchLine struct {
	Batch
	End bool `json:"end"`
}

// ReadWatch reads a watch, to the end of r: it calls begin with the header and each with every batch. A watch that was asked to
// end says so by a last line {"end":true,"revision":N}, whose revision is returned; any other end is an error that wraps
// ErrTorn. The first error of begin or each ends it, too.
func ReadWatch(r io.Reader, begin func(Header) error, each func(Batch) error) (end int64, err error) {
	in := newLineReader(r)
	h, err := readHeader(in)
	if err != nil {
		return 0, fmt.Errorf("read watch header: %w", err)
	}
	if err := begin(h); err != nil {
		return 0, err
	}
	for last := int64(0); ; {
		l, err := readBatch(in)
		if err != nil {
			return 0, fmt.Errorf("read watch after revision %d: %w", last, err)
		}
		if l.Revision < last {
			return 0, fmt.Errorf("read watch: revision %d comes after %d", l.Revision, last)
		}
		if last = l.Revision; l.End {
			if len(l.Changes) > 0 {
				return 0, errors.New("read watch: a batch claims to be the end")
			}
			return last, in.end()
		}
		if err := each(l.Batch); err != nil {
			return 0, err
		}
	}
}

func readBatch(in *lineReader) (l watchLine, err error) {
	line, err := in.next()
	if err != nil {
		return l, err
	}
	var ok bool
	if l.Batch, ok = decodeBatch(line); !ok {
		l = watchLine{}
		err = decodeLine(line, &l)
	}
	return l, err
}

// decodeBatch reports false for whatever is not in canonical form, which is for encoding/json to read or to refuse.
func decodeBatch(line []byte) (b Batch, ok bool) {
	rest, ok := bytes.CutPrefix(line, []byte(revisionKey))
	if !ok {
		return b, false
	}
	n := bytes.IndexAny(rest, ",}")
	if n < 1 || rest[0] < '1' || rest[0] > '9' { // neither "+1" nor "01" is a number of JSON
		return b, false
	}
	revision, err := strconv.ParseInt(string(rest[:n]), 10, 64)
	if err != nil {
		return b, false
	}
	b.Revision = revision
	if string(rest[n:]) == "}" {
		return b, true
	}
	if rest, ok = bytes.CutPrefix(rest[n:], []byte(changesKey)); !ok {
		return b, false
	}
	for {
		var c Change
		if c, rest, ok = cutChange(rest); !ok {
			return b, false
		}
		b.Changes = append(b.Changes, c)
		if string(rest) == "]}" {
			return b, true
		}
		if rest, ok = bytes.CutPrefix(rest, []byte{','}); !ok {
			return b, false
		}
	}
}
