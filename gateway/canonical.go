package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Canonical returns the body as it counts when two gateways are compared: as JSON with sorted keys and one spelling of each
// number and string, without what the bundled gateway takes for granted or sets by itself (see fieldRules), and with lists
// in order whose order says nothing. A Spec may also be YAML. Of its own result Canonical returns the same again.
//
// ok is false for a body that cannot be read, or that readers understand differently (a key that is there twice, text that
// is not Unicode): of such bodies only the bytes count.
func Canonical(k Kind, body []byte) (canonical []byte, ok bool) {
	value, err := readValue(k, body)
	if err != nil {
		return nil, false
	}
	if fields, isObject := value.(map[string]any); isObject {
		fieldRules[k].apply(fields)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(value); err != nil {
		return nil, false
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), true
}

// SameContent reports whether two bodies of entities of the kind say the same; it is pure. Bodies that Canonical does not
// read have to be equal byte for byte.
func SameContent(k Kind, a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, ok := Canonical(k, a)
	if !ok {
		return false
	}
	y, ok := Canonical(k, b)
	return ok && bytes.Equal(x, y)
}

// readValue reads a body as JSON, or that of a Spec as YAML if it is no JSON.
func readValue(k Kind, body []byte) (any, error) {
	if k == Spec {
		body = bytes.TrimPrefix(body, []byte("\uFEFF"))
	}
	if json.Valid(body) {
		return readJSON(body)
	}
	if k == Spec {
		return readYAML(body)
	}
	return nil, errAmbiguous
}

// errAmbiguous says that a body is not one value for every reader.
var errAmbiguous = errors.New("not one value for every reader")

// IsOneValue reports whether the text is JSON that all readers understand alike, and nothing after it.
func IsOneValue(text []byte) bool {
	if !json.Valid(text) {
		return false
	}
	_, err := readJSON(text)
	return err == nil
}

// readJSON reads valid JSON into map[string]any, []any, string, json.Number in its canonical spelling, bool and nil.
func readJSON(text []byte) (any, error) {
	if !utf8.Valid(text) || hasLoneSurrogate(text) { // encoding/json would make the same of different text
		return nil, errAmbiguous
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	value, err := nextValue(dec)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errAmbiguous
	}
	return value, nil
}

// nextValue reads one value token by token, which is the only way to see a key twice.
func nextValue(dec *json.Decoder) (any, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case json.Number:
		return canonicalNumber(t.String())
	case json.Delim:
		if t == '{' {
			return nextObject(dec)
		}
		return nextArray(dec)
	}
	return token, nil
}

func nextObject(dec *json.Decoder) (any, error) {
	object := map[string]any{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		key, isString := token.(string)
		if _, twice := object[key]; twice || !isString {
			return nil, errAmbiguous
		}
		if object[key], err = nextValue(dec); err != nil {
			return nil, err
		}
	}
	_, err := dec.Token() // the brace
	return object, err
}

func nextArray(dec *json.Decoder) (any, error) {
	array := []any{}
	for dec.More() {
		value, err := nextValue(dec)
		if err != nil {
			return nil, err
		}
		array = append(array, value)
	}
	_, err := dec.Token() // the bracket
	return array, err
}

// hasLoneSurrogate reports whether valid JSON escapes half of a character.
func hasLoneSurrogate(text []byte) bool {
	for i := bytes.IndexByte(text, '\\'); i >= 0 && i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		if i++; text[i] != 'u' {
			continue
		}
		r := escaped(text[i+1:])
		i += 4
		if !utf16.IsSurrogate(r) {
			continue
		}
		next := text[i+1:]
		if !bytes.HasPrefix(next, []byte(`\u`)) || utf16.DecodeRune(r, escaped(next[2:])) == utf8.RuneError {
			return true
		}
		i += 6
	}
	return false
}

// escaped reads the four hex digits that text begins with.
func escaped(text []byte) rune {
	n, err := strconv.ParseUint(string(text[:4]), 16, 16)
	if err != nil { // not in valid JSON
		return utf8.RuneError
	}
	return rune(n)
}
