package vantage

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"regexp"

	"gwdr/probes"
)

// Target is a probes.Request on its way to an agent. Header may hold credentials.
type Target struct {
	URL        string            `json:"url"`
	Host       string            `json:"host,omitempty"`
	Header     map[string]string `json:"header,omitempty"`
	Expect     int               `json:"expect,omitempty"`
	Want       *Want             `json:"want,omitempty"`
	Send       []byte            `json:"send,omitempty"`
	Echo       bool              `json:"echo,omitempty"`
	Fresh      bool              `json:"fresh,omitempty"`
	HTTP2      bool              `json:"http2,omitempty"`
	ServerName string            `json:"server_name,omitempty"` // that the certificate is for, if not the URL's host
}

// Want is a probes.Expectation. A header that maps to nothing may have any value.
type Want struct {
	Status   string             `json:"status,omitempty"`
	Header   map[string]*string `json:"header,omitempty"` // patterns
	Contains string             `json:"contains,omitempty"`
	Match    string             `json:"match,omitempty"` // pattern
	SHA256   string             `json:"sha256,omitempty"`
	Records  []string           `json:"records,omitempty"`
}

// TargetOf returns what an agent needs to send r. Of the settings of TLS only the server's name travels: each agent has the
// trust of its own host. Any other is an error.
func TargetOf(r probes.Request) (*Target, error) {
	t := &Target{URL: r.URL, Host: r.Host, Header: r.Header, Expect: r.Expect, Send: r.Send, Echo: r.Echo, Fresh: r.Fresh, HTTP2: r.HTTP2}
	if r.TLS != nil {
		if !onlyName(r.TLS) {
			return nil, errors.New("an agent takes no settings of TLS but the server's name")
		}
		t.ServerName = r.TLS.ServerName
	}
	w := &Want{Status: r.Want.Status, Contains: r.Want.Contains, SHA256: r.Want.SHA256, Records: r.Want.Records}
	if r.Want.Match != nil {
		w.Match = r.Want.Match.String()
	}
	for name, pattern := range r.Want.Header {
		if w.Header == nil {
			w.Header = map[string]*string{}
		}
		w.Header[name] = nil
		if pattern != nil {
			text := pattern.String()
			w.Header[name] = &text
		}
	}
	if w.Status != "" || w.Contains != "" || w.SHA256 != "" || w.Match != "" || len(w.Records)+len(w.Header) > 0 {
		t.Want = w
	}
	return t, nil
}

// onlyName reports whether nothing is set but the server's name, of what somebody could have set.
func onlyName(c *tls.Config) bool {
	return c.RootCAs == nil && len(c.Certificates) == 0 && c.GetClientCertificate == nil && !c.InsecureSkipVerify &&
		c.VerifyConnection == nil && c.VerifyPeerCertificate == nil && c.MinVersion == 0 && c.MaxVersion == 0 && len(c.NextProtos) == 0
}

// Request is what the target stands for. No error repeats more of it than its URL's scheme and host.
func (t *Target) Request() (probes.Request, error) {
	r := probes.Request{URL: t.URL, Host: t.Host, Header: t.Header, Expect: t.Expect, Send: t.Send, Echo: t.Echo, Fresh: t.Fresh, HTTP2: t.HTTP2}
	u, err := url.Parse(t.URL)
	if err != nil || u.Host == "" || u.User != nil {
		return r, errors.New("not the URL of a target")
	}
	if t.ServerName != "" {
		r.TLS = &tls.Config{ServerName: t.ServerName}
	}
	if t.Want != nil {
		if r.Want, err = t.Want.expectation(); err != nil {
			return r, fmt.Errorf("%s://%s: %w", u.Scheme, u.Host, err)
		}
	}
	return r, nil
}

func (w *Want) expectation() (probes.Expectation, error) {
	e := probes.Expectation{Status: w.Status, Contains: w.Contains, SHA256: w.SHA256, Records: w.Records}
	var err error
	if w.Match != "" {
		if e.Match, err = regexp.Compile(w.Match); err != nil {
			return e, errors.New("malformed pattern of the body")
		}
	}
	for name, text := range w.Header {
		if e.Header == nil {
			e.Header = map[string]*regexp.Regexp{}
		}
		e.Header[name] = nil
		if text == nil {
			continue
		}
		if e.Header[name], err = regexp.Compile(*text); err != nil {
			return e, fmt.Errorf("malformed pattern of the header %s", name)
		}
	}
	return e, nil
}
