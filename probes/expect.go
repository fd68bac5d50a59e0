package probes

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// Expectation is what the right answer is like, beyond Request.Expect. The zero value accepts any answer. A wrong status
// is FailStatus or FailAuth, anything else FailBody.
type Expectation struct {
	Status   string                    // HTTP: "204", "2xx", "200,204,4xx"; empty is Request.Expect
	Header   map[string]*regexp.Regexp // HTTP: each name has a value that matches; nil matches any
	Contains string                    // HTTP, TCP: in the first 256 KiB of the body
	Match    *regexp.Regexp            // HTTP, TCP: of the first 256 KiB of the body
	SHA256   string                    // HTTP: of the whole body, in hex; a body longer than 256 KiB has another one
	Records  []string                  // DNS: the answer's records of the type asked for, all of them, in any order
}

// Exactly matches value as a whole, for Expectation.Header.
func Exactly(value string) *regexp.Regexp {
	return regexp.MustCompile(`\A` + regexp.QuoteMeta(value) + `\z`)
}

// AddHeader expects a header, written as 'NAME', which must be there, 'NAME: VALUE', which is the whole value, or
// 'NAME: /REGEX/', which matches in it. One name may be there once.
func (e *Expectation) AddHeader(text string) error {
	name, value, _ := strings.Cut(text, ":")
	name, value = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name)), strings.TrimSpace(value)
	if !httpguts.ValidHeaderFieldName(name) {
		return errors.New("not of the form 'NAME: VALUE'")
	}
	if _, twice := e.Header[name]; twice {
		return fmt.Errorf("%s is there twice", name)
	}
	pattern, isPattern, err := parsePattern(value)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", name, err)
	case !isPattern && value != "":
		pattern = Exactly(value)
	}
	if e.Header == nil {
		e.Header = map[string]*regexp.Regexp{}
	}
	e.Header[name] = pattern
	return nil
}

// SetBody expects a body, written as TEXT, which it contains, or /REGEX/, which matches in it.
func (e *Expectation) SetBody(text string) error {
	pattern, isPattern, err := parsePattern(text)
	switch {
	case err != nil:
		return err
	case isPattern:
		e.Match = pattern
	case text == "":
		return errors.New("no text: every body contains that")
	default:
		e.Contains = text
	}
	return nil
}

// parsePattern returns the pattern in /REGEX/, and whether text is of that form.
func parsePattern(text string) (*regexp.Regexp, bool, error) {
	if len(text) < 3 || text[0] != '/' || text[len(text)-1] != '/' {
		return nil, false, nil
	}
	pattern, err := regexp.Compile(text[1 : len(text)-1])
	return pattern, true, err
}

// CheckStatus returns an error if text is not of the form of Expectation.Status.
func CheckStatus(text string) error {
	_, err := parseStatuses(text)
	return err
}

// readsBody reports whether the body must be kept to be judged.
func (e *Expectation) readsBody() bool { return e.Contains != "" || e.Match != nil || e.SHA256 != "" }

// checkHeader returns an *answerError if a header is missing or wrong.
func (e *Expectation) checkHeader(header http.Header) error {
	for name, pattern := range e.Header {
		if !anyMatches(header.Values(name), pattern) {
			return wrong("header %s is %q", name, header.Values(name))
		}
	}
	return nil
}

func anyMatches(values []string, pattern *regexp.Regexp) bool {
	for _, v := range values {
		if pattern == nil || pattern.MatchString(v) {
			return true
		}
	}
	return false
}

// checkBody returns an *answerError if body, of which no more than maxBody + 1 bytes were read, is wrong.
func (e *Expectation) checkBody(body []byte) error {
	if e.SHA256 != "" {
		if len(body) > maxBody {
			return wrong("body is longer than %d bytes", maxBody)
		}
		if sum := sha256.Sum256(body); !strings.EqualFold(e.SHA256, hex.EncodeToString(sum[:])) {
			return wrong("sha256 of body is %x", sum)
		}
	}
	if !e.found(body) {
		return wrong("body of %d bytes has not what is expected", len(body))
	}
	return nil
}

// found reports whether Contains and Match hold of body.
func (e *Expectation) found(body []byte) bool {
	return bytes.Contains(body, []byte(e.Contains)) && (e.Match == nil || e.Match.Match(body))
}

// readBody reads no more than maxBody + 1 bytes, and returns them if keep.
func readBody(r io.Reader, keep bool) ([]byte, error) {
	var body bytes.Buffer
	var to io.Writer = io.Discard
	if keep {
		to = &body
	}
	if _, err := io.Copy(to, io.LimitReader(r, maxBody+1)); err != nil {
		return nil, &bodyError{err}
	}
	return body.Bytes(), nil
}

// wrong is the error of an answer that is not the expected one.
func wrong(format string, args ...any) error {
	return &answerError{class: FailBody, text: fmt.Sprintf(format, args...)}
}

// statuses is a set of HTTP statuses: ranges, both ends included.
type statuses [][2]int

// parseStatuses parses Expectation.Status.
func parseStatuses(text string) (statuses, error) {
	var set statuses
	for part := range strings.SplitSeq(text, ",") {
		part = strings.ToLower(strings.TrimSpace(part))
		class, isClass := strings.CutSuffix(part, "xx")
		n, err := strconv.Atoi(class)
		if isClass {
			n *= 100
		}
		if err != nil || n < 100 || n > 599 || len(part) != 3 {
			return nil, fmt.Errorf("%q is no HTTP status: want 204, 2xx or a list of them", cmp.Or(part, text))
		}
		r := [2]int{n, n}
		if isClass {
			r[1] = n + 99
		}
		set = append(set, r)
	}
	return set, nil
}

func (s statuses) has(status int) bool {
	for _, r := range s {
		if r[0] <= status && status <= r[1] {
			return true
		}
	}
	return false
}
