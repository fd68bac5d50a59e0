package restore

import (
	"context"
	"fmt"
	"path"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"gwdr/backup"
	"gwdr/gateway"
)

// otherRevocations adds what was revoked after, or beside, the selected point: the newest point of each lineage that can
// be loaded knows every revocation of its lineage before it, and the log those after it.
func (r *Source) otherRevocations(ctx context.Context, s *Snapshot, found []backup.Found) error {
	tails := r.newestTails(ctx, s, found)
	done, strayed := map[string]bool{}, map[string]bool{}
	since := map[string]backup.Found{} // by lineage, if newer points do not tell: from where the log has to
	for _, f := range found {
		tail := tails[f.SHA256]
		if f.Name == s.Point.Name && f.SHA256 == s.Point.SHA256 {
			done[f.Lineage] = true
			s.addTail(f, tail, r)
			if _, silent := since[f.Lineage]; silent {
				since[f.Lineage] = f
			}
			continue
		}
		stray, _ := s.forks.Stray(ctx, f)
		if done[f.Lineage] || stray && strayed[f.Lineage] {
			continue
		}
		whole := s.addTail(f, tail, r)
		if err := r.addPoint(ctx, s, f); ctx.Err() != nil {
			return fmt.Errorf("load revocations: %w", ctx.Err())
		} else if err != nil {
			s.note(path.Base(f.Name), "does not tell its revocations: a key revoked by then may come back: %v", err)
			f.Log, f.Revision, f.Time = backup.Position{}, 0, time.Time{} // unless an older one tells: all of the log
			since[f.Lineage] = f
			continue
		}
		if _, silent := since[f.Lineage]; silent {
			since[f.Lineage] = f
		}
		done[f.Lineage], strayed[f.Lineage] = !stray, stray // the other writer may know others
		if s.know(f.Time); whole {
			s.know(tail.Time)
		}
	}
	for lineage, f := range since {
		if s.replayed && lineage == s.Point.Lineage { // the state has them
			continue
		}
		if tail, err := r.wholeTail(ctx, s, f); err == nil {
			s.addTail(f, tail, r)
		}
	}
	return nil
}

// wholeTail reads the log after the point, and across whatever is lost of it.
func (r *Source) wholeTail(ctx context.Context, s *Snapshot, f backup.Found) (*backup.Tail, error) {
	return backup.ReadTail(ctx, f, s.copies, r.Keys.Trusted, backup.TailBound{AcrossGaps: true})
}

// addPoint adds the revocations that the point holds.
func (r *Source) addPoint(ctx context.Context, s *Snapshot, f backup.Found) error {
	if f.Counts[gateway.Revocation] == 0 {
		return nil
	}
	state, _, err := r.load(ctx, s, f)
	if err != nil {
		return err
	}
	s.Revocations = slices.AppendSeq(s.Revocations, state.Kind(gateway.Revocation))
	return nil
}

// newestTails reads the log after the newest points of each lineage, by the points' SHA256, as far as it tells more than the
// snapshot does: that of the newest point, and of the newest that most locations follow.
func (r *Source) newestTails(ctx context.Context, s *Snapshot, found []backup.Found) map[string]*backup.Tail {
	seen := map[string]bool{}
	var newest []backup.Found
	for _, f := range found {
		if seen[f.Lineage] {
			continue
		}
		stray, _ := s.forks.Stray(ctx, f)
		seen[f.Lineage] = !stray
		known := s.replayed && len(r.Elsewhere) == 0 && f.SHA256 == s.Point.SHA256 // the state has them
		if !known && opens(r.Keys.Identities, f.Recipients) {
			newest = append(newest, f)
		}
	}
	tails, errs := make([]*backup.Tail, len(newest)), make([]error, len(newest))
	var group errgroup.Group
	group.SetLimit(4)
	for i, f := range newest {
		group.Go(func() error {
			tails[i], errs[i] = r.wholeTail(ctx, s, f)
			return nil
		})
	}
	_ = group.Wait() // errs has them
	byPoint := map[string]*backup.Tail{}
	for i, f := range newest {
		if errs[i] != nil {
			s.note("log", "after point %s does not tell its revocations: a key revoked since may come back: %v", path.Base(f.Name), errs[i])
			continue
		}
		byPoint[f.SHA256] = tails[i]
	}
	return byPoint
}

// addTail adds what was revoked in the log after the point, and reports whether that is all that was. What cannot be read of
// it is noted.
func (s *Snapshot) addTail(f backup.Found, tail *backup.Tail, r *Source) (whole bool) {
	if tail == nil {
		return false
	}
	state := gateway.NewState()
	tail.Replay(state, r.Keys.Identities)
	s.Revocations = slices.AppendSeq(s.Revocations, state.Kind(gateway.Revocation))
	unknown := tail.Stop
	for _, gap := range tail.Gaps {
		unknown = gap.String()
	}
	if unknown == "" {
		return true
	}
	s.note("log", "after point %s does not tell all its revocations: a key revoked since may come back: %s", path.Base(f.Name), unknown)
	return false
}
