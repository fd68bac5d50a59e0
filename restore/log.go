package restore

import (
	"context"
	"path"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"gwdr/backup"
	"gwdr/gateway"
)

// replay lays the log after the selected point over it, where the newest state is wanted. How far that leads, and why it leads
// no further, is never silent.
func (r *Source) replay(ctx context.Context, s *Snapshot, candidates []backup.Found) {
	if r.At != (At{}) {
		return
	}
	name := path.Base(s.Point.Name)
	if emptied(s.Point, candidates) {
		s.note("log", "is not replayed after point %s: it leads to a gateway that held nothing", name)
		return
	}
	r.progress("reading the log after point %s", name)
	tail, err := backup.ReadTail(ctx, s.Point, s.copies, r.Keys.Trusted)
	if err != nil {
		s.note("log", "cannot be read: what came after point %s is lost: %v", name, err)
		return
	}
	state := s.State.Clone()
	provenance := tail.Replay(state, r.Keys.Identities)
	s.noteTail(tail, name)
	if state.Len() == 0 {
		s.note("log", "is not replayed: it leads from point %s to a gateway that holds nothing", name)
		return
	}
	if state.Len()*2 < s.State.Len() {
		s.note("log", "leads from %d entities in point %s to %d: was it written after the loss? --at %s restores the point alone",
			s.State.Len(), name, state.Len(), name)
	}
	s.State, s.Revision, s.Time = state, tail.Revision, tail.Time
	s.replayed, s.end = tail.Stop == "", tail.End(s.Point)
	for from, n := range provenance {
		s.Provenance[from] += n
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
		s.note("log", "leads on from point %s by %d changes, to revision %d of %s, and NOT to its end: %s",
			point, tail.Changes, tail.Revision, at, tail.Stop)
	case tail.Changes > 0:
		s.note("log", "leads on from point %s by %d changes, to revision %d of %s", point, tail.Changes, tail.Revision, at)
	}
	told := map[string]int{}
	for _, p := range tail.Problems {
		if told[p.Copy]++; told[p.Copy] == 1 {
			s.note(p.Copy, "%s: %s", p.Object, p.Text)
		}
	}
	for copy, n := range told {
		if n > 1 {
			s.note(copy, "%d more segments of the log are damaged", n-1)
		}
	}
}

// loggedRevocations adds what was revoked in the log after the newest point of each lineage. What cannot be read of it is
// noted.
func (r *Source) loggedRevocations(ctx context.Context, s *Snapshot, found []backup.Found) {
	seen := map[string]bool{}
	var newest []backup.Found
	for _, f := range found {
		known := s.replayed && len(r.Elsewhere) == 0 && f.SHA256 == s.Point.SHA256 // the state has them
		if !seen[f.Lineage] && !known && opens(r.Keys.Identities, f.Recipients) {
			newest = append(newest, f)
		}
		seen[f.Lineage] = true
	}
	tails, errs := make([]*backup.Tail, len(newest)), make([]error, len(newest))
	var group errgroup.Group
	group.SetLimit(4)
	for i, f := range newest {
		group.Go(func() error {
			tails[i], errs[i] = backup.ReadTail(ctx, f, s.copies, r.Keys.Trusted)
			return nil
		})
	}
	_ = group.Wait() // errs has them
	for i, f := range newest {
		if errs[i] != nil {
			s.note("log", "after point %s does not tell its revocations: a key revoked since may come back: %v", path.Base(f.Name), errs[i])
			continue
		}
		state := gateway.NewState()
		tails[i].Replay(state, r.Keys.Identities)
		s.Revocations = slices.AppendSeq(s.Revocations, state.Kind(gateway.Revocation))
		if tails[i].Stop != "" {
			s.note("log", "after point %s does not tell all its revocations: a key revoked since may come back: %s", path.Base(f.Name), tails[i].Stop)
		}
	}
}
