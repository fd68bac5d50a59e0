package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Header is the first line of a state stream: which store it shows, and at which revision.
type Header struct {
	Store    string    `json:"store"` // id of the store, new whenever it starts anew; empty while it has none
	Revision int64     `json:"revision"`
	Epoch    int64     `json:"epoch"`
	Time     time.Time `json:"time"` // UTC of the read
}

// ErrTorn is wrapped by errors that say a stream ends early.
var ErrTorn = errors.New("state stream is torn")

// streamBuffer is how many bytes a stream is written and read at a time.
const streamBuffer = 256 << 10

// WriteStream writes s as NDJSON: the header, one line {"kind","id","body":base64} per entity in reference order, and
// the line {"end":true,"count":N}, without which a stream is torn.
func WriteStream(w io.Writer, h Header, s *State) error {
	out := StreamWriter{W: w}
	if err := out.Begin(h); err != nil {
		return err
	}
	for e := range s.All() {
		if err := out.Entity(e); err != nil {
			return err
		}
	}
	return out.End()
}

// StreamWriter writes what WriteStream writes without holding all of it: Begin, Entity for each in reference order, and
// then by id, and End. It gathers 256 KiB before it calls W.
type StreamWriter struct {
	W io.Writer

	buf   []byte
	count int
}

// Begin writes the header.
func (s *StreamWriter) Begin(h Header) error {
	h.Time = h.Time.UTC()
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(h); err != nil {
		return fmt.Errorf("write state header: %w", err)
	}
	s.buf = append(make([]byte, 0, streamBuffer+streamBuffer/4), line.Bytes()...)
	return nil
}

// Entity writes one entity. A reference that JSON cannot hold is an error.
func (s *StreamWriter) Entity(e Entity) error {
	if err := e.Ref.wellFormed(); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	s.buf = appendRef(append(s.buf, '{'), e.Ref)
	s.buf = append(s.buf, bodyKey...)
	for len(e.Body) > bodyPiece { // a document of tens of megabytes does not make the buffer as large
		s.buf = appendBase64(s.buf, e.Body[:bodyPiece])
		e.Body = e.Body[bodyPiece:]
		if err := s.spill(streamBuffer); err != nil {
			return err
		}
	}
	s.buf = append(appendBase64(s.buf, e.Body), "\"}\n"...)
	s.count++
	return s.spill(streamBuffer)
}

// End writes the line that says how many entities there were, and what is left in the buffer.
func (s *StreamWriter) End() error {
	s.buf = fmt.Appendf(s.buf, `{"end":true,"count":%d}`+"\n", s.count)
	return s.spill(1)
}

// spill writes the buffer to W once it holds so many bytes.
func (s *StreamWriter) spill(least int) error {
	if len(s.buf) < least {
		return nil
	}
	_, err := s.W.Write(s.buf)
	s.buf = s.buf[:0]
	if err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}

// ReadStream reads what WriteStream wrote, up to the end of r, in whatever order its entities are. A stream that ends early
// is an error that wraps ErrTorn; one that says anything twice, miscounts, or goes on after its end is an error too.
func ReadStream(r io.Reader) (Header, *State, error) {
	var h Header
	s := NewState()
	err := readStream(r, func(read Header) error { h = read; return nil }, func(e Entity) error {
		if _, twice := s.Get(e.Ref); twice {
			return fmt.Errorf("entity %q is there twice", e.Ref.String())
		}
		s.Put(Entity{Ref: e.Ref, Body: append([]byte{}, e.Body...)})
		return nil
	})
	if err != nil {
		return Header{}, nil, fmt.Errorf("read state: %w", err)
	}
	return h, s, nil
}

// ReadEntities is ReadStream without holding all of it: it calls begin with the header, and each with every entity, which
// counts for nothing unless the error is nil. A body belongs to each only until it returns. Entities must be in reference
// order, then by id, as nothing else tells whether one is there twice. The first error of begin or each ends it.
func ReadEntities(r io.Reader, begin func(Header) error, each func(Entity) error) error {
	var last Ref
	err := readStream(r, begin, func(e Entity) error {
		if e.Ref.Compare(last) <= 0 && last != (Ref{}) {
			return fmt.Errorf("entity %q comes after %q: there twice, or out of order", e.Ref.String(), last.String())
		}
		last = e.Ref
		return each(e)
	})
	if err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	return nil
}

func readStream(r io.Reader, begin func(Header) error, each func(Entity) error) error {
	in := newLineReader(r)
	h, err := readHeader(in)
	if err != nil {
		return fmt.Errorf("header: %w", err)
	}
	if err := begin(h); err != nil {
		return err
	}
	var fast entityDecoder
	for n := 0; ; n++ {
		line, err := in.next()
		if err != nil {
			return fmt.Errorf("after %d entities: %w", n, err)
		}
		e, ok := fast.decode(line)
		if !ok {
			var l streamLine
			if err := decodeLine(line, &l); err != nil {
				return fmt.Errorf("after %d entities: %w", n, err)
			}
			if l.End {
				return checkEnd(in, l, n)
			}
			if e, err = l.entity(); err != nil {
				return err
			}
		}
		if err := each(e); err != nil {
			return err
		}
	}
}

// readHeader refuses a first line that is not a header, such as that of a stream whose beginning is lost.
func readHeader(in *lineReader) (Header, error) {
	line, err := in.next()
	if err != nil {
		return Header{}, err
	}
	var l struct {
		Header
		Store *string `json:"store"`
	}
	if err := decodeLine(line, &l); err != nil {
		return Header{}, err
	}
	if l.Store == nil {
		return Header{}, errors.New("first line names no store")
	}
	l.Header.Store = *l.Store
	return l.Header, nil
}

func checkEnd(in *lineReader, l streamLine, n int) error {
	if l.Kind != "" || l.ID != "" || l.Body != nil {
		return errors.New("an entity claims to be the end")
	}
	if l.Count != n {
		return fmt.Errorf("%d entities, but its end says %d", n, l.Count)
	}
	return in.end()
}
