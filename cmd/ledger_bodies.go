package cmd

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"gwdr/gateway"
	"gwdr/probes"
)

// ledgerKind returns the kind of entity that a change of the kind is of.
func ledgerKind(k probes.ChangeKind) gateway.Kind {
	switch k {
	case probes.RevokeChange:
		return gateway.Revocation
	default:
		return gateway.Kind(k) // the same words
	}
}

// ledgerMark is what every body of the ledger's carries: whose it is, and which change made it.
type ledgerMark struct {
	ID      string // the change's object id
	Version int64
}

func (m ledgerMark) String() string { return m.ID + ":" + strconv.FormatInt(m.Version, 10) }

// parseLedgerMark reads what String wrote.
func parseLedgerMark(text string) (m ledgerMark, ok bool) {
	id, version, found := strings.Cut(text, ":")
	n, err := strconv.ParseInt(version, 10, 64)
	return ledgerMark{id, n}, found && err == nil && n > 0 && id != ""
}

const (
	ledgerScope  = "gwdr-ledger:"        // and the mark: the scope of a key
	ledgerReason = "gwdr change ledger " // and the mark: the reason of a revocation
)

func ledgerPath(id string) string { return "/ledger/" + id }

// ledgerBody is what the change leaves behind, in the words of the bundled gateway. hash is that of a key's token.
func ledgerBody(c probes.Change, upstream, hash string, now time.Time) []byte {
	mark := ledgerMark{c.ID, c.Seq}.String()
	var body any
	switch c.Kind {
	case probes.RouteChange:
		body = gateway.RouteBody{Path: ledgerPath(c.ID), Upstream: upstream, Auth: gateway.AuthNone,
			Headers: map[string]string{"X-Gwdr-Revision": strconv.FormatInt(c.Seq, 10), "X-Gwdr-Ledger": mark}}
	case probes.SpecChange:
		body = map[string]any{"openapi": "3.1.0", "info": map[string]string{"title": c.ID, "version": strconv.FormatInt(c.Seq, 10)},
			"paths": map[string]any{}, "x-gwdr-ledger": mark}
	case probes.KeyChange:
		body = gateway.KeyBody{Hash: hash, Created: now, Scopes: []string{ledgerScope + mark}}
	case probes.RevokeChange:
		body = gateway.RevocationBody{At: now, Reason: ledgerReason + mark}
	case probes.UpstreamChange: // nothing leads there, and nothing would answer
		body = gateway.UpstreamBody{Endpoints: []gateway.Endpoint{}, Health: gateway.HealthCheck{Path: "/ledger/" + mark}}
	case probes.ConsumerChange:
		body = gateway.ConsumerBody{Name: mark}
	case probes.CertChange: // an empty one, which no listener takes
		body = map[string]string{"ledger": mark, "certificate": "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"}
	case probes.SettingChange:
		body = map[string]string{"ledger": mark}
	}
	return gateway.Encode(body)
}

// readLedgerMark reads the mark out of a body; not ok if there is none: it is not the ledger's.
func readLedgerMark(kind gateway.Kind, body []byte) (ledgerMark, bool) {
	var b struct {
		Headers map[string]string
		Spec    string   `json:"x-gwdr-ledger"`
		Ledger  string   `json:"ledger"`
		Scopes  []string `json:"scopes"`
		Reason  string   `json:"reason"`
		Name    string   `json:"name"`
		Health  struct{ Path string }
	}
	if json.Unmarshal(body, &b) != nil {
		return ledgerMark{}, false
	}
	text, found := "", true
	switch kind {
	case gateway.Route:
		text = b.Headers["X-Gwdr-Ledger"]
	case gateway.Spec:
		text = b.Spec
	case gateway.Key:
		if found = len(b.Scopes) == 1; found {
			text, found = strings.CutPrefix(b.Scopes[0], ledgerScope)
		}
	case gateway.Revocation:
		text, found = strings.CutPrefix(b.Reason, ledgerReason)
	case gateway.Upstream:
		text, found = strings.CutPrefix(b.Health.Path, "/ledger/")
	case gateway.Consumer:
		text = b.Name
	default:
		text = b.Ledger
	}
	if !found {
		return ledgerMark{}, false
	}
	return parseLedgerMark(text)
}
