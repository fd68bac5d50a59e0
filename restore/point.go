package restore

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"filippo.io/age"

	"gwdr/backup"
	"gwdr/gateway"
)

// loadFirst loads the first candidate that can be loaded and holds anything.
func (r *Source) loadFirst(ctx context.Context, s *Snapshot, candidates []backup.Found) error {
	var sealed []backup.Found
	tried := 0
	for _, f := range candidates {
		name := path.Base(f.Name)
		if f.Entities() == 0 && r.At.Point == "" {
			s.note(name, "is empty, passed over: it was taken of a gateway that held nothing")
			continue
		}
		if r.At.Point == "" && s.strays(ctx, f) {
			continue
		}
		state, provenance, err := r.load(ctx, s, f)
		if ctx.Err() != nil {
			return fmt.Errorf("load point %s: %w", name, ctx.Err())
		}
		tried++
		if errors.Is(err, backup.ErrNoIdentity) {
			return fmt.Errorf("load point %s: %w", name, err) // an older point is not what a wrong passphrase should give
		}
		if errors.Is(err, ErrSealed) {
			sealed = append(sealed, f) // said once for all of them
			continue
		}
		if err != nil {
			s.note(name, "of %s cannot be restored: %v", f.Time.Format(time.RFC3339), err)
			continue
		}
		s.Point, s.State, s.Provenance, s.Revision, s.Time = f, state, provenance, f.Revision, f.Time
		s.RevokedBy = f.Time
		s.damaged = damagedCopies(f, provenance.ByCopy())
		r.noteSealed(s, sealed)
		return nil
	}
	if len(sealed) > 0 && len(sealed) == tried {
		return fmt.Errorf("%w: %w: %s", ErrNothing, ErrSealed, r.sealedText(sealed))
	}
	r.noteSealed(s, sealed)
	return fmt.Errorf("%w: %s", ErrNothing, s.reason(candidates))
}

// strays reports whether the point is of a writer that few locations followed, and notes that it is passed over, or that few
// followed another one.
func (s *Snapshot) strays(ctx context.Context, f backup.Found) bool {
	stray, against := s.forks.Stray(ctx, f)
	switch name := path.Base(f.Name); {
	case stray:
		s.note(name, "is passed over: two writers continued lineage %.8s, and %s, most of the locations, have the other one's log", f.Lineage, strings.Join(against, ", "))
	case len(against) > 0:
		s.note(name, "is restored, but two writers continued lineage %.8s: %s has another one's log", f.Lineage, strings.Join(against, ", "))
	}
	return stray
}

// noteSealed names the points that only other identities open.
func (r *Source) noteSealed(s *Snapshot, sealed []backup.Found) {
	if len(sealed) > 0 {
		s.note(path.Base(sealed[0].Name), "is passed over: %s", r.sealedText(sealed))
	}
}

// sealedText says who could open what the identities do not.
func (r *Source) sealedText(sealed []backup.Found) string {
	readers := strings.Join(sealed[0].Recipients, ", ")
	if len(r.Keys.Identities) == 0 {
		return fmt.Sprintf("no identity is configured, and the newest point is encrypted for %s", readers)
	}
	if len(sealed) == 1 {
		return fmt.Sprintf("the point is not encrypted for the identity %s, but for %s", r.Keys.IdentityFile, readers)
	}
	return fmt.Sprintf("none of %d points is encrypted for the identity %s; the newest is encrypted for %s", len(sealed), r.Keys.IdentityFile, readers)
}

// reason says why none of the candidates was loaded, by the newest that failed.
func (s *Snapshot) reason(candidates []backup.Found) string {
	for _, f := range candidates {
		if err := s.closed[f.Name]; err != nil {
			return fmt.Sprintf("none of %d points can be loaded; the newest: %v", len(candidates), err)
		}
	}
	return fmt.Sprintf("all of %d points are empty", len(candidates))
}

