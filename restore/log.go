package restore

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"gwdr/backup"
	"gwdr/gateway"
)

// replay lays the log after the selected point over it, as far as At wants it. How far that leads, and why it leads no
// further, is never silent; where At names a state behind a gap, it is an error that wraps ErrGap.
func (r *Source) replay(ctx context.Context, s *Snapshot, candidates []backup.Found) error {
	if r.At.Point != "" {
		return nil
	}
	name := path.Base(s.Point.Name)
	if r.At == (At{}) && emptied(s.Point, candidates) {
		s.note("log", "is not replayed after point %s: it leads to a gateway that held nothing", name)
		return nil
	}
	r.progress("reading the log after point %s", name)
	tail, err := backup.ReadTail(ctx, s.Point, s.copies, r.Keys.Trusted, r.At.bound(r.AllowGap))
	if err != nil && r.At != (At{}) {
		return fmt.Errorf("%w: %w", ErrGap, err)
	}
	if err != nil {
		s.note("log", "cannot be read: what came after point %s is lost: %v", name, err)
		return nil
	}
	state := s.State.Clone()
	provenance := tail.Replay(state, r.Keys.Identities)
	s.noteTail(tail, name)
	if tail.Stop != "" && r.At != (At{}) {
		return fmt.Errorf("%w: from point %s to the %s: %s", ErrGap, name, r.At, tail.Stop)
	}
	if r.At.Before > 0 && tail.Revision < r.At.Before-1 {
		s.note("log", "ends at revision %d: what was changed between it and revision %d, if anything, is not in the backups", tail.Revision, r.At.Before)
	}
	r.lead(s, tail, state, candidates)
	if s.State == state {
		s.Provenance = append(s.Provenance, provenance...)
	}
	return nil
}

// lead takes the state that the tail leads to, unless it is one that nobody would want back.
func (r *Source) lead(s *Snapshot, tail *backup.Tail, state *gateway.State, candidates []backup.Found) {
	name := path.Base(s.Point.Name)
	if state.Len() == 0 {
		s.note("log", "is not replayed: it leads from point %s to a gateway that holds nothing", name)
		return
	}
	if state.Len()*2 < s.State.Len() {
		s.note("log", "leads from %d entities in point %s to %d: was it written after the loss? --at %s restores the point alone",
			s.State.Len(), name, state.Len(), name)
	}
	for _, gap := range tail.Gaps {
		s.note("log", "was followed across a gap: %s", gap)
	}
	s.noteSame(tail, state, candidates)
	s.State, s.Revision, s.Time, s.Gaps = state, tail.Revision, tail.Time, tail.Gaps
	if s.know(tail.Time); len(tail.Gaps) > 0 {
		s.RevokedBy = tail.Gaps[0].From
	}
	s.end = tail.End(s.Point)
	s.replayed = tail.Stop == "" && len(tail.Gaps) == 0 && len(tail.Strayed) == 0 && r.At == (At{})
}

// noteSame compares the state with what a point says that stands where the tail ends, even if its packs are lost.
func (s *Snapshot) noteSame(tail *backup.Tail, state *gateway.State, points []backup.Found) {
	for _, f := range points {
		if !tail.EndsAt(f) {
			continue
		}
		if name := path.Base(f.Name); state.Digest() == f.Digest {
			s.note("log", "leads to exactly what point %s was taken of", name)
		} else {
			s.note("log", "does NOT lead to what point %s was taken of: their digests differ", name)
		}
		return
	}
}

// emptied reports whether a newer point of the lineage was passed over because it holds nothing: the log leads there.
func emptied(point backup.Found, candidates []backup.Found) bool {
	return slices.ContainsFunc(candidates, func(f backup.Found) bool {
		return f.Lineage == point.Lineage && f.Log.Seq > point.Log.Seq && f.Entities() == 0
	})
}

// noteTail says where the log leads, and what copies have wrong of it.
func (s *Snapshot) noteTail(tail *backup.Tail, point string) {
	switch at := tail.Time.UTC().Format(time.RFC3339); {
	case tail.Stop != "" && tail.Changes == 0:
		s.note("log", "does not lead on from point %s: %s", point, tail.Stop)
	case tail.Stop != "":
		s.note("log", "leads on from point %s by %s, to revision %d of %s, and NOT to its end: %s",
			point, changes(tail.Changes), tail.Revision, at, tail.Stop)
	case tail.Changes > 0:
		s.note("log", "leads on from point %s by %s, to revision %d of %s", point, changes(tail.Changes), tail.Revision, at)
	}
	told := map[string]int{}
	for _, p := range tail.Problems {
		if errors.Is(p.Err, backup.ErrSilent) {
			s.noteProblem(p)
		} else if told[p.Copy]++; told[p.Copy] == 1 {
			s.noteProblem(p)
		}
	}
	for copy, n := range told {
		if n > 1 {
			s.note(copy, "%d more segments of the log are damaged", n-1)
		}
	}
}
