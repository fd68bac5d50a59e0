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

// selection is the point to restore, what it holds, and what had to be passed over.
type selection struct {
	point       backup.Found
	state       *gateway.State
	provenance  map[string]int
	revocations []gateway.Entity // known from other points
	findings    []Finding

	copies []backup.Copy    // that answer
	closed map[string]error // why points could not be loaded, by name
}

// problems is safe on a nil selection: what was found before all failed.
func (s *selection) problems() []Finding {
	if s == nil {
		return nil
	}
	return s.findings
}

func (s *selection) note(subject, format string, args ...any) {
	s.findings = append(s.findings, Finding{Subject: subject, Text: fmt.Sprintf(format, args...)})
}

// selectPoint returns the newest point that At allows and that can be loaded; passing one over is never silent. After an
// error the selection holds nothing but findings.
func (r *Restore) selectPoint(ctx context.Context) (*selection, error) {
	r.progress("looking for points at %s", names(r.Copies))
	s := &selection{closed: map[string]error{}}
	s.copies = r.answering(ctx, s, r.Copies)
	found, problems := backup.Find(ctx, s.copies, r.Keys.Trusted)
	for _, p := range problems {
		s.note(p.Copy, "%s", strings.TrimPrefix(p.Object+": "+p.Text, ": "))
	}
	if err := ctx.Err(); err != nil {
		return s, fmt.Errorf("find points: %w", err)
	}
	candidates, err := r.At.candidates(found)
	if err != nil {
		return s, err
	}
	if err := r.loadFirst(ctx, s, candidates); err != nil {
		return s, err
	}
	r.judge(s, candidates)
	s.noteUnverified(found, problems)
	if len(r.Elsewhere) > 0 {
		found = r.lookElsewhere(ctx, s)
	}
	return s, r.otherRevocations(ctx, s, found)
}

// lookElsewhere returns the points of all copies, also of those that are not restored from.
func (r *Restore) lookElsewhere(ctx context.Context, s *selection) []backup.Found {
	s.copies = slices.Concat(s.copies, r.answering(ctx, s, r.Elsewhere))
	s.closed = map[string]error{} // what could not be loaded may be whole there
	found, problems := backup.Find(ctx, s.copies, r.Keys.Trusted)
	for _, p := range problems {
		if slices.ContainsFunc(r.Elsewhere, func(c backup.Copy) bool { return c.Name == p.Copy }) {
			s.note(p.Copy, "%s", strings.TrimPrefix(p.Object+": "+p.Text, ": "))
		}
	}
	return found
}

// loadFirst loads the first candidate that can be loaded and holds anything.
func (r *Restore) loadFirst(ctx context.Context, s *selection, candidates []backup.Found) error {
	var sealed []backup.Found
	tried := 0
	for _, f := range candidates {
		name := path.Base(f.Name)
		if f.Entities() == 0 && r.At.Point == "" {
			s.note(name, "is empty, passed over: it was taken of a gateway that held nothing")
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
		s.point, s.state, s.provenance = f, state, provenance
		r.noteSealed(s, sealed)
		return nil
	}
	if len(sealed) > 0 && len(sealed) == tried {
		return fmt.Errorf("%w: %w: %s", ErrNothing, ErrSealed, r.sealedText(sealed))
	}
	r.noteSealed(s, sealed)
	return fmt.Errorf("%w: %s", ErrNothing, s.reason(candidates))
}

// noteSealed names the points that only other identities open.
func (r *Restore) noteSealed(s *selection, sealed []backup.Found) {
	if len(sealed) > 0 {
		s.note(path.Base(sealed[0].Name), "is passed over: %s", r.sealedText(sealed))
	}
}

// sealedText says who could open what the identities do not.
func (r *Restore) sealedText(sealed []backup.Found) string {
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
func (s *selection) reason(candidates []backup.Found) string {
	for _, f := range candidates {
		if err := s.closed[f.Name]; err != nil {
			return fmt.Sprintf("none of %d points can be loaded; the newest: %v", len(candidates), err)
		}
	}
	return fmt.Sprintf("all of %d points are empty", len(candidates))
}

// load is backup.Load, but does not try what is known to fail: a point that failed before, or one that is encrypted for
// others.
func (r *Restore) load(ctx context.Context, s *selection, f backup.Found) (*gateway.State, map[string]int, error) {
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
func (r *Restore) judge(s *selection, candidates []backup.Found) {
	name := path.Base(s.point.Name)
	i := slices.IndexFunc(candidates, func(f backup.Found) bool { return f.Name == s.point.Name && f.SHA256 == s.point.SHA256 })
	if i > 0 {
		s.note(name, "is not the newest: %s older than %s, which cannot be used", candidates[0].Time.Sub(s.point.Time).Round(time.Second), path.Base(candidates[0].Name))
	}
	if i+1 < len(candidates) {
		if before := candidates[i+1]; s.point.Entities()*2 < before.Entities() {
			s.note(name, "holds %d entities, the point before it (%s) %d: was it taken after the loss?", s.point.Entities(), path.Base(before.Name), before.Entities())
		}
	}
	for _, copy := range damagedCopies(s.point, s.provenance) {
		s.note(copy, "holds point %s but did not give all of it undamaged: read from elsewhere", name)
	}
	for _, k := range s.point.Unreachable {
		s.note(string(k), "could not be read when the point was taken: left as it is")
	}
}

// noteUnverified names what looks like a newer point but verifies nowhere.
func (s *selection) noteUnverified(found []backup.Found, problems []backup.Problem) {
	seen := map[string]bool{}
	for _, f := range found {
		seen[f.Object()] = true
	}
	for _, p := range problems {
		name := path.Base(p.Object)
		if !seen[p.Object] && path.Base(path.Dir(p.Object)) == "points" && name > path.Base(s.point.Name) {
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
