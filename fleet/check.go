package fleet

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
)

// ErrNotAllowed says that nobody has opted the fleet in.
var ErrNotAllowed = errors.New("the fleet may not be broken: its configuration does not say allow: true")

var faultPattern = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// IsFaultID reports whether the text may be the id of a fault: then it can be part of the name of a file.
func IsFaultID(text string) bool { return faultPattern.MatchString(text) }

// Check reports why no driver could inject the fault into the targets, which must have one of the roles; without roles, any will do.
// What a driver has beside that, its Prepare says.
func (f Fault) Check(targets []Instance, roles []Role) error {
	if err := f.With.Err(f.Kind); err != nil {
		return fmt.Errorf("fault %s: %w", f.ID, err)
	}
	switch {
	case len(targets) == 0:
		return fmt.Errorf("fault %s: %w", f.ID, ErrNoTarget)
	case !IsFaultID(f.ID):
		return fmt.Errorf("fault id %q is not of the form %s", f.ID, faultPattern)
	case f.Lease <= 0:
		return fmt.Errorf("fault %s needs a lease", f.ID)
	}
	for i, t := range targets {
		if len(roles) > 0 && !slices.Contains(roles, t.Role) {
			return fmt.Errorf("fault %s of %s, whose role is %s: %w", f.Kind, t.ID, t.Role, ErrUnsupported)
		}
		if slices.ContainsFunc(targets[:i], func(other Instance) bool { return other.ID == t.ID }) {
			return fmt.Errorf("fault %s: target %s is there twice", f.ID, t.ID)
		}
	}
	return nil
}
