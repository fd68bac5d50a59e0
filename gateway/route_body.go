package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// RouteBody is the body of a Route of the bundled gateway. A request matches by host, path, method, and whatever else Match
// asks for. Of several routes the one wins that has, in this order, the most specific host, the most specific path, the method by
// name, the highest priority, the most conditions, the most of them with a value, the lowest id.
type RouteBody struct {
	Hosts    []string          `json:"hosts,omitempty"`   // names without port, or *.example.com for all below; empty matches any
	Methods  []string          `json:"methods,omitempty"` // upper case; empty matches any
	Path     string            `json:"path"`              // OpenAPI template: /orders/{id}; a final {name...} matches the rest
	Match    *Match            `json:"match,omitempty"`
	Priority int               `json:"priority,omitempty"` // among routes of the same hosts, path and method; higher first
	Upstream string            `json:"upstream"`           // id of an Upstream
	Auth     string            `json:"auth,omitempty"`     // "key" (default) or "none"
	Scopes   []string          `json:"scopes,omitempty"`   // a key must hold all of them
	Headers  map[string]string `json:"headers,omitempty"`  // set on the request to the upstream
	Timeout  Duration          `json:"timeout,omitempty"`  // total, from request to response header; 0 means the upstream's
	Limit    *Limit            `json:"limit,omitempty"`
	MaxBody  int64             `json:"max_body,omitempty"` // of a request, in bytes; 0 means any
	Spec     string            `json:"spec,omitempty"`     // id of the Spec that the route was imported from
	Validate bool              `json:"validate,omitempty"` // requests must be as Spec says
}

// The values of RouteBody.Auth.
const (
	AuthKey  = "key"
	AuthNone = "none"
)

// Limit is how many requests of a route pass; those beyond are answered 429.
type Limit struct {
	Rate  float64 `json:"rate"`            // per second, from 0.001 to a million
	Burst int     `json:"burst,omitempty"` // so many at once; 0 means what Rate gives in a second, at least one
	Per   string  `json:"per,omitempty"`   // who has so many: each "key" (default), each "address", or the "route" as a whole
}

// The values of Limit.Per.
const (
	PerKey     = "key"
	PerAddress = "address"
	PerRoute   = "route"
)

// WithDefaults returns the limit with what is zero replaced by what that means.
func (l Limit) WithDefaults() Limit {
	l.Burst = cmp.Or(l.Burst, int(math.Ceil(l.Rate)))
	l.Per = cmp.Or(l.Per, PerKey)
	return l
}

const most = 1_000_000 // requests of a limit, a second or at once

// check reports why the limit cannot work for a route that asks for a key, or does not.
func (l *Limit) check(guarded bool) error {
	switch {
	case l == nil:
		return nil
	case l.Rate < 0.001 || l.Rate > most:
		return fmt.Errorf("limit: rate must be 0.001 to %d requests a second, not %v", most, l.Rate)
	case l.Burst < 0 || l.Burst > most:
		return fmt.Errorf("limit: burst must be 1 to %d requests, not %d", most, l.Burst)
	case !slices.Contains([]string{"", PerKey, PerAddress, PerRoute}, l.Per):
		return fmt.Errorf("limit: per must be %q, %q or %q, not %q", PerKey, PerAddress, PerRoute, l.Per)
	case !guarded && l.WithDefaults().Per == PerKey:
		return fmt.Errorf("limit: the route asks for no key: say per %q or %q", PerAddress, PerRoute)
	}
	return nil
}

// Check reports why the route cannot work. Whether its upstream exists is not looked at.
func (b *RouteBody) Check() error {
	if _, err := ParseTemplate(b.Path); err != nil {
		return err
	}
	if b.Upstream == "" {
		return errors.New("route names no upstream")
	}
	if b.Auth != "" && b.Auth != AuthKey && b.Auth != AuthNone {
		return fmt.Errorf("auth must be %q or %q, not %q", AuthKey, AuthNone, b.Auth)
	}
	if b.Auth == AuthNone && len(b.Scopes) > 0 {
		return errors.New("route asks for scopes but for no key")
	}
	for _, h := range b.Hosts {
		if h == "" || strings.ContainsAny(h, ":/ ") || strings.ContainsFunc(h, isControl) {
			return fmt.Errorf("host %q is not a bare host name", h)
		}
	}
	for _, m := range b.Methods {
		if !isToken(m) || strings.ToUpper(m) != m {
			return fmt.Errorf("method %q is not an upper-case word", m)
		}
	}
	for name, value := range b.Headers {
		if !isToken(name) || strings.ContainsFunc(value, isControl) || slices.Contains(ownHeaders, strings.ToLower(name)) {
			return fmt.Errorf("header %q cannot be set", name)
		}
	}
	if b.MaxBody < 0 {
		return fmt.Errorf("max_body must be a number of bytes, not %d", b.MaxBody)
	}
	if b.Validate && b.Spec == "" {
		return errors.New("validate: the route names no spec")
	}
	if err := b.Match.check(b.Path); err != nil {
		return err
	}
	return b.Limit.check(b.Auth != AuthNone)
}

// ownHeaders are those that belong to the connection or to the proxy itself.
var ownHeaders = []string{"connection", "content-length", "host", "keep-alive", "proxy-authenticate", "proxy-authorization",
	"proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}

// isToken reports whether text is a token of RFC 9110, section 5.6.2.
func isToken(text string) bool {
	return text != "" && strings.IndexFunc(text, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	}) < 0
}
