package drills

import (
	"slices"
	"strconv"
	"strings"
)

// WatchTarget is what a series asks, and what it expects. Neither a credential, nor the value of a header that is sent, nor
// the bytes that are sent are part of it; what is expected is, for who judges it again.
type WatchTarget struct {
	Kind      string    `json:"kind,omitempty"` // scheme of URL; evidence from before there were several has none
	URL       string    `json:"url"`            // without the values of its query, which of DNS are no secrets
	Host      string    `json:"host,omitempty"`
	Headers   []string  `json:"headers,omitempty"`    // names
	SentBytes int       `json:"sent_bytes,omitempty"` // TCP: how many are sent first
	HTTP2     bool      `json:"http2,omitempty"`      // and nothing else
	Expect    int       `json:"expect,omitempty"`     // HTTP: status; 0 where Want has one, and of other kinds
	Want      WatchWant `json:"want,omitzero"`
	Control   bool      `json:"control,omitempty"` // no fault touches it
	Vantage   string    `json:"vantage,omitempty"` // whose own target it is; empty is everybody's, or of here
}

// WatchWant is what a target is expected to answer, in the form in which a person wrote it: see probes.Expectation.
type WatchWant struct {
	Status  string   `json:"status,omitempty"`  // HTTP: several, as 2xx
	Headers []string `json:"headers,omitempty"` // HTTP: NAME, NAME: VALUE or NAME: /REGEX/
	Body    string   `json:"body,omitempty"`    // HTTP, TCP: TEXT or /REGEX/
	SHA256  string   `json:"sha256,omitempty"`  // HTTP
	Records []string `json:"records,omitempty"` // DNS
}

// String says for people what is asked, and what for.
func (t WatchTarget) String() string {
	text := t.URL
	if t.HTTP2 {
		text += " over HTTP/2"
	}
	text += ", expects " + strings.Join(t.expects(), ", ")
	if t.Host != "" {
		text += ", as " + t.Host
	}
	switch {
	case t.Control && t.Vantage != "":
		text = "control of " + t.Vantage + ", " + text
	case t.Control:
		text = "control, " + text
	}
	return text
}

// expects lists what a good answer is like.
func (t WatchTarget) expects() (all []string) {
	switch {
	case t.Want.Status != "":
		all = append(all, t.Want.Status)
	case t.Expect != 0:
		all = append(all, strconv.Itoa(t.Expect))
	}
	for _, h := range t.Want.Headers {
		all = append(all, "header "+h)
	}
	if t.Want.Body != "" {
		all = append(all, "body "+t.Want.Body)
	}
	if t.Want.SHA256 != "" {
		all = append(all, "sha256 "+t.Want.SHA256)
	}
	all = slices.Concat(all, t.Want.Records)
	if len(all) > 0 {
		return all
	}
	switch t.Kind {
	case "dns":
		return []string{"a record"}
	case "grpc", "grpcs":
		return []string{"SERVING"}
	}
	return []string{"a connection"}
}
