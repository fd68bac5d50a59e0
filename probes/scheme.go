package probes

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Field is something that may be set in a Request, in the words of a person.
type Field string

// The fields of a Request that only some kinds of target have a use for.
const (
	FieldHost    Field = "host"
	FieldHeader  Field = "header"
	FieldStatus  Field = "status"
	FieldWanted  Field = "expected header"
	FieldBody    Field = "expected body" // Contains and Match
	FieldSHA256  Field = "expected sha256"
	FieldRecords Field = "expected records"
	FieldSend    Field = "bytes to send"
	FieldEcho    Field = "nonce"
	FieldHTTP2   Field = "http2"
	FieldTLS     Field = "tls"
)

// Scheme is a kind of target: what the scheme of its URL says.
type Scheme struct {
	Name      string
	Form      string // of its URLs, for people
	KeepAlive bool   // a connection can carry several attempts; else each has a fresh one, or none
	uses      []Field
	open      func(Request, *url.URL) (sender, error)
}

// Schemes returns every kind of target that a Prober speaks.
func Schemes() []Scheme {
	overHTTP := []Field{FieldHost, FieldHeader, FieldStatus, FieldWanted, FieldBody, FieldSHA256, FieldEcho, FieldHTTP2}
	rpc := []Field{FieldHost, FieldHeader}
	return []Scheme{
		{"http", "http://HOST/PATH", true, overHTTP, newHTTPSender},
		{"https", "https://HOST/PATH", true, append(slices.Clone(overHTTP), FieldTLS), newHTTPSender},
		{"h2c", "h2c://HOST/PATH", true, overHTTP, newHTTPSender},
		{"grpc", "grpc://HOST:PORT/SERVICE", true, rpc, newGRPCSender},
		{"grpcs", "grpcs://HOST:PORT/SERVICE", true, append(slices.Clone(rpc), FieldTLS), newGRPCSender},
		{"tcp", "tcp://HOST:PORT", false, []Field{FieldBody, FieldSend}, newTCPSender},
		{"dns", "dns://SERVER/NAME?type=A", false, []Field{FieldRecords}, newDNSSender},
	}
}

// SchemeOf returns the kind of target that the scheme names, and whether there is one.
func SchemeOf(name string) (Scheme, bool) {
	all := Schemes()
	if i := slices.IndexFunc(all, func(s Scheme) bool { return s.Name == name }); i >= 0 {
		return all[i], true
	}
	return Scheme{}, false
}

// Uses reports whether such a target has a use for the field. One that it has no use for must not be set in a Request:
// nothing would check it.
func (s Scheme) Uses(f Field) bool { return slices.Contains(s.uses, f) }

// Check returns an error if the request cannot be sent: the URL names no kind of target or is malformed, or a field is set
// that this kind has no use for.
func (r Request) Check() error {
	s, err := newSender(r)
	if err != nil {
		return err
	}
	s.close()
	return nil
}

// fields returns those that are set.
func (r *Request) fields() (set []Field) {
	for _, f := range []struct {
		field Field
		set   bool
	}{
		{FieldHost, r.Host != ""}, {FieldHeader, len(r.Header) > 0}, {FieldStatus, r.Expect != 0 || r.Want.Status != ""},
		{FieldWanted, len(r.Want.Header) > 0}, {FieldBody, r.Want.Contains != "" || r.Want.Match != nil}, {FieldSHA256, r.Want.SHA256 != ""},
		{FieldRecords, len(r.Want.Records) > 0}, {FieldSend, len(r.Send) > 0}, {FieldEcho, r.Echo}, {FieldHTTP2, r.HTTP2}, {FieldTLS, r.TLS != nil},
	} {
		if f.set {
			set = append(set, f.field)
		}
	}
	return set
}

// scheme returns the kind of target at u, and an error if there is none or it has no use for a field that is set.
func (r *Request) scheme(u *url.URL) (Scheme, error) {
	s, ok := SchemeOf(u.Scheme)
	if !ok {
		return s, fmt.Errorf("no such kind of URL: %q", u.Scheme)
	}
	if u.Host == "" {
		return s, errors.New("URL names no host")
	}
	if err := checkPort(u.Port()); err != nil {
		return s, err
	}
	for _, f := range r.fields() {
		if !s.Uses(f) {
			return s, fmt.Errorf("%s URL has no use for %s", s.Name, f)
		}
	}
	return s, nil
}

// checkPort takes a port that can be connected to, or none.
func checkPort(port string) error {
	if port == "" {
		return nil
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("URL names port %s: there are 1 to 65535", port)
	}
	return nil
}

// onlyQuery returns an error if the query of u holds anything but the named keys, which would not be heeded.
func onlyQuery(u *url.URL, keys ...string) error {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || strings.Contains(u.RawQuery, ";") {
		return errors.New("URL has a malformed query")
	}
	for key := range query {
		if !slices.Contains(keys, key) {
			return fmt.Errorf("%s URL has no use for %q in its query", u.Scheme, key)
		}
	}
	return nil
}
