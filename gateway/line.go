package gateway

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxLine bounds a line of a stream, in bytes: a body of 64 MiB in base64, and room for the rest.
const maxLine = 96 << 20

// bodyPiece is how much of a body is encoded at a time. It is a multiple of 3, so that pieces of base64 make a whole.
const bodyPiece = 48 << 10

// The canonical form of an entity's line, as appendRef and StreamWriter write it:
// {"kind":"KIND","id":"ID","body":"BASE64"}
const (
	kindKey = `"kind":"`
	idKey   = `"id":"`
	bodyKey = `,"body":"`
)

// streamLine is either an entity or the end, as encoding/json reads them.
type streamLine struct {
	Kind  Kind    `json:"kind"`
	ID    string  `json:"id"`
	Body  *[]byte `json:"body"`
	End   bool    `json:"end"`
	Count int     `json:"count"`
}

func (l streamLine) entity() (Entity, error) {
	ref := Ref{Kind: l.Kind, ID: l.ID}
	if err := ref.wellFormed(); err != nil {
		return Entity{}, err
	}
	if l.Body == nil {
		return Entity{}, fmt.Errorf("entity %q has no body", ref.String())
	}
	return Entity{Ref: ref, Body: *l.Body}, nil
}

// lineReader reads lines of at most maxLine bytes.
type lineReader struct {
	r    *bufio.Reader
	long []byte // a line that does not fit into the buffer of r
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, streamBuffer)}
}

// next returns the next line that is not blank, without its line feed. It is valid until the next call. The end of the reader
// is an error that wraps ErrTorn: streams say themselves where they end.
func (l *lineReader) next() ([]byte, error) {
	for {
		line, err := l.line()
		if len(bytes.TrimSpace(line)) > 0 && (err == nil || errors.Is(err, io.EOF)) {
			return line, nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, torn()
		}
		if err != nil {
			return nil, err
		}
	}
}

// end reports whatever follows the last line, blanks aside.
func (l *lineReader) end() error {
	_, err := l.next()
	switch {
	case err == nil:
		return errors.New("stream goes on after its end")
	case errors.Is(err, ErrTorn):
		return nil
	}
	return err
}

func (l *lineReader) line() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		l.long = l.long[:0]
		for errors.Is(err, bufio.ErrBufferFull) && len(l.long) <= maxLine {
			l.long = append(l.long, line...)
			line, err = l.r.ReadSlice('\n')
		}
		l.long = append(l.long, line...)
		line = l.long
	}
	if len(line) > maxLine {
		return nil, fmt.Errorf("line is longer than %d bytes", maxLine)
	}
	return bytes.TrimSuffix(line, []byte("\n")), err
}

func torn() error { return fmt.Errorf("%w: %w", ErrTorn, io.ErrUnexpectedEOF) }

// decodeLine reads the one JSON document that a line holds.
func decodeLine(line []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(line))
	if err := dec.Decode(v); errors.Is(err, io.ErrUnexpectedEOF) {
		return torn()
	} else if err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("line goes on after its JSON")
	}
	return nil
}

// entityDecoder reads lines in canonical form, several times as fast as encoding/json. Its buffer is used again for each body.
type entityDecoder struct{ body []byte }

// decode reports false for whatever is not in canonical form, which is for encoding/json to read or to refuse.
func (d *entityDecoder) decode(line []byte) (e Entity, ok bool) {
	if len(line) == 0 || line[0] != '{' {
		return Entity{}, false
	}
	ref, rest, ok := cutRef(line[1:])
	if !ok {
		return Entity{}, false
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(bodyKey)); !ok {
		return Entity{}, false
	}
	if rest, ok = bytes.CutSuffix(rest, []byte(`"}`)); !ok {
		return Entity{}, false
	}
	if d.body, ok = decodeBase64(d.body[:0], rest); !ok {
		return Entity{}, false
	}
	return Entity{Ref: ref, Body: d.body}, true
}

// cutRef reads "kind":"KIND","id":"ID" where neither needs an escape.
func cutRef(text []byte) (ref Ref, rest []byte, ok bool) {
	kind, rest, ok := cutPlain(text, kindKey)
	if !ok || len(rest) == 0 || rest[0] != ',' {
		return Ref{}, nil, false
	}
	id, rest, ok := cutPlain(rest[1:], idKey)
	if !ok {
		return Ref{}, nil, false
	}
	return Ref{Kind: kindOf(kind), ID: string(id)}, rest, true
}

// cutPlain reads a key and the string after it, up to and with its quote, if encoding/json would take it as it is.
func cutPlain(text []byte, key string) (value, rest []byte, ok bool) {
	rest, ok = bytes.CutPrefix(text, []byte(key))
	if !ok {
		return nil, nil, false
	}
	value, rest, ok = bytes.Cut(rest, []byte{'"'})
	if !ok || len(value) == 0 {
		return nil, nil, false
	}
	return value, rest, isPlain(value) && bytes.IndexByte(value, '\\') < 0
}

// kindOf is Kind(text) without an allocation for the kinds that are known.
func kindOf(text []byte) Kind {
	for _, k := range referenceOrder {
		if string(text) == string(k) {
			return k
		}
	}
	return Kind(text)
}

// decodeBase64 appends what the text says. It refuses line breaks, which package base64 skips and JSON does not allow.
func decodeBase64(to, text []byte) ([]byte, bool) {
	if len(text)%4 != 0 {
		return to, false
	}
	want := len(text) / 4 * 3
	for i := len(text) - 1; i >= 0 && i >= len(text)-2 && text[i] == '='; i-- {
		want--
	}
	to = slices.Grow(to, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(to[len(to):cap(to)], text)
	if err != nil || n != want {
		return to, false
	}
	return to[:len(to)+n], true
}

func appendBase64(to, body []byte) []byte { return base64.StdEncoding.AppendEncode(to, body) }

// appendRef appends "kind":"KIND","id":"ID" of a reference that is well formed.
func appendRef(to []byte, r Ref) []byte {
	to = appendText(append(to, kindKey...), string(r.Kind))
	return appendText(append(append(to, ','), idKey...), r.ID)
}

// appendText appends a string of JSON without its first quote. The text is well formed: what JSON has to escape beside quote
// and backslash are the line separators U+2028 and U+2029, which JavaScript stumbles over.
func appendText(to []byte, text string) []byte {
	if strings.ContainsFunc(text, func(c rune) bool { return c == '"' || c == '\\' || c >= utf8.RuneSelf }) {
		text = strings.NewReplacer(`"`, `\"`, `\`, `\\`, "\u2028", `\u2028`, "\u2029", `\u2029`).Replace(text)
	}
	return append(append(to, text...), '"')
}
