package proxy

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// errPath is returned for a path that two servers may read as two different resources.
var errPath = errors.New("path is ambiguous or holds dot segments or control characters")

// errHost is returned for a Host that two servers may read as two different hosts.
var errHost = errors.New("host is ambiguous or malformed")

// errConnect is returned for a CONNECT: it asks a forward proxy for a tunnel (RFC 9110, section 9.3.6), and no resource for anything.
var errConnect = errors.New("CONNECT is not taken: this is no forward proxy")

// match returns the request's route; nil without an error means that no route matches. It looks the decoded path up.
// What the upstream makes of an escaped slash, an empty segment, a backslash, an escaped ?, a matrix parameter or a second escape is
// not known, so such a path must lead to the same route however it is read: no request reaches through one route what
// another one guards.
func (r *router) match(req *http.Request) (*route, error) {
	if req.Method == http.MethodConnect {
		return nil, errConnect
	}
	if !isHost(req.Host) {
		return nil, errHost
	}
	host, path := hostName(req.Host), req.URL.Path
	if !strings.HasPrefix(path, "/") {
		return nil, errPath
	}
	a := ask{Request: req}
	found := r.find(&a, host, path)
	if !isPlain(req.URL) && !r.leadsTo(found, &a, host) {
		return nil, errPath
	}
	if a.unclear {
		return nil, errUnclear
	}
	return found, nil
}

// leadsTo reports whether the path leads to the route, or to none if that is nil, however it is read.
func (r *router) leadsTo(route *route, a *ask, host string) bool {
	for _, read := range []func(*url.URL) (string, bool){lenient, opaque} {
		other, ok := read(a.URL)
		if !ok || r.find(a, host, other) != route {
			return false
		}
	}
	return true
}

// isPlain reports whether there is only one way to read the path.
func isPlain(u *url.URL) bool {
	if u.RawPath != "" || strings.Contains(u.Path, "//") || strings.Contains(u.Path, "/.") {
		return false
	}
	for i := range len(u.Path) {
		if c := u.Path[i]; c < 0x20 || c >= 0x7f || strings.IndexByte(`\;%?#`, c) >= 0 {
			return false
		}
	}
	return true
}

// lenient reads the path as a forgiving server would: it decodes again and again, takes a backslash for a slash, cuts
// query, fragment and matrix parameters off, and merges slashes. A dot segment, a control character or bad UTF-8 is not ok.
func lenient(u *url.URL) (path string, ok bool) {
	path = u.Path
	for strings.Contains(path, "%") {
		again, err := url.PathUnescape(path)
		if err != nil || again == path {
			break
		}
		path = again
	}
	if i := strings.IndexAny(path, "?#"); i >= 0 { // for who parses again what is decoded
		path = path[:i]
	}
	if !utf8.ValidString(path) || strings.ContainsFunc(path, func(c rune) bool { return c < 0x20 || c == 0x7f }) {
		return "", false
	}
	segments := strings.Split(strings.ReplaceAll(path, `\`, "/"), "/")
	kept := segments[:1]
	for i, s := range segments[1:] {
		s, _, _ = strings.Cut(s, ";")
		if s == "." || s == ".." {
			return "", false
		}
		if s != "" || i == len(segments)-2 {
			kept = append(kept, s)
		}
	}
	return strings.Join(kept, "/"), true
}

// opaque reads an escaped slash as a part of its segment. The stand-in for it is in no path that is served.
func opaque(u *url.URL) (path string, ok bool) {
	escaped := strings.ReplaceAll(strings.ReplaceAll(u.EscapedPath(), "%2F", "%00"), "%2f", "%00")
	path, err := url.PathUnescape(escaped)
	return path, err == nil
}
