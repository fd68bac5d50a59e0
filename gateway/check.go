package gateway

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Check reports why the bundled gateway should not store the entity, whatever else there is: a reference that cannot be
// stored, or a body that is not what its kind needs. The admin API asks before it stores what is new; a restore brings back
// what was. A Spec or Cert is looked into no further than that there is one, a Setting not at all.
func Check(e Entity) error {
	if err := e.Ref.Validate(); err != nil {
		return err
	}
	if err := checkBody(e); err != nil {
		return fmt.Errorf("%s: %w", e.Ref, err)
	}
	return nil
}

func checkBody(e Entity) error {
	switch e.Kind {
	case Route:
		return decodeAndCheck(e.Body, new(RouteBody))
	case Upstream:
		return checkUpstream(e.Body)
	case Key:
		return decodeAndCheck(e.Body, new(KeyBody))
	case Consumer:
		return decodeAndCheck(e.Body, new(ConsumerBody))
	case Revocation:
		if !IsKeyID(e.ID) {
			return errors.New("id of a revocation must be that of the key: 16 lower-case hex digits")
		}
		return decodeAndCheck(e.Body, new(RevocationBody))
	case Spec:
		if slices.Contains(emptyBodies, string(bytes.TrimSpace(e.Body))) {
			return errors.New("spec is empty")
		}
	case Cert:
		if !bytes.Contains(e.Body, []byte("-----BEGIN CERTIFICATE-----")) {
			return errors.New("body holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")
		}
	}
	return nil
}

// emptyBodies are what programs send that have nothing to send.
var emptyBodies = []string{"", "{}", "[]", `""`, "null"}

func decodeAndCheck(body []byte, into interface{ Check() error }) error {
	if err := Decode(body, into); err != nil {
		return err
	}
	return into.Check()
}

// checkUpstream also refuses what names no endpoints, which is more likely an oversight than a wish to answer 503: that is
// an empty list.
func checkUpstream(body []byte) error {
	var b UpstreamBody
	if err := decodeAndCheck(body, &b); err != nil {
		return err
	}
	if b.Endpoints == nil {
		return errors.New("upstream has no endpoints: a list of {\"url\":\"http://host:port\"}, or [] to answer 503")
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
	return nil
}

// ownHeaders are those that belong to the connection or to the proxy itself.
var ownHeaders = []string{"connection", "content-length", "host", "keep-alive", "proxy-authenticate", "proxy-authorization",
	"proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}

// Check reports why the upstream cannot work. Without endpoints it answers 503, which is no error.
func (b *UpstreamBody) Check() error {
	for i, e := range b.Endpoints {
		u, err := url.Parse(e.URL)
		if err != nil { // it would repeat a password
			return fmt.Errorf("endpoint %d is not a URL", i+1)
		}
		if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
			return fmt.Errorf("endpoint %q is not of the form http://host:port", u.Redacted())
		}
		if (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
			return fmt.Errorf("endpoint %q has more than scheme, host and port", u.Redacted())
		}
	}
	if b.Balance != "" && b.Balance != RoundRobin && b.Balance != Failover {
		return fmt.Errorf("balance must be %q or %q, not %q", RoundRobin, Failover, b.Balance)
	}
	if b.Retries < -1 || b.Retries > 10 {
		return fmt.Errorf("retries must be -1 to 10, not %d", b.Retries)
	}
	return b.Health.check()
}

func (c HealthCheck) check() error {
	if c.Path == "" {
		return nil
	}
	if u, err := url.ParseRequestURI(c.Path); err != nil || !strings.HasPrefix(c.Path, "/") || u.Host != "" {
		return fmt.Errorf("health path %q is not a path", c.Path)
	}
	if c.Healthy < 0 || c.Unhealthy < 0 {
		return errors.New("health thresholds cannot be negative")
	}
	return nil
}

// Check reports why the key cannot work.
func (b *KeyBody) Check() error {
	_, err := b.Sum()
	return err
}

// Sum returns the SHA-256 that Hash spells.
func (b *KeyBody) Sum() (sum [sha256.Size]byte, err error) {
	n, err := hex.Decode(sum[:], []byte(b.Hash[:min(len(b.Hash), 2*len(sum))]))
	if err != nil || n != len(sum) || len(b.Hash) != 2*len(sum) {
		return [sha256.Size]byte{}, fmt.Errorf("hash must be %d hex digits", 2*len(sum))
	}
	return sum, nil
}

// Check finds nothing wrong: any name will do.
func (b *ConsumerBody) Check() error { return nil }

// isToken reports whether text is a token of RFC 9110, section 5.6.2.
func isToken(text string) bool {
	return text != "" && strings.IndexFunc(text, func(c rune) bool {
		return (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	}) < 0
}
