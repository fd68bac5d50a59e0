package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gwdr/internal/sshsig"
)

// maxAttests bounds how many attestations of a location are read that count, and maxAttestObjects how many objects: anybody
// who can write there can put some that do not.
const (
	maxAttests       = 64
	maxAttestObjects = 4096
)

// errManyAttests is why the newest verified point is not known.
var errManyAttests = errors.New("too many attestations, none of which says that the copy was whole")

// Attestations returns what is attested of each copy, by its name: valid attestations that lie at the copy itself and speak
// of it, newest first, back to the newest in which all of it was read and found whole, and 64 at most. That they lie there
// keeps an attestation of the place that the name meant before from counting. Invalid ones are problems, and do not count.
func Attestations(ctx context.Context, copies []Copy, trusted sshsig.Trusted) (map[string][]Attestation, []Problem) {
	attested := map[string][]Attestation{}
	var problems []Problem
	for _, a := range onEach(ctx, copies, patience, func(ctx context.Context, c Copy) (found attestedCopy, err error) {
		return readAttests(ctx, c, trusted)
	}) {
		attested[a.copy.Name] = a.value.attestations
		problems = append(problems, a.value.problems...)
		if a.err != nil {
			problems = append(problems, newProblem(a.copy, "", a.err))
		}
	}
	return attested, problems
}

// Scrubs says how the last verification of each copy ended, for CheckStatus. One that passed counts if everything was read; one
// that failed in any case.
func Scrubs(ctx context.Context, copies []Copy, trusted sshsig.Trusted) map[string]Scrub {
	attested, _ := Attestations(ctx, copies, trusted)
	scrubs := map[string]Scrub{}
	for name, newestFirst := range attested {
		var s Scrub
		for _, a := range newestFirst {
			passed, _ := a.Passed(name)
			passed = passed && a.Lost == 0 // what is whole here may still not be what was signed
			if passed && a.Scope != scopeAll {
				continue
			}
			if s.Ended.IsZero() {
				s.Ended = a.Ended
			}
			if passed {
				s.Passed = a.Ended
			}
		}
		if !s.Ended.IsZero() {
			scrubs[name] = s
		}
	}
	return scrubs
}

// VerifiedAt returns a function that reports whether it is attested that the copy has the point whole, for Prune.
func VerifiedAt(attested map[string][]Attestation) func(copyName string, f Found) bool {
	return func(copyName string, f Found) bool {
		return slices.ContainsFunc(attested[copyName], func(a Attestation) bool {
			passed, _ := a.Passed(copyName)
			return passed && a.Lost == 0 && a.Scope != scopeSample && a.Lineage == f.Lineage && a.PointSum == f.SHA256
		})
	}
}

// attestedCopy is what lies at one copy.
type attestedCopy struct {
	attestations []Attestation
	problems     []Problem
}

func readAttests(ctx context.Context, c Copy, trusted sshsig.Trusted) (found attestedCopy, err error) {
	objects, err := listAttests(ctx, c)
	if err != nil {
		return found, err
	}
	whole := false
	for i, object := range objects {
		if i >= maxAttestObjects || len(found.attestations) >= maxAttests {
			if !whole {
				err = errManyAttests
			}
			break
		}
		lineage, name, _ := splitObject(object)
		content, err := readObject(ctx, c.Location, object, maxAttest)
		if err != nil && !errors.Is(err, ErrIntegrity) && !errors.Is(err, ErrNotExist) {
			return found, err
		}
		var a Attestation
		if err == nil {
			if a, err = readAttest(content, lineage, name, trusted); err != nil {
				err = fmt.Errorf("%w: %w", ErrIntegrity, err)
			}
		}
		if err != nil {
			found.problems = append(found.problems, newProblem(c, object, err))
			continue
		}
		passed, ok := a.Passed(c.Name)
		if !ok {
			continue
		}
		found.attestations = append(found.attestations, a)
		whole = whole || passed && a.Scope != scopeSample
		if passed && a.Scope == scopeAll {
			break
		}
	}
	return found, err
}

// listAttests returns the full names of the attestations at the copy, the newest first.
func listAttests(ctx context.Context, c Copy) ([]string, error) {
	listed, err := c.Location.List(ctx, formatRoot)
	if err != nil {
		return nil, err
	}
	return newestAttests(listed), nil
}

// newestAttests returns the full names of the attestations among the objects, the newest first.
func newestAttests(listed []Object) []string {
	type dated struct {
		object string
		at     time.Time
	}
	var all []dated
	for _, o := range listed {
		_, name, ok := splitObject(o.Name)
		if at, err := attestTime(name); ok && err == nil {
			all = append(all, dated{o.Name, at})
		}
	}
	slices.SortFunc(all, func(a, b dated) int { return cmp.Or(b.at.Compare(a.at), strings.Compare(a.object, b.object)) })
	var objects []string
	for _, a := range all {
		objects = append(objects, a.object)
	}
	return objects
}

// attestTime reads the end of the verification off the name of an attestation.
func attestTime(name string) (time.Time, error) {
	stem, ok := strings.CutPrefix(strings.TrimSuffix(name, ".tar"), attestDir)
	if !ok {
		return time.Time{}, errors.New("not an attestation")
	}
	return time.Parse(attestStamp, stem[strings.LastIndexByte(stem, '-')+1:])
}
