package gateway

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
)

// Decode reads the JSON of one of the body types. An unknown field is an error, as what it was meant to restrict would
// be open without it. Errors are in the words of JSON.
func Decode(body []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("body is empty")
		}
		return InWords(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("body goes on after its end")
	}
	return nil
}

// Encode returns the JSON of one of the body types.
func Encode(body any) []byte {
	b, err := json.Marshal(body)
	if err != nil { // no body type holds anything that JSON cannot
		panic("gateway: encode " + err.Error())
	}
	return b
}

// InWords says what encoding/json found wrong to whoever wrote the JSON: in the words of JSON, not of Go. Other errors are
// returned as they are.
func InWords(err error) error {
	mismatch, syntax, date := (*json.UnmarshalTypeError)(nil), (*json.SyntaxError)(nil), (*time.ParseError)(nil)
	switch text := err.Error(); {
	case errors.As(err, &mismatch):
		got, isWord := jsonNames[mismatch.Value]
		if !isWord { // it is "number" and the number
			got = strings.TrimPrefix(mismatch.Value, "number ")
		}
		return fmt.Errorf("%s must be %s, not %s", cmp.Or(mismatch.Field, "body"), jsonName(mismatch.Type), got)
	case errors.As(err, &syntax):
		return fmt.Errorf("body is not JSON: %w", err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("body is not JSON: it ends early: %w", err)
	case errors.As(err, &date):
		return fmt.Errorf("%q is not a time such as \"2026-03-04T10:00:00Z\"", strings.Trim(date.Value, `"`))
	case strings.HasPrefix(text, "Time.UnmarshalJSON: "):
		return errors.New("a time must be a string such as \"2026-03-04T10:00:00Z\"")
	case strings.HasPrefix(text, "json: unknown field "):
		return errors.New(strings.TrimPrefix(text, "json: "))
	}
	return err
}

// jsonNames maps the words of encoding/json to those of people.
var jsonNames = map[string]string{"string": "a string", "number": "a number", "bool": "true or false", "array": "an array", "object": "an object"}

// jsonName says what JSON a Go type is read from.
func jsonName(t reflect.Type) string {
	if reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return jsonNames["string"]
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Array:
		return jsonNames["array"]
	case reflect.String:
		return jsonNames["string"]
	case reflect.Bool:
		return jsonNames["bool"]
	case reflect.Struct, reflect.Map:
		return jsonNames["object"]
	case reflect.Float32, reflect.Float64:
		return jsonNames["number"]
	}
	return "a whole number"
}
