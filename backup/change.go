package backup

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"filippo.io/age"

	"gwdr/gateway"
)

// changeLine is one line of a segment's payload: one change. Bodies are readable where JSON can carry them byte for byte.
type changeLine struct {
	Revision int64      `json:"revision"`
	Op       gateway.Op `json:"op"`
	Name     string     `json:"name"`             // of the entity's record in a pack
	Text     *string    `json:"text,omitempty"`   // the body, if it is UTF-8
	Base64   *[]byte    `json:"base64,omitempty"` // the body, if it is not
}

// sealChanges returns the lines of the batches, compressed and encrypted, and what to say of them.
func sealChanges(batches []gateway.Batch, to []age.Recipient) (Payload, []byte, error) {
	var sealed bytes.Buffer
	lines := &countingWriter{}
	err := seal(&sealed, to, func(w io.Writer) error {
		lines.w = w
		return writeChanges(lines, batches)
	})
	if err != nil {
		return Payload{}, nil, err
	}
	return Payload{SHA256: hexSum(sealed.Bytes()), Size: int64(sealed.Len()), Raw: lines.n}, sealed.Bytes(), nil
}

// countingWriter counts what is written.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func writeChanges(w io.Writer, batches []gateway.Batch) error {
	buffered := bufio.NewWriterSize(w, 64<<10)
	enc := json.NewEncoder(buffered)
	enc.SetEscapeHTML(false)
	for _, b := range batches {
		for _, c := range b.Changes {
			if err := enc.Encode(lineOf(b.Revision, c)); err != nil {
				return fmt.Errorf("write change of %s: %w", c.Entity.Ref, err)
			}
		}
	}
	return buffered.Flush()
}

func lineOf(revision int64, c gateway.Change) changeLine {
	l := changeLine{Revision: revision, Op: c.Op, Name: recordName(c.Entity.Ref)}
	switch text := string(c.Entity.Body); {
	case c.Op == gateway.Delete:
	case utf8.ValidString(text):
		l.Text = &text
	default:
		l.Base64 = &c.Entity.Body
	}
	return l
}

// readChanges hands the changes of the segment to each: exactly as many as it says, within its revisions, in their order.
func readChanges(r io.Reader, s Segment, each func(revision int64, c gateway.Change)) error {
	dec := json.NewDecoder(r)
	dec.DisallowUnknownFields()
	last := s.From + 1
	for range s.Count {
		var l changeLine
		if err := dec.Decode(&l); err != nil {
			return fmt.Errorf("read change: %w", unexpected(err))
		}
		if l.Revision < last || l.Revision > s.To {
			return fmt.Errorf("read change: revision %d is out of place", l.Revision)
		}
		last = l.Revision
		change, err := l.change()
		if err != nil {
			return fmt.Errorf("read change: %w", err)
		}
		each(l.Revision, change)
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("read change: there are more than the segment says")
	}
	return nil
}

func (l changeLine) change() (gateway.Change, error) {
	ref, err := parseRecordName(l.Name)
	if err != nil {
		return gateway.Change{}, err
	}
	c := gateway.Change{Op: l.Op, Entity: gateway.Entity{Ref: ref}}
	switch {
	case l.Op == gateway.Delete && l.Text == nil && l.Base64 == nil:
		return c, nil
	case l.Op != gateway.Create && l.Op != gateway.Update:
		return c, fmt.Errorf("op %q of %s is none", l.Op, ref)
	case l.Text != nil && l.Base64 == nil:
		c.Entity.Body = []byte(*l.Text)
	case l.Base64 != nil && l.Text == nil:
		c.Entity.Body = *l.Base64
	default:
		return c, fmt.Errorf("%s of %s has not one body", l.Op, ref)
	}
	return c, nil
}
