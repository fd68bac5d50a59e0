package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// WriteChanges writes the changes as NDJSON, one line each of what Change.MarshalJSON writes.
func WriteChanges(w io.Writer, changes []Change) error {
	buf := make([]byte, 0, streamBuffer+streamBuffer/4)
	for _, c := range changes {
		var err error
		if buf, err = c.append(buf); err != nil {
			return err
		}
		if buf = append(buf, '\n'); len(buf) < streamBuffer {
			continue
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
		buf = buf[:0]
	}
	_, err := w.Write(buf)
	return err
}

// ReadChanges reads changes up to the end of r and calls each with every one of them: what WriteChanges wrote, or the same JSON
// in another form, such as over several lines. The first error of each ends it.
func ReadChanges(r io.Reader, each func(Change) error) error {
	in := newLineReader(r)
	for {
		line, err := in.line()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		c, rest, ok := cutChange(line)
		if !ok || len(rest) > 0 {
			c = Change{}
			ok = decodeLine(line, &c) == nil
		}
		if !ok { // it is not one line a change, or no change
			return readChanges(io.MultiReader(bytes.NewReader(line), strings.NewReader("\n"), in.r), each)
		}
		if err := each(c); err != nil {
			return err
		}
	}
}

// readChanges is ReadChanges by encoding/json, which takes several times as long.
func readChanges(r io.Reader, each func(Change) error) error {
	dec := json.NewDecoder(r)
	for {
		var c Change
		if err := dec.Decode(&c); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := each(c); err != nil {
			return err
		}
	}
}

// append appends what MarshalJSON writes.
func (c Change) append(to []byte) ([]byte, error) {
	if err := c.Entity.Ref.wellFormed(); err != nil {
		return nil, fmt.Errorf("write change: %w", err)
	}
	to = appendText(append(to, opKey...), string(c.Op))
	to = appendRef(append(to, ','), c.Entity.Ref)
	if c.Op != Delete {
		to = append(appendBase64(append(to, bodyKey...), c.Entity.Body), '"')
	}
	return append(to, '}'), nil
}

// opKey begins the canonical form of a change: {"op":"OP","kind":"KIND","id":"ID","body":"BASE64"}
const opKey = `{"op":"`

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

type changeLine struct {
	Op   Op      `json:"op"`
	Kind Kind    `json:"kind"`
	ID   string  `json:"id"`
	Body *[]byte `json:"body,omitempty"`
}

// cutChange reads {"op":"OP","kind":"KIND","id":"ID","body":"BASE64"}, or without the body if it is a delete.
func cutChange(text []byte) (c Change, rest []byte, ok bool) {
	op, rest, ok := cutPlain(text, opKey)
	if !ok || len(rest) == 0 || rest[0] != ',' {
		return c, nil, false
	}
	if c.Entity.Ref, rest, ok = cutRef(rest[1:]); !ok {
		return c, nil, false
	}
	switch c.Op = Op(op); c.Op {
	case Create, Update:
		var body []byte
		if rest, ok = bytes.CutPrefix(rest, []byte(bodyKey)); !ok {
			return c, nil, false
		}
		if body, rest, ok = bytes.Cut(rest, []byte{'"'}); !ok {
			return c, nil, false
		}
		if c.Entity.Body, ok = decodeBase64([]byte{}, body); !ok {
			return c, nil, false
		}
	case Delete:
	default:
		return c, nil, false
	}
	rest, ok = bytes.CutPrefix(rest, []byte{'}'})
	return c, rest, ok
}
