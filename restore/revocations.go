package restore

import (
	"context"
	"fmt"
	"path"
	"slices"
	"sync"

	"gwdr/backup"
	"gwdr/gateway"
)

// askWitnesses returns the revocations that the witnesses know, and names those that did not answer: on the worst day most
// of them are gone.
func (r *Source) askWitnesses(ctx context.Context) ([]gateway.Entity, []Finding) {
	ctx, cancel := context.WithTimeout(ctx, r.patience())
	defer cancel()
	known := make([][]gateway.Entity, len(r.Witnesses))
	silent := make([][]Finding, len(r.Witnesses))
	var wait sync.WaitGroup
	for i, w := range r.Witnesses {
		wait.Go(func() {
			var err error
			if known[i], err = w.Revocations(ctx); err != nil {
				silent[i] = []Finding{{Subject: fmt.Sprintf("witness %d", i+1),
					Text: fmt.Sprintf("did not tell its revocations: a key revoked since the point may come back: %v", err)}}
			}
		})
	}
	wait.Wait()
	return slices.Concat(known...), slices.Concat(silent...)
}

// otherRevocations adds what was revoked after, or beside, the selected point: the newest point of each lineage that can
// be loaded knows every revocation of its lineage before it, and the log those after it.
func (r *Source) otherRevocations(ctx context.Context, s *Snapshot, found []backup.Found) error {
	r.loggedRevocations(ctx, s, found)
	done, strayed := map[string]bool{}, map[string]bool{}
	for _, f := range found {
		if f.Name == s.Point.Name && f.SHA256 == s.Point.SHA256 {
			done[f.Lineage] = true
		}
		if done[f.Lineage] || f.Counts[gateway.Revocation] == 0 {
			continue
		}
		stray, _ := s.forks.Stray(ctx, f)
		if stray && strayed[f.Lineage] {
			continue
		}
		state, _, err := r.load(ctx, s, f)
		if ctx.Err() != nil {
			return fmt.Errorf("load revocations: %w", ctx.Err())
		}
		if err != nil {
			s.note(path.Base(f.Name), "does not tell its revocations: a key revoked by then may come back: %v", err)
			continue
		}
		done[f.Lineage], strayed[f.Lineage] = !stray, stray // the other writer may know others
		s.Revocations = slices.AppendSeq(s.Revocations, state.Kind(gateway.Revocation))
	}
	return nil
}