// load is backup.Load, but does not try what is known to fail: a point that failed before, or one that is encrypted for
// others.
func (r *Source) load(ctx context.Context, s *Snapshot, f backup.Found) (*gateway.State, backup.Provenance, error) {
	if err := s.closed[f.Name]; err != nil {
		return nil, nil, err
	}
	if !opens(r.Keys.Identities, f.Recipients) {
		s.closed[f.Name] = fmt.Errorf("%w: %w", backup.ErrIntegrity, ErrSealed)
		return nil, nil, s.closed[f.Name]
	}
	r.progress("loading point %s from %s", path.Base(f.Name), strings.Join(f.Copies, ", "))
	state, provenance, err := backup.Load(ctx, f, s.copies, r.Keys.Identities)
	if stranger := (*age.NoIdentityMatchError)(nil); errors.As(err, &stranger) {
		err = fmt.Errorf("%w: %w", ErrSealed, err)
	}
	if err != nil && ctx.Err() == nil {
		s.closed[f.Name] = err
	}
	return state, provenance, err
}

// opens reports whether one of the identities may open what is encrypted for the recipients, as far as that can be told
// without trying: of X25519 identities alone.
func opens(identities []age.Identity, recipients []string) bool {
	for _, id := range identities {
		known, ok := id.(*age.X25519Identity)
		if !ok || slices.Contains(recipients, known.Recipient().String()) {
			return true
		}
	}
	return len(recipients) == 0
}

// judge warns of what is loaded but is perhaps not what is wanted.
func (r *Source) judge(s *Snapshot, candidates []backup.Found) {
	name := path.Base(s.Point.Name)
	i := slices.IndexFunc(candidates, func(f backup.Found) bool { return f.Name == s.Point.Name && f.SHA256 == s.Point.SHA256 })
	if i > 0 {
		newest := candidates[0]
		if newest.Lineage == s.Point.Lineage && s.Revision >= newest.Revision {
			s.note(name, "is not the newest: %s cannot be used, but the log leads there", path.Base(newest.Name))
		} else {
			s.note(name, "is not the newest: %s older than %s, which cannot be used", newest.Time.Sub(s.Time).Round(time.Second), path.Base(newest.Name))
		}
	}
	if i+1 < len(candidates) {
		if before := candidates[i+1]; s.Point.Entities()*2 < before.Entities() {
			s.note(name, "holds %d entities, the point before it (%s) %d: was it taken after the loss?", s.Point.Entities(), path.Base(before.Name), before.Entities())
		}
	}
	s.noteSilences()
	for _, copy := range s.damaged {
		if slices.Contains(s.silent, copy) {
			continue
		}
		s.note(copy, "holds point %s but did not give all of it undamaged: read from elsewhere", name)
	}
	for _, k := range s.Point.Unreachable {
		s.note(string(k), "could not be read when the point was taken: left as it is")
	}
}

// noteUnverified names what looks like a newer point but verifies nowhere.
func (s *Snapshot) noteUnverified(found []backup.Found, problems []backup.Problem) {
	seen := map[string]bool{}
	for _, f := range found {
		seen[f.Object()] = true
	}
	for _, p := range problems {
		name := path.Base(p.Object)
		if !seen[p.Object] && path.Base(path.Dir(p.Object)) == "points" && name > path.Base(s.Point.Name) {
			seen[p.Object] = true
			s.note(strings.TrimSuffix(name, ".tar"), "is newer than what is restored, but verifies at no location")
		}
	}
}

// damagedCopies returns the copies that were tried before the one that made the point whole.
func damagedCopies(point backup.Found, provenance map[string]int) []string {
	for i, name := range point.Copies {
		if provenance[name] > 0 {
			return point.Copies[:i]
		}
	}
	for joined := range provenance { // a+b: b completed what a has
		parts := strings.Split(joined, "+")
		return parts[:len(parts)-1]
	}
	return nil
}
