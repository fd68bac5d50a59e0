package restore

import (
	"context"
	"testing"
	"time"

	"gwdr/gateway/gatewaytest"
)

// mute is a fault: a location that does not answer within the time, or at all.
func mute(within time.Duration) func(context.Context, string, string) error {
	return func(ctx context.Context, _, _ string) error {
		select {
		case <-time.After(within):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// TestMuteLocation: a dead location costs no more than a connection that is not made, wherever it stands.
func TestMuteLocation(t *testing.T) {
	for place, name := range []string{"local", "nas", "offsite"} {
		inBubble(t, func(t *testing.T, w *world) {
			w.backup()
			w.gateway.Wipe()
			w.memories[place].Break(mute(time.Hour))
			begun := time.Now()
			p, res := w.run()
			if took := time.Since(begun); took > haste+time.Second || res.Created != len(gatewaytest.Sample()) {
				t.Errorf("without %s: %s for %d entities", name, took, res.Created)
			}
			w.wantFinding(p.Findings, name, "no answer within 5s")
		})
	}
}

// TestSlowLocation: the last location is waited for, if there is no other.
func TestSlowLocation(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.backup()
		w.gateway.Wipe()
		w.memories[0].Break(mute(time.Hour))
		w.memories[1].Break(mute(time.Hour))
		w.memories[2].Break(mute(haste + 3*time.Second))
		p, res := w.run()
		if res.Created != len(gatewaytest.Sample()) {
			t.Errorf("result %+v", res)
		}
		w.wantFinding(p.Findings, "nas", "no answer within")
	})
}

// TestSlowLocations: where all are slow, the first one that answers does not cost the others their turn.
func TestSlowLocations(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.backup()
		w.revoke()
		w.copies = w.copies[2:] // the others are away meanwhile
		w.backup()
		w.gateway.Wipe()
		w.memories[0].Break(mute(haste + time.Second))
		w.memories[1].Break(mute(time.Hour))
		w.memories[2].Break(mute(haste + time.Second + 300*time.Millisecond))
		p, res := w.run()
		if !w.has(newlyRevoked.Ref) {
			t.Errorf("result %+v", res)
		}
		w.wantFinding(p.Findings, "nas", "no answer within 8s")
	})
}
