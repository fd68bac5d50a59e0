package gateway

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Template is a parsed path of a route: an OpenAPI path template.
type Template struct {
	Segments []Segment // what stands between the slashes; the path "/" has one, empty
	Rest     bool      // a final {name...} matches whatever follows, slashes and nothing included
}

// Segment is one segment of a Template: the literals around its parameters, so one more than it has parameters.
// "orders" is [orders], "{id}" is ["" ""], "v{major}.json" is [v .json].
type Segment []string

// ParseTemplate reads a path template. A segment may mix text and parameters, as in /{name}:cancel. A query or fragment,
// which some published documents put into their paths, is no part of the path and is cut off. Percent escapes are decoded.
func ParseTemplate(path string) (Template, error) {
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	inner, ok := strings.CutPrefix(path, "/")
	if !ok {
		return Template{}, fmt.Errorf("path %q does not begin with a slash", path)
	}
	var t Template
	parts := strings.Split(inner, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, "{") && strings.HasSuffix(part, "...}") && strings.Count(part, "{") == 1 {
			if i != len(parts)-1 {
				return Template{}, fmt.Errorf("path %q goes on after %s", path, part)
			}
			t.Rest = true
			break
		}
		segment, err := parseSegment(part)
		if err != nil {
			return Template{}, fmt.Errorf("path %q: %w", path, err)
		}
		t.Segments = append(t.Segments, segment)
	}
	return t, nil
}

// ParamSegment returns the index of the segment of a path template that is the parameter {name} and nothing else.
func ParamSegment(path, name string) (index int, ok bool) {
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	index = slices.Index(strings.Split(strings.TrimPrefix(path, "/"), "/"), "{"+name+"}")
	return index, index >= 0 && !strings.HasSuffix(name, "...")
}

func parseSegment(text string) (Segment, error) {
	var s Segment
	for {
		literal, after, open := strings.Cut(text, "{")
		if strings.Contains(literal, "}") {
			return nil, errors.New("brace is closed but not opened")
		}
		literal, err := unescape(literal)
		if err != nil {
			return nil, err
		}
		s = append(s, literal)
		if !open {
			return s, s.checkDots()
		}
		name, rest, closed := strings.Cut(after, "}")
		if !closed || name == "" || strings.Contains(name, "{") {
			return nil, errors.New("brace is opened but not closed around a name")
		}
		if strings.HasSuffix(name, "...") {
			return nil, fmt.Errorf("{%s} is not the whole final segment", name)
		}
		text = rest
	}
}

func unescape(literal string) (string, error) {
	decoded, err := url.PathUnescape(literal)
	if err != nil || strings.Contains(decoded, "/") || strings.ContainsFunc(decoded, isControl) {
		return "", fmt.Errorf("%q holds a bad escape or character", literal)
	}
	return decoded, nil
}

// checkDots refuses segments that no safe request can name.
func (s Segment) checkDots() error {
	if len(s) == 1 && (s[0] == "." || s[0] == "..") {
		return fmt.Errorf("segment %q would never match", s[0])
	}
	return nil
}

// Literal returns the text of a segment without parameters.
func (s Segment) Literal() (text string, ok bool) { return s[0], len(s) == 1 }

// Values returns what the parameters of the segment stand for in a text that it matches.
func (s Segment) Values(text string) (values []string) {
	if !s.Match(text) || len(s) == 1 {
		return nil
	}
	text = strings.TrimSuffix(strings.TrimPrefix(text, s[0]), s[len(s)-1])
	for _, literal := range s[1 : len(s)-1] {
		i := 1 + strings.Index(text[1:], literal)
		values = append(values, text[:i])
		text = text[i+len(literal):]
	}
	return append(values, text)
}

// Match reports whether the segment matches the decoded text. Each parameter takes at least one byte.
func (s Segment) Match(text string) bool {
	if len(s) == 1 {
		return s[0] == text
	}
	text, ok := strings.CutPrefix(text, s[0])
	if !ok {
		return false
	}
	text, ok = strings.CutSuffix(text, s[len(s)-1])
	if !ok {
		return false
	}
	for _, literal := range s[1 : len(s)-1] { // the leftmost place leaves most for the rest
		if text == "" {
			return false
		}
		i := strings.Index(text[1:], literal)
		if i < 0 {
			return false
		}
		text = text[1+i+len(literal):]
	}
	return text != ""
}
