package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"filippo.io/age"

	"gwdr/internal/sshsig"
)

// Verification is what Verify found; its JSON is the contract gwdr/verify/v1.
type Verification struct {
	Schema    string                 `json:"schema"`
	Points    int                    `json:"points"`    // that were read in full
	Decrypted int                    `json:"decrypted"` // of them: decrypted, and found to be the state that was signed
	Locations []LocationVerification `json:"locations"`
	Lost      []string               `json:"lost"`   // points that cannot be restored from all locations together
	Sealed    []string               `json:"sealed"` // points that are intact, but encrypted for other identities than those at hand

	unusable error // why an identity could not be used
}

// LocationVerification is what Verify found at one location.
type LocationVerification struct {
	Name     string    `json:"name"`
	Points   int       `json:"points"` // whose signature is valid
	Bytes    int64     `json:"bytes"`  // of packs, read
	Problems []Problem `json:"problems"`
}

// Sound reports whether nothing is wrong anywhere.
func (v *Verification) Sound() bool {
	return v.Restorable() && !slices.ContainsFunc(v.Locations, func(l LocationVerification) bool { return len(l.Problems) > 0 })
}

// Restorable reports whether there is a point, all locations together have every point whole, and the identities, if
// there are any, open it.
func (v *Verification) Restorable() bool { return v.Points > 0 && len(v.Lost)+len(v.Sealed) == 0 }

// VerifyOptions say how much Verify reads. The zero value reads the newest point.
type VerifyOptions struct {
	All bool // read every point
}

// errMissing is the problem of a location that came later, or was away for long.
var errMissing = errors.New("missing here, but another location has it")

// Verify reads points and their packs at every copy, byte for byte, and decrypts them if there is an identity. If an
// identity cannot be used, the Verification is complete but for the points that only this may open, which are Sealed, and
// the error wraps ErrNoIdentity.
func Verify(ctx context.Context, copies []Copy, keys Keys, options VerifyOptions) (*Verification, error) {
	holdings := survey(ctx, copies, keys.Trusted, patience)
	found := merge(holdings)
	v := &Verification{Schema: "gwdr/verify/v1", Lost: lostPoints(holdings, found), Sealed: []string{}}
	held := map[string][]string{} // which copies have a point's object
	for _, f := range found {
		held[f.Object()] = f.Copies
	}
	if !options.All && len(found) > 1 {
		found = found[:1]
	}
	v.Points = len(found)
	whole := map[string][]bool{} // blocks of each pack's object that some copy has
	chains := readChains(ctx, copies, found)
	for i, a := range scrub(ctx, holdings, found, chains, keys.Trusted) {
		l := LocationVerification{Name: a.copy.Name, Points: len(holdings[i].points), Bytes: a.value.bytes,
			Problems: append(append([]Problem{}, holdings[i].problems...), a.value.problems...)}
		if a.err != nil {
			l.Problems = append(l.Problems, newProblem(a.copy, "", a.err))
		}
		v.Locations = append(v.Locations, l)
		for object, blocks := range a.value.whole {
			whole[object] = union(whole[object], blocks)
		}
	}
	v.noteWhole(held)
	for _, f := range found {
		if err := chains[f.Object()].err; err != nil {
			v.Lost = append(v.Lost, fmt.Sprintf("%s%s: %v", lineageRoot(f.Lineage), f.Name, err))
			continue
		}
		v.judge(ctx, f, whole, copies, keys)
	}
	return v, errors.Join(ctx.Err(), v.unusable)
}

// lostPoints returns the points that do not verify anywhere.
func lostPoints(holdings []holding, found []Found) []string {
	lost := []string{}
	for _, h := range holdings {
		for object := range h.damaged {
			known := slices.ContainsFunc(found, func(f Found) bool { return f.Object() == object })
			if name := strings.TrimSuffix(object, pointEnding); !known && !slices.Contains(lost, name) {
				lost = append(lost, name)
			}
		}
	}
	slices.Sort(lost)
	return lost
}

// noteWhole says of each problem with an object which copies have that whole. held has the copies of each point's object.
func (v *Verification) noteWhole(held map[string][]string) {
	for _, l := range v.Locations {
		for i, p := range l.Problems {
			if p.Object != "" {
				l.Problems[i].Whole = v.wholeAt(p.Object, held)
			}
		}
	}
}

func (v *Verification) wholeAt(object string, held map[string][]string) []string {
	var whole []string
	_, name, _ := splitObject(object)
	for _, l := range v.Locations {
		wrong := slices.ContainsFunc(l.Problems, func(p Problem) bool { return p.Object == "" || p.Object == object })
		if !wrong && (!strings.HasPrefix(name, pointsDir) || slices.Contains(held[object], l.Name)) {
			whole = append(whole, l.Name)
		}
	}
	return whole
}

