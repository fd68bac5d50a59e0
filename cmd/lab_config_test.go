package cmd

import (
	"bytes"
	"errors"
	"net/http"
	"testing"
	"time"

	"gwdr/fleet"
	"gwdr/fleet/process"
	"gwdr/gateway"
	"gwdr/gateway/native"
)

// stateOfLab returns all that a control plane has.
func stateOfLab(t *testing.T, client *native.Client) *gateway.State {
	t.Helper()
	_, state, err := client.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return state
}

// TestKeysRevokedDuringAWipeStayDead revokes one of the keys while all are gone: the undo puts back the others, byte for byte.
func TestKeysRevokedDuringAWipeStayDead(t *testing.T) {
	lab := newLab(t, process.ReplicationAsync)
	east := &native.Client{URL: lab.ControlURL("east"), Token: lab.AdminToken()}
	for _, consumer := range []string{"lab", "lab"} {
		if _, err := east.IssueKey(t.Context(), consumer, nil, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	before := stateOfLab(t, east)
	tokens, err := labTokens(lab)
	if err != nil {
		t.Fatal(err)
	}
	live, err := gateway.ParseToken(tokens[liveKey])
	if err != nil {
		t.Fatal(err)
	}
	u := inject(t, lab, fleet.KeyWipe, fleet.Selector{Instance: "east-control"})
	for e := range stateOfLab(t, east).Kind(gateway.Key) {
		t.Errorf("key %s is left", e.ID)
	}
	revocation := gateway.Encode(gateway.RevocationBody{At: time.Now().UTC(), Reason: "leaked"})
	if _, err := east.Put(t.Context(), gateway.Entity{Ref: gateway.Ref{Kind: gateway.Revocation, ID: live.ID}, Body: revocation}, gateway.Condition{}); err != nil {
		t.Fatal(err)
	}
	if err := lab.Revert(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	after := stateOfLab(t, east)
	for e := range before.Kind(gateway.Key) {
		now, there := after.Get(e.Ref)
		if there == (e.ID == live.ID) || there && !bytes.Equal(now, e.Body) {
			t.Errorf("key %s: there %v, body %s, was %s", e.ID, there, now, e.Body)
		}
	}
	if status, _ := ask(t, lab, liveKey); status != http.StatusUnauthorized {
		t.Errorf("a key that was revoked gets %d, want 401", status)
	}
}

// TestConfigurationMadeRightStays changes an upstream while all are wrong: the undo leaves that one alone, also at the region that was
// promoted meanwhile.
func TestConfigurationMadeRightStays(t *testing.T) {
	lab := newLab(t, process.ReplicationAsync)
	east := &native.Client{URL: lab.ControlURL("east"), Token: lab.AdminToken()}
	west := &native.Client{URL: lab.ControlURL("west"), Token: lab.AdminToken()}
	other := gateway.Entity{Ref: gateway.Ref{Kind: gateway.Upstream, ID: "other"},
		Body: []byte(`{ "endpoints": [ {"url":"http://127.0.0.1:9"} ] }`)}
	if _, err := east.Put(t.Context(), other, gateway.Condition{}); err != nil {
		t.Fatal(err)
	}
	before := stateOfLab(t, east)
	u := inject(t, lab, fleet.BadConfig, fleet.Selector{Instance: "east-control"})
	if status, _ := ask(t, lab, liveKey); status != http.StatusBadGateway {
		t.Errorf("with a wrong configuration clients get %d, want 502", status)
	}
	within(t, "west has the wrong configuration", func() bool {
		now, ok := stateOfLab(t, west).Get(other.Ref)
		return ok && !bytes.Equal(now, other.Body)
	})
	if _, err := west.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	right := gateway.Entity{Ref: other.Ref, Body: []byte(`{"endpoints":[{"url":"http://127.0.0.1:10"}]}`)}
	within(t, "west takes changes", func() bool {
		_, err := west.Put(t.Context(), right, gateway.Condition{})
		return err == nil || !errors.Is(err, gateway.ErrNotLeader)
	})
	within(t, "the fault is reverted", func() bool { return lab.Revert(t.Context(), u) == nil })
	before.Put(right)
	if changes := gateway.Diff(before, stateOfLab(t, west)); len(changes) > 0 {
		t.Errorf("after the undo: %v", changes)
	}
	within(t, "clients are served", func() bool { status, _ := ask(t, lab, liveKey); return status == http.StatusOK })
}
