package cmd

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/gateway"
	"gwdr/gateway/gatewaytest"
	"gwdr/probes"
)

// driven is a ledger of a gateway that only has a driver: no address of an object, no data plane.
func driven(g *gatewaytest.Gateway) *ledgerAdmin {
	return &ledgerAdmin{writer: &targetWriter{target: g}, upstream: "echo",
		regions: func(context.Context) (map[string]*ledgerRegion, error) {
			return map[string]*ledgerRegion{"here": {control: g}}, nil
		}}
}

func TestKindsThatAGatewayDoesNotGiveAreNamed(t *testing.T) {
	g := gatewaytest.New()
	g.Withhold(gateway.Key, gateway.Cert)
	e, err := g.Export(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	why := "the gateway does not give its entities of kind "
	want := map[probes.ChangeKind]string{probes.KeyChange: why + "key", probes.RevokeChange: why + "key", probes.CertChange: why + "cert"}
	if diff := cmp.Diff(want, ledgerUncovered(e, probes.ChangeKinds())); diff != "" {
		t.Error(diff)
	}
	seen, err := driven(g).Observe(t.Context(), "here", []probes.Change{{Seq: 1, Kind: probes.KeyChange, ID: "x-1"}})
	if err != nil || len(seen) != 1 || seen[0].Error != why+"key" {
		t.Errorf("%+v, %v: neither there nor absent", seen, err)
	}
}

// TestWhatNobodyWroteIsFound alters a gateway behind the ledger's back.
func TestWhatNobodyWroteIsFound(t *testing.T) {
	g := gatewaytest.New(gateway.Entity{Ref: gateway.Ref{Kind: gateway.Upstream, ID: "echo"}, Body: []byte(`{"endpoints":[]}`)})
	l := driven(g)
	var entries []probes.Entry
	var changes []probes.Change
	for i, kind := range []probes.ChangeKind{probes.RouteChange, probes.RouteChange, probes.RouteChange, probes.SpecChange, probes.KeyChange, probes.KeyChange} {
		c := probes.Change{Seq: int64(i + 1), Kind: kind, ID: "x-" + string(rune('a'+i))}
		if err := l.Make(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		changes = append(changes, c)
		entries = append(entries, probes.Entry{Change: c, Sent: time.Duration(c.Seq), Done: time.Duration(c.Seq), Result: probes.Acked})
	}
	route := func(id string) gateway.Ref { return gateway.Ref{Kind: gateway.Route, ID: id} }
	body := func(r gateway.Ref) []byte { b, _ := export(g).State.Get(r); return b }
	// the mark is right and the rest is not; another object's body; no body of the ledger's at all
	g.Put(gateway.Entity{Ref: route("x-a"), Body: []byte(`{"path":"/elsewhere","upstream":"echo","headers":{"X-Gwdr-Ledger":"x-a:1"}}`)})
	g.Put(gateway.Entity{Ref: route("x-b"), Body: body(route("x-c"))})
	g.Put(gateway.Entity{Ref: gateway.Ref{Kind: gateway.Spec, ID: "x-d"}, Body: []byte(`openapi: 3.1.0`)})
	// never sent: an object of this ledger, and one of another
	g.Put(gateway.Entity{Ref: route("x-z"), Body: []byte(`{"path":"/z","upstream":"echo","headers":{"X-Gwdr-Ledger":"x-z:99"}}`)})
	g.Put(gateway.Entity{Ref: route("y-z"), Body: []byte(`{"path":"/z","upstream":"echo","headers":{"X-Gwdr-Ledger":"y-z:99"}}`)})
	seen, err := l.Observe(t.Context(), "here", changes)
	if err != nil {
		t.Fatal(err)
	}
	loss := probes.EstimateLoss(entries, seen, time.Minute)
	want := []string{"corrupt route x-a 1", "corrupt route x-b 2", "corrupt spec x-d 4", "phantom route x-z 0"}
	if diff := cmp.Diff(want, found(loss, entries)); diff != "" {
		t.Error(diff)
	}
}

// TestResultsOfADriver: what a driver says tells what did not happen from what may have.
func TestResultsOfADriver(t *testing.T) {
	for name, test := range map[string]struct {
		err      error
		rejected bool
	}{
		"conflict":   {gateway.ErrConflict, true},
		"not leader": {gateway.ErrNotLeader, true},
		"partial":    {&gateway.PartialError{Applied: 1, Err: gateway.ErrConflict}, false},
		"unknown":    {errors.New("broken pipe"), false},
		"too late":   {context.DeadlineExceeded, false},
	} {
		g := gatewaytest.New()
		g.FailApply(0, test.err)
		err := driven(g).Make(t.Context(), probes.Change{Seq: 1, Kind: probes.SettingChange, ID: "x-1"})
		if got := errors.As(err, new(*probes.RejectedError)); err == nil || got != test.rejected {
			t.Errorf("%s: rejected %v: %v", name, got, err)
		}
	}
}

func FuzzReadLedgerMark(f *testing.F) {
	for _, kind := range gateway.Kinds() {
		f.Add(string(kind), []byte(`{"headers":{"X-Gwdr-Ledger":"x-1:2"},"scopes":["gwdr-ledger:x-1:2"],"name":"x-1:2","ledger":"x-1:2"}`))
	}
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		if mark, ok := readLedgerMark(gateway.Kind(kind), body); ok && (mark.ID == "" || mark.Version <= 0) {
			t.Errorf("%+v is no mark", mark)
		}
	})
}