// judge says whether the point can be restored.
func (v *Verification) judge(ctx context.Context, f Found, whole map[string][]bool, copies []Copy, keys Keys) {
	for _, pack := range f.Packs {
		if blocks := whole[f.PackObject(pack)]; len(blocks) == 0 || slices.Contains(blocks, false) {
			v.Lost = append(v.Lost, lineageRoot(f.Lineage)+f.Name)
			return
		}
	}
	if len(keys.Identities) == 0 {
		return
	}
	_, _, err := Load(ctx, f, copies, keys.Identities)
	if errors.Is(err, ErrNoIdentity) {
		v.unusable = err
		v.Sealed = append(v.Sealed, lineageRoot(f.Lineage)+f.Name)
		return
	}
	if stranger := (*age.NoIdentityMatchError)(nil); errors.As(err, &stranger) {
		v.Sealed = append(v.Sealed, lineageRoot(f.Lineage)+f.Name)
		return
	}
	if err != nil {
		v.Lost = append(v.Lost, fmt.Sprintf("%s%s: %v", lineageRoot(f.Lineage), f.Name, err))
		return
	}
	v.Decrypted++
}

// scrubbed is what reading one copy's packs came to.
type scrubbed struct {
	bytes    int64
	whole    map[string][]bool
	problems []Problem
}

// chain is the part of the log that a point needs, as some copies have it.
type chain struct {
	segments []sealedSegment
	err      error
}

// readChains reads the log that each of the points needs, by the point's object.
func readChains(ctx context.Context, copies []Copy, points []Found) map[string]chain {
	chains := map[string]chain{}
	for _, f := range points {
		segments, _, err := readLog(ctx, copies, f.Lineage, f.Base.Seq, f.Base.Seq, f.Log, nil)
		for i := range segments {
			segments[i].object = nil // only its hash is needed
		}
		chains[f.Object()] = chain{segments, err}
	}
	return chains
}

func scrub(ctx context.Context, holdings []holding, points []Found, chains map[string]chain, trusted sshsig.Trusted) []answer[scrubbed] {
	byName := map[string]*holding{}
	copies := make([]Copy, len(holdings))
	for i := range holdings {
		copies[i] = holdings[i].copy
		byName[copies[i].Name] = &holdings[i]
	}
	var total int64
	for _, f := range points {
		total += f.Size()
	}
	return onEach(ctx, copies, allowance(patience, total), func(ctx context.Context, c Copy) (scrubbed, error) {
		s := scrubbed{whole: map[string][]bool{}}
		if byName[c.Name].err != nil {
			return s, nil // told already
		}
		seen := map[string]bool{}
		for _, f := range points {
			s.point(ctx, byName[c.Name], f, trusted, seen)
			s.log(ctx, byName[c.Name], chains[f.Object()].segments, seen)
		}
		return s, ctx.Err()
	})
}

// point reads what the copy holds of one point. seen holds the lineages and packs that were read already.
func (s *scrubbed) point(ctx context.Context, h *holding, f Found, trusted sshsig.Trusted, seen map[string]bool) {
	if !slices.Contains(f.Copies, h.copy.Name) && !h.damaged[f.Object()] {
		s.problem(h.copy, f.Object(), errMissing)
	}
	if repo := lineageRoot(f.Lineage) + repoFile; !seen[repo] {
		seen[repo] = true
		if _, err := readBase(ctx, h.copy, f.Lineage, trusted); err != nil {
			s.problem(h.copy, repo, err)
		}
	}
	for _, pack := range f.Packs {
		object := f.PackObject(pack)
		if seen[object] {
			continue
		}
		seen[object] = true
		blocks, err := readBlocks(ctx, h.copy.Location, object, pack, func(_ int, block []byte) error {
			s.bytes += int64(len(block))
			return nil
		})
		s.whole[object] = blocks
		if err != nil {
			s.problem(h.copy, object, err)
		}
	}
}

// log reads what the copy holds of the segments.
func (s *scrubbed) log(ctx context.Context, h *holding, segments []sealedSegment, seen map[string]bool) {
	for _, segment := range segments {
		object := segment.Object()
		if seen[object] {
			continue
		}
		seen[object] = true
		content, err := readObject(ctx, h.copy.Location, object, maxSegment)
		if err == nil {
			s.bytes += int64(len(content))
			err = segment.sameAs(content)
		}
		if err != nil {
			s.problem(h.copy, object, err)
		}
	}
}

func (s *scrubbed) problem(c Copy, object string, err error) {
	s.problems = append(s.problems, newProblem(c, object, err))
}

func union(a, b []bool) []bool {
	if a == nil {
		return slices.Clone(b)
	}
	for i := range a {
		a[i] = a[i] || b[i]
	}
	return a
}
