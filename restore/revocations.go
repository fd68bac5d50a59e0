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
		if f.Name == s.Point.Name && f.SHA256 == s.Point.SHA256 {
			done[f.Lineage] = true
			s.addTails(f, tails[f.SHA256], r)
			if _, silent := since[f.Lineage]; silent {
				since[f.Lineage] = f
			}
			continue
		}
		stray, _ := s.forks.Stray(ctx, f)
		if done[f.Lineage] || stray && strayed[f.Lineage] {
			continue
		}
		known := s.addTails(f, tails[f.SHA256], r)
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
		s.know(f.Time)
		s.know(known)
	}
	for lineage, f := range since {
		if s.replayed && len(r.Elsewhere) == 0 && lineage == s.Point.Lineage { // the state has them
			continue
		}
		if tails, err := r.wholeTails(ctx, s, f); err == nil {
			s.addTails(f, tails, r)
		}
	}
	return nil
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
func (r *Source) newestTails(ctx context.Context, s *Snapshot, found []backup.Found) map[string][]*backup.Tail {
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
	tails, errs := make([][]*backup.Tail, len(newest)), make([]error, len(newest))
	var group errgroup.Group
	group.SetLimit(4)
	for i, f := range newest {
		group.Go(func() error {
			tails[i], errs[i] = r.wholeTails(ctx, s, f)
			return nil
		})
	}
	_ = group.Wait() // errs has them
	byPoint := map[string][]*backup.Tail{}
	for i, f := range newest {
		if errs[i] != nil {
			s.note("log", "after point %s does not tell its revocations: a key revoked since may come back: %v", path.Base(f.Name), errs[i])
			continue
		}
		byPoint[f.SHA256] = tails[i]
	}
	return byPoint
}
