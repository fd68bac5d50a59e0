package probes

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// logged is a change with the instant at which the control plane applied it: the truth behind what was acknowledged.
type logged struct {
	Entry
	applied time.Duration
}

// drawLog draws a ledger's work until inject: objects made, changed, deleted, keys issued and revoked, one change of an
// object at a time, some of them without a known result.
func drawLog(t *rapid.T, inject time.Duration) []logged {
	type state struct {
		kind ChangeKind
		free time.Duration
	}
	objects, ids := map[string]*state{}, []string{}
	var all []logged
	for seq := int64(1); ; seq++ {
		sent := time.Duration(seq) * 40 * ms
		if sent >= inject-100*ms { // so that all is acknowledged before it
			return all
		}
		kind := rapid.SampledFrom([]ChangeKind{RouteChange, SpecChange, KeyChange}).Draw(t, "kind")
		id := fmt.Sprint(kind, seq)
		c := Change{Seq: seq, Kind: kind, ID: id}
		if len(ids) > 0 && rapid.Bool().Draw(t, "change") {
			if old := rapid.SampledFrom(ids).Draw(t, "object"); objects[old] != nil && objects[old].free <= sent {
				c.ID, c.Kind = old, objects[old].kind
				c.Delete = c.Kind != KeyChange && rapid.Bool().Draw(t, "delete")
				if c.Kind == KeyChange {
					c.Kind = RevokeChange
				}
			}
		}
		took := time.Duration(rapid.Int64Range(2, int64(90*ms)).Draw(t, "took"))
		l := logged{Entry: Entry{Change: c, Sent: sent, Done: sent + took, Result: Acked}}
		l.applied = sent + time.Duration(rapid.Int64Range(1, int64(took)).Draw(t, "applied"))
		if rapid.IntRange(0, 9).Draw(t, "result") == 0 {
			l.Result = Indeterminate
		}
		all = append(all, l)
		if objects[c.ID] == nil {
			objects[c.ID] = &state{kind: c.Kind}
			ids = append(ids, c.ID)
		}
		objects[c.ID].free = l.Done
		if l.Result != Acked || c.Delete || c.Kind == RevokeChange {
			objects[c.ID] = nil // not touched again
		}
	}
}

// stateAt is what a region shows that has everything applied until at, and nothing later.
func stateAt(log []logged, at time.Duration) []Observation {
	p := newPlane(0)
	var changes []Change
	for _, l := range log {
		changes = append(changes, l.Change)
		if l.applied <= at {
			p.apply(l.Change)
		}
	}
	seen, _ := p.Observe(nil, "west", changes)
	return seen
}

func TestTruthLiesInTheBracketOfRPA(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const inject = 2 * time.Second
		log := drawLog(t, inject)
		point := time.Duration(rapid.Int64Range(0, int64(inject)).Draw(t, "survived until"))
		var entries []Entry
		for _, l := range log {
			entries = append(entries, l.Entry)
		}
		l := EstimateLoss(entries, stateAt(log, point), inject)

		gone := l.Lost + l.Stale + l.Resurrected
		if truth := inject - point; gone > 0 && (truth < l.RPA.Low || (truth > l.RPA.High && !l.RPA.Open)) {
			t.Errorf("truth %v is not in %+v", truth, l.RPA)
		}
		if gone > 0 && (l.RPA.Point < l.RPA.Low || l.RPA.Point > l.RPA.High) {
			t.Errorf("%+v: point is outside", l.RPA)
		}
		if l.Corrupt+l.Phantom+l.Duplicate+l.Unread > 0 || l.Fork != nil {
			t.Errorf("%+v: a state at one instant has none of these", l)
		}
		for _, i := range l.Items {
			if truth := log[i.Seq-1]; i.Class.isLoss() && (truth.applied <= point || truth.Result != Acked) {
				t.Errorf("%+v is no loss: %+v survived", i, truth)
			}
		}
	})
}

func TestAnIntactStateHasNoLoss(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		log := drawLog(t, time.Second)
		var entries []Entry
		for _, l := range log {
			entries = append(entries, l.Entry)
		}
		l := EstimateLoss(entries, stateAt(log, time.Minute), time.Second)
		if l.RPA != (RPA{}) || l.Checked != l.Acked || l.Recovered != l.Indeterminate || len(l.Items) != l.Recovered {
			t.Errorf("%+v", l)
		}
	})
}
