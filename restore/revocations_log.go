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

// maxLogs is how many lineages' logs without a point are read: anybody who can write to a location can put any number there.
const maxLogs = 64

// loggedRevocations adds what was revoked in the logs of lineages of which no point is left.
func (r *Source) loggedRevocations(ctx context.Context, s *Snapshot, found []backup.Found, logs []string) error {
	logs = slices.DeleteFunc(logs, func(lineage string) bool {
		return slices.ContainsFunc(found, func(f backup.Found) bool { return f.Lineage == lineage })
	})
	if len(logs) > maxLogs {
		s.note("log", "of %d lineages of which no point is left is not read: a key revoked there may come back", len(logs)-maxLogs)
		logs = logs[:maxLogs]
	}
	tails, errs := make([][]*backup.Tail, len(logs)), make([]error, len(logs))
	var group errgroup.Group
	group.SetLimit(4)
	for i, lineage := range logs {
		group.Go(func() error {
			tails[i], errs[i] = r.wholeTails(ctx, s, beginning(lineage))
			return nil
		})
	}
	_ = group.Wait() // errs has them
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("load revocations: %w", err)
	}
	for i, lineage := range logs {
		if errs[i] != nil {
			s.note("log", "of lineage %.8s, of which no point is left, cannot be read: a key revoked there may come back: %v", lineage, errs[i])
			continue
		}
		for _, tail := range tails[i] {
			if unknown := s.addTail(tail, r); unknown != "" {
				s.note("log", "of lineage %.8s, of which no point is left, does not tell all its revocations: a key revoked there may come back: %s", lineage, unknown)
			}
		}
	}
	return nil
}

// wholeTails reads the log after the point, and across whatever is lost of it; then all of the log of each copy that has
// another writer's.
func (r *Source) wholeTails(ctx context.Context, s *Snapshot, f backup.Found) ([]*backup.Tail, error) {
	bound := backup.TailBound{AcrossGaps: true}
	tail, err := backup.ReadTail(ctx, f, s.copies, r.Keys.Trusted, bound)
	if err != nil {
		return nil, err
	}
	tails := []*backup.Tail{tail}
	for _, c := range s.copies {
		if !slices.Contains(tail.Strayed, c.Name) {
			continue
		}
		own, err := backup.ReadTail(ctx, beginning(f.Lineage), []backup.Copy{c}, r.Keys.Trusted, bound)
		if err != nil {
			return nil, err
		}
		tails = append(tails, own)
	}
	return tails, nil
}

// beginning stands before all of a lineage's log.
func beginning(lineage string) backup.Found {
	return backup.Found{Point: backup.Point{Lineage: lineage}}
}

// addTails adds what was revoked in the log after the point, and returns by when all of that is known; never, if not all of
// it can be read, which is noted.
func (s *Snapshot) addTails(f backup.Found, tails []*backup.Tail, r *Source) (by time.Time) {
	for i, tail := range tails {
		unknown := s.addTail(tail, r)
		if i > 0 { // what is before the point is no news
			unknown = tail.Stop
		}
		switch {
		case unknown != "":
			s.note("log", "after point %s does not tell all its revocations: a key revoked since may come back: %s", path.Base(f.Name), unknown)
		case i == 0:
			by = tail.Time
		}
	}
	return by
}

// addTail adds what was revoked in the log, and says what is not known of it.
func (s *Snapshot) addTail(tail *backup.Tail, r *Source) (unknown string) {
	state := gateway.NewState()
	for _, c := range tail.Glean(r.Keys.Identities) {
		if c.Entity.Kind == gateway.Revocation && c.Op != gateway.Delete { // it is for good
			state.Put(c.Entity)
		}
	}
	s.Revocations = slices.AppendSeq(s.Revocations, state.Kind(gateway.Revocation))
	unknown = tail.Stop
	for _, gap := range tail.Gaps {
		unknown = gap.String()
	}
	return unknown
}
