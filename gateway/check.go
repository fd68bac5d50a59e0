package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Check reports why the bundled gateway should not store the entity, whatever else there is: a reference that cannot be
// stored, or a body that is not what its kind needs. The admin API asks before it stores what is new; a restore brings back
// what was. A Spec or Cert is looked into no further than that there is one, a Setting only
// if it is an issuer of tokens.
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
		return checkRoute(e.Body)
	case Upstream:
		return checkUpstream(e.Body)
	case Key:
		return decodeAndCheck(e.Body, new(KeyBody))
	case Consumer:
		return decodeAndCheck(e.Body, new(ConsumerBody))
	case Setting:
		if _, ok := IssuerName(e.Ref); ok {
			return decodeAndCheck(e.Body, new(IssuerBody))
		}
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

// checkRoute also refuses a host that no request has, as its star does not stand for the first labels of a name.
func checkRoute(body []byte) error {
	var b RouteBody
	if err := decodeAndCheck(body, &b); err != nil {
		return err
	}
	for _, h := range b.Hosts {
		if below, _ := strings.CutPrefix(h, "*."); strings.Contains(below, "*") || strings.HasPrefix(below, ".") || below == "" {
			return fmt.Errorf("host %q is neither a name nor of the form *.example.com; to match any, name no hosts", h)
		}
	}
	return nil
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
