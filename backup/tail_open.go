package backup

import (
	"errors"
	"fmt"
	"slices"

	"filippo.io/age"

	"gwdr/gateway"
)

// Open returns the changes, in order, and where they came from. A segment that cannot be opened ends the Tail before it, which
// Stop says then.
func (t *Tail) Open(identities []age.Identity) (changes []gateway.Change, provenance Provenance) {
	for i, s := range t.segments {
		whole := len(changes) // all of a segment, or nothing
		err := s.changes(identities, func(revision int64, c gateway.Change) {
			if t.before == 0 || revision < t.before {
				changes = append(changes, c)
			}
		})
		if err != nil {
			changes = changes[:whole]
			t.Stop = cannotOpen(s, err)
			t.segments, t.from = t.segments[:i], t.from[:i]
			t.Gaps = slices.DeleteFunc(t.Gaps, func(g TailGap) bool { return g.To > s.From })
			break
		}
		if n := len(changes) - whole; n > 0 {
			provenance = append(provenance, Origin{s.Object(), t.from[i], n})
		}
	}
	t.sum()
	t.Changes = len(changes)
	return changes, provenance
}

// Glean returns the changes of whatever segments can be opened, in order, also behind one that cannot. They need not lead
// anywhere, but some mean something by themselves, as a revocation does. Stop names the first that cannot be opened, if it does
// not say anything yet.
func (t *Tail) Glean(identities []age.Identity) (changes []gateway.Change) {
	for _, s := range t.segments {
		whole := len(changes)
		err := s.changes(identities, func(_ int64, c gateway.Change) { changes = append(changes, c) })
		if err == nil {
			continue
		}
		changes = changes[:whole]
		if t.Stop == "" {
			t.Stop = cannotOpen(s, err)
		}
		if errors.Is(err, ErrNoIdentity) { // it would be asked for at each one
			break
		}
	}
	return changes
}

func cannotOpen(s sealedSegment, err error) string {
	return fmt.Sprintf("segment %d of the log, which follows revision %d, cannot be opened: %v", s.Seq, s.From, err)
}

// Replay lays the changes over what the point holds, and returns where they came from, as Open does.
func (t *Tail) Replay(state *gateway.State, identities []age.Identity) Provenance {
	changes, provenance := t.Open(identities)
	for _, c := range changes {
		state.Apply(c)
	}
	return provenance
}

// End returns the point as if it had been taken where the Tail ends: ReadTail goes on from there.
func (t *Tail) End(found Found) Found {
	found.Revision, found.Time = t.Revision, t.Time
	if n := len(t.segments); n > 0 {
		found.Log = t.segments[n-1].position()
	}
	return found
}
