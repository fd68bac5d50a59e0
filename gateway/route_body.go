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
	Methods  []string          `json:"methods,omitempty"` // upper case; empty matches any but TRACE
	Path     string            `json:"path"`              // OpenAPI template: /orders/{id}; a final {name...} matches the rest
	Match    *Match            `json:"match,omitempty"`
	Priority int               `json:"priority,omitempty"` // among routes of the same hosts, path and method; higher first
	Upstream string            `json:"upstream"`           // id of an Upstream
	Auth     string            `json:"auth,omitempty"`     // one of Auths; empty means AuthKey
	Scopes   []string          `json:"scopes,omitempty"`   // a key or token must hold all of them
	Headers  map[string]string `json:"headers,omitempty"`  // set on the request to the upstream
	Timeout  Duration          `json:"timeout,omitempty"`  // total, from request to response header; 0 means the upstream's
	Limit    *Limit            `json:"limit,omitempty"`
	Breaker  *Breaker          `json:"breaker,omitempty"`
	Bulkhead *Bulkhead         `json:"bulkhead,omitempty"`
	MaxBody  int64             `json:"max_body,omitempty"` // of a request, in bytes; 0 means any
	Spec     string            `json:"spec,omitempty"`     // id of the Spec that the route was imported from
	Validate bool              `json:"validate,omitempty"` // requests must be as Spec says

	AllowFrom []string `json:"allow_from,omitempty"` // addresses and networks of clients; empty means any
	DenyFrom  []string `json:"deny_from,omitempty"`  // these not, also if they are allowed

	MinBodyRate int64    `json:"min_body_rate,omitempty"` // bytes a second that a client must send a body with; 0 means any
	HedgeAfter  Duration `json:"hedge_after,omitempty"`   // 0 means the upstream's
}

// The values of RouteBody.Auth: what a request must come with.
const (
	AuthKey  = "key"  // an API key
	AuthJWT  = "jwt"  // a token of an IssuerBody
	AuthAny  = "any"  // one of these
	AuthNone = "none" // nothing
)

// Auths returns the values of RouteBody.Auth.
func Auths() []string { return []string{AuthKey, AuthJWT, AuthAny, AuthNone} }

// Limit is how many requests of a route pass; those beyond wait, or are answered 429.
type Limit struct {
	Rate  float64 `json:"rate"`            // per second, from 0.001 to a million
	Burst int     `json:"burst,omitempty"` // so many at once; 0 means what Rate gives in a second, at least one
	Per   string  `json:"per,omitempty"`   // who has so many: each "key" (default) or subject of an issuer, each "address", or the "route"

	Mode    string   `json:"mode,omitempty"`     // requests before their time: "refuse" (default), or "delay" as many as Burst
	MaxWait Duration `json:"max_wait,omitempty"` // refuse also those that would wait longer; 0 means as long as Burst makes it
	Shared  bool     `json:"shared,omitempty"`   // all data planes count together
	OnLoss  string   `json:"on_loss,omitempty"`  // of a shared one, while they cannot: count "local" (default), "allow" or "deny"
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
	l.Mode = cmp.Or(l.Mode, LimitRefuse)
	l.OnLoss = cmp.Or(l.OnLoss, LossLocal)
	return l
}

const most = 1_000_000 // requests of a limit, a second or at once

// check reports why the limit cannot work for a route that asks for a key or token, or does not.
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
	return l.checkMode()
}

// Check reports why the route cannot work. Whether its upstream exists is not looked at.
func (b *RouteBody) Check() error {
	if _, err := ParseTemplate(b.Path); err != nil {
		return err
	}
	if b.Upstream == "" {
		return errors.New("route names no upstream")
	}
	if b.Auth != "" && !slices.Contains(Auths(), b.Auth) {
		return fmt.Errorf("auth must be one of %s, not %q", strings.Join(Auths(), ", "), b.Auth)
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
	if b.MinBodyRate < 0 {
		return fmt.Errorf("min_body_rate must be a number of bytes a second, not %d", b.MinBodyRate)
	}
	if b.Validate && b.Spec == "" {
		return errors.New("validate: the route names no spec")
	}
	if err := b.Match.check(b.Path); err != nil {
		return err
	}
	for _, check := range []func() error{b.checkNetworks, b.Breaker.check, b.Bulkhead.check} {
		if err := check(); err != nil {
			return err
		}
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
