package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ErrTampered is wrapped by errors that say a journal is not what was written: a line was changed, added, removed or
// moved.
var ErrTampered = errors.New("journal was tampered with")

// TornError says that the last line was not written completely, as after a power cut: everything before it is whole.
type TornError struct {
	Offset int64 // of the first byte of the torn line
	Bytes  int   // how many there are of it
}

// Error says how much is torn.
func (e *TornError) Error() string {
	return fmt.Sprintf("journal has a torn tail of %d bytes at offset %d", e.Bytes, e.Offset)
}

// Summary is what Verify found. Head is the hash of the last whole line, and must be compared with a copy kept elsewhere
// to show that nothing was cut off the end.
type Summary struct {
	Entries int    `json:"entries"`
	Head    string `json:"head"`
	Torn    int    `json:"torn,omitempty"` // bytes of a torn last line
}

// maxLine bounds a line: a journal holds facts, not payloads.
const maxLine = 16 << 20

// Read returns the entries and verifies that they form a chain. The error wraps ErrTampered if they do not; then the
// entries before the first wrong one are returned. It is a *TornError if only the last line is incomplete; then all
// whole entries are returned.
func Read(r io.Reader) ([]Entry, error) {
	c, err := walk(r)
	return c.entries, err
}

// Verify checks the chain. A torn tail is no error: Summary tells of it.
func Verify(r io.Reader) (Summary, error) {
	c, err := walk(r)
	s := Summary{Entries: len(c.entries), Head: c.head}
	if torn := (*TornError)(nil); errors.As(err, &torn) {
		s.Torn, err = torn.Bytes, nil
	}
	return s, err
}

// chain is the verified beginning of a journal.
type chain struct {
	entries []Entry
	head    string
	size    int64
}

func walk(r io.Reader) (chain, error) {
	var c chain
	in := bufio.NewReader(r)
	for {
		line, err := readLine(in)
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return c, nil
		case errors.Is(err, io.EOF):
			return c, &TornError{Offset: c.size, Bytes: len(line)}
		case err != nil:
			return c, fmt.Errorf("read journal: %w", err)
		}
		if err := c.add(line); err != nil {
			return c, fmt.Errorf("read journal: line %d: %w", len(c.entries)+1, err)
		}
	}
}

// readLine returns the line without its newline, and io.EOF if there was none.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, fmt.Errorf("%w: line is longer than %d bytes", ErrTampered, maxLine)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			return line, err
		}
		return line[:len(line)-1], nil
	}
}

func (c *chain) add(line []byte) error {
	e, err := decode(line)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrTampered, err)
	}
	if want := int64(len(c.entries)) + 1; e.Seq != want {
		return fmt.Errorf("%w: seq is %d, not %d", ErrTampered, e.Seq, want)
	}
	if e.Prev != c.head {
		return fmt.Errorf("%w: it does not follow the line before", ErrTampered)
	}
	c.entries = append(c.entries, e)
	c.head = hash(line)
	c.size += int64(len(line)) + 1
	return nil
}

func decode(line []byte) (Entry, error) {
	var e Entry
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return Entry{}, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Entry{}, errors.New("more than one value")
	}
	return e, nil
}
