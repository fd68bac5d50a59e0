package process

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gwdr/fleet"
)

// locationFaults are those of what keeps backups. The lab's locations are directories that outlive it, so that these faults do, too,
// if the supervisor is killed: whoever reverts them then, or starts the next lab there, does it by himself.
func locationFaults() map[fleet.FaultKind]injector {
	location := []fleet.Role{fleet.Location}
	fault := func(inject func(place, fleet.Fault) error, look func(*Lab, context.Context, fleet.Fault, targetID) (string, error)) injector {
		return injector{roles: location, revert: (*supervisor).mendLocations, look: look,
			inject: func(s *supervisor, ctx context.Context, f *fault) error { return s.breakLocations(ctx, f, inject) }}
	}
	return map[fleet.FaultKind]injector{
		fleet.LocationDeny:    fault(place.deny, (*Lab).lookDenied),
		fleet.LocationCorrupt: fault(place.corrupt, (*Lab).lookDamaged),
		fleet.LocationDelete:  fault(place.remove, (*Lab).lookDeleted),
	}
}

// place is the location of a target, or false if the target is a process.
func (t targetID) place() (place, bool) { return place{t.Location, t.Aside}, t.Aside != "" }

// locations returns the targets that are locations.
func (u undoData) locations() (all []place) {
	for _, t := range u.Targets {
		if p, ok := t.place(); ok {
			all = append(all, p)
		}
	}
	return all
}

// beside reports whether the target is a location in the directory for them, and what it sets aside lies there, too: nothing else
// may be moved by an undo record.
func (t targetID) beside(d layout) bool {
	return filepath.Dir(t.Location) == d.locations() && filepath.Base(t.Location) == t.ID &&
		filepath.Dir(t.Aside) == d.locations() && strings.HasPrefix(filepath.Base(t.Aside), t.ID+beforeFault)
}

// breakLocations injects the fault into one location after the other.
func (s *supervisor) breakLocations(ctx context.Context, f *fault, inject func(place, fleet.Fault) error) error {
	data, err := decodeUndo(f.undo)
	if err != nil {
		return err
	}
	for _, p := range data.locations() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.openAside(); err != nil {
			return fmt.Errorf("%s of location %s: %w", f.undo.Fault.Kind, p.name(), err)
		}
		if err := inject(p, f.undo.Fault); err != nil {
			return fmt.Errorf("%s of location %s: %w", f.undo.Fault.Kind, p.name(), err)
		}
	}
	return nil
}

// mendLocations makes the targets as they were.
func (s *supervisor) mendLocations(_ context.Context, f *fault) error {
	data, err := decodeUndo(f.undo)
	if err != nil {
		return err
	}
	return s.dir.mendAll(data)
}

// mendAll makes the locations as they were, and shows that they can be listed again.
func (d layout) mendAll(data undoData) (err error) {
	for _, p := range data.locations() {
		err = errors.Join(err, d.mendPlace(p))
	}
	return cmp.Or(err, data.mended())
}

// mendOrphans ends a fault whose supervisor is gone. If another lab is running in the directory, that has done so before it began,
// and what is set aside there is its own.
func (l *Lab) mendOrphans(data undoData) error {
	if l.replaced() {
		return nil
	}
	return l.dir.mendAll(data)
}

// orphans lists the faults of locations that are left of a lab that is gone.
func (l *Lab) orphans() ([]string, error) {
	if l.replaced() {
		return nil, nil
	}
	held, _, err := l.dir.readPlaces()
	return slices.Compact(slices.Sorted(maps.Values(held))), err
}

// replaced reports whether another lab is running where this one was.
func (l *Lab) replaced() bool {
	other, err := Open(string(l.dir))
	return err == nil && other.file.identity != l.file.identity
}

// mended says what is left of the fault in the locations.
func (u undoData) mended() error {
	for _, p := range u.locations() {
		if _, err := os.Lstat(p.aside); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(fmt.Errorf("location %s is not as it was: %s is there", p.name(), p.aside), err)
		}
		if err := p.listable(); err != nil {
			return fmt.Errorf("location %s is not back: %w", p.name(), err)
		}
	}
	return nil
}
