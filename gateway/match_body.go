package gateway

import (
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
)

// Match is what a request must have beside host, method and path, so that routes of one path can be told apart. All of it must
// hold. A header or query parameter that is there twice has no exact value.
type Match struct {
	Headers map[string]string `json:"headers,omitempty"` // exact values by name, of Content-Type without parameters; empty means any
	Query   map[string]string `json:"query,omitempty"`   // exact values by name; empty means any
	Params  map[string]string `json:"params,omitempty"`  // forms of parameters of the path that are whole segments
}

// The values of Match.Params.
const (
	Integer = "integer" // decimal digits, perhaps after a minus
	UUID    = "uuid"    // as in RFC 9562, section 4, in either case
)

// HasForm reports whether the text is of the form, one of those of Match.Params.
func HasForm(form, text string) bool {
	if form == UUID {
		return isUUID(text)
	}
	text = strings.TrimPrefix(text, "-")
	return text != "" && strings.Trim(text, "0123456789") == ""
}

func isUUID(text string) bool {
	for i := range len(text) {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if text[i] != '-' {
				return false
			}
		} else if !strings.ContainsRune("0123456789abcdefABCDEF", rune(text[i])) {
			return false
		}
	}
	return len(text) == 36
}

// ExampleOf returns a text of the form.
func ExampleOf(form string) string {
	if form == UUID {
		return "00000000-0000-0000-0000-000000000000"
	}
	return "0"
}

const maxConditions = 16 // of one route

// check reports why the match cannot work for a route of the path.
func (m *Match) check(path string) error {
	if m == nil {
		return nil
	}
	if n := len(m.Headers) + len(m.Query) + len(m.Params); n > maxConditions {
		return fmt.Errorf("match: %d conditions are more than %d", n, maxConditions)
	}
	if err := m.checkHeaders(); err != nil {
		return err
	}
	for name, value := range m.Query {
		if name == "" || strings.ContainsFunc(name+value, isControl) {
			return fmt.Errorf("match: query parameter %q is none to match", name)
		}
	}
	for name, form := range m.Params {
		if _, whole := ParamSegment(path, name); !whole {
			return fmt.Errorf("match: {%s} is not a segment of the path %q", name, path)
		}
		if form != Integer && form != UUID {
			return fmt.Errorf("match: the form of {%s} must be %q or %q, not %q", name, Integer, UUID, form)
		}
	}
	return nil
}

func (m *Match) checkHeaders() error {
	seen := map[string]bool{}
	for name, value := range m.Headers {
		canonical := textproto.CanonicalMIMEHeaderKey(name)
		switch {
		case !isToken(name) || slices.Contains(ownHeaders, strings.ToLower(name)):
			return fmt.Errorf("match: header %q cannot be matched", name)
		case seen[canonical]:
			return fmt.Errorf("match: header %q is there twice", canonical)
		case value != strings.TrimSpace(value) || strings.ContainsFunc(value, isControl):
			return fmt.Errorf("match: no header %q has this value", name)
		case canonical == "Content-Type" && strings.Contains(value, ";"):
			return errors.New("match: Content-Type is matched without its parameters")
		}
		seen[canonical] = true
	}
	return nil
}
