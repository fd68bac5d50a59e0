package gateway

import (
	"bufio"
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

// Batch is one line of a watch: all changes of one revision. Without changes it is a heartbeat.
type Batch struct {
	Revision int64    `json:"revision"`
	Changes  []Change `json:"changes,omitempty"`
}

// ErrTorn is wrapped by errors of ReadStream that say the stream ends early.
var ErrTorn = errors.New("state stream is torn")

// WriteStream writes s as NDJSON: the header, one line {"kind","id","body":base64} per entity in reference order, and
// the line {"end":true,"count":N}, without which a stream is torn.
func WriteStream(w io.Writer, h Header, s *State) error {
	buf := bufio.NewWriterSize(w, 64<<10)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	h.Time = h.Time.UTC()
	if err := enc.Encode(h); err != nil {
		return fmt.Errorf("write state header: %w", err)
	}
	for e := range s.All() {
		if err := e.Ref.wellFormed(); err != nil {
			return fmt.Errorf("write state: %w", err)
		}
		if e.Body == nil {
			e.Body = []byte{} // "", as null would read as a lost body
		}
		if err := enc.Encode(entityLine{Kind: e.Kind, ID: e.ID, Body: &e.Body}); err != nil {
			return fmt.Errorf("write state: %w", err)
		}
	}
	if err := enc.Encode(endLine{End: true, Count: s.Len()}); err != nil {
		return fmt.Errorf("write state end: %w", err)
	}
	if err := buf.Flush(); err != nil {
		return fmt.Errorf("write state: %w", err)
	}
	return nil
}

// ReadStream reads what WriteStream wrote, up to the end of r. A stream that ends early is an error that wraps ErrTorn;
// one that says anything twice, miscounts, or goes on after its end is an error too.
func ReadStream(r io.Reader) (Header, *State, error) {
	dec := json.NewDecoder(bufio.NewReaderSize(r, 64<<10))
	h, err := readHeader(dec)
	if err != nil {
		return Header{}, nil, fmt.Errorf("read state header: %w", err)
	}
	s := NewState()
	for {
		var l streamLine
		if err := decodeLine(dec, &l); err != nil {
			return Header{}, nil, fmt.Errorf("read state after %d entities: %w", s.Len(), err)
		}
		if l.End {
			if err := checkEnd(dec, l, s.Len()); err != nil {
				return Header{}, nil, fmt.Errorf("read state: %w", err)
			}
			return h, s, nil
		}
		if err := l.addTo(s); err != nil {
			return Header{}, nil, fmt.Errorf("read state: %w", err)
		}
	}
}

// MarshalJSON writes the change as {"op","kind","id","body":base64}, the line of a watch and of an apply. Old is left
// out, and so is the body of a delete.
func (c Change) MarshalJSON() ([]byte, error) {
	if err := c.Entity.Ref.wellFormed(); err != nil {
		return nil, err
	}
	l := changeLine{Op: c.Op, Kind: c.Entity.Kind, ID: c.Entity.ID}
	if c.Op != Delete {
		l.Body = &c.Entity.Body
		if c.Entity.Body == nil {
			l.Body = &[]byte{}
		}
	}
	return json.Marshal(l)
}

// UnmarshalJSON reads what MarshalJSON wrote. An unknown op, a missing kind, id or body is an error.
func (c *Change) UnmarshalJSON(text []byte) error {
	var l changeLine
	if err := json.Unmarshal(text, &l); err != nil {
		return err
	}
	ref := Ref{Kind: l.Kind, ID: l.ID}
	if err := ref.wellFormed(); err != nil {
		return err
	}
	if l.Op != Create && l.Op != Update && l.Op != Delete {
		return fmt.Errorf("change of %q has unknown op %q", ref.String(), l.Op)
	}
	if l.Op != Delete && l.Body == nil {
		return fmt.Errorf("%s of %q lacks a body", l.Op, ref.String())
	}
	*c = Change{Op: l.Op, Entity: Entity{Ref: ref}}
	if l.Op != Delete {
		c.Entity.Body = *l.Body
	}
	return nil
}

type entityLine struct {
	Kind Kind    `json:"kind"`
	ID   string  `json:"id"`
	Body *[]byte `json:"body"`
}

type endLine struct {
	End   bool `json:"end"`
	Count int  `json:"count"`
}

type changeLine struct {
	Op   Op      `json:"op"`
	Kind Kind    `json:"kind"`
	ID   string  `json:"id"`
	Body *[]byte `json:"body,omitempty"`
}

// streamLine is either an entity or the end.
type streamLine struct {
	entityLine
	endLine
}

func (l streamLine) addTo(s *State) error {
	ref := Ref{Kind: l.Kind, ID: l.ID}
	if err := ref.wellFormed(); err != nil {
		return err
	}
	if l.Body == nil {
		return fmt.Errorf("entity %q has no body", ref.String())
	}
	if _, twice := s.Get(ref); twice {
		return fmt.Errorf("entity %q is there twice", ref.String())
	}
	s.Put(Entity{Ref: ref, Body: *l.Body})
	return nil
}

// readHeader refuses a first line that is not a header, such as that of a stream whose beginning is lost.
func readHeader(dec *json.Decoder) (Header, error) {
	var l struct {
		Header
		Store *string `json:"store"`
	}
	if err := decodeLine(dec, &l); err != nil {
		return Header{}, err
	}
	if l.Store == nil {
		return Header{}, errors.New("first line names no store")
	}
	l.Header.Store = *l.Store
	return l.Header, nil
}

func decodeLine(dec *json.Decoder, v any) error {
	err := dec.Decode(v)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", ErrTorn, io.ErrUnexpectedEOF)
	}
	return err
}

func checkEnd(dec *json.Decoder, l streamLine, n int) error {
	if l.Kind != "" || l.ID != "" || l.Body != nil {
		return errors.New("an entity claims to be the end")
	}
	if l.Count != n {
		return fmt.Errorf("%d entities, but its end says %d", n, l.Count)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("stream goes on after its end")
	}
	return nil
}
