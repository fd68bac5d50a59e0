package cmd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"gwdr/drills"
	"gwdr/fleet"
	"gwdr/fleet/process"
	"gwdr/scenarios"
)

// ownLocations is the lab as a drill may break it: of its locations those only to which the drill's backups go. To break another
// would show nothing.
type ownLocations struct {
	*process.Lab
	names []string
}

// Instances lists those of the lab but for locations of nobody's backups.
func (o ownLocations) Instances(ctx context.Context) ([]fleet.Instance, error) {
	all, err := o.Lab.Instances(ctx)
	return onlyLocations(all, o.names), ifGone(err)
}

// Renew says so if the lab is gone: no lease is left to be renewed.
func (o ownLocations) Renew(ctx context.Context, u fleet.Undo) error {
	return ifGone(o.Lab.Renew(ctx, u))
}

// ifGone tells a drill of a lab whose supervisor was killed: all that it consists of ends with that.
func ifGone(err error) error {
	if errors.Is(err, process.ErrNoLab) {
		return fmt.Errorf("%w: %w", drills.ErrFleetGone, err)
	}
	return err
}

func onlyLocations(all []fleet.Instance, names []string) []fleet.Instance {
	return slices.DeleteFunc(all, func(in fleet.Instance) bool {
		return in.Role == fleet.Location && !slices.Contains(names, in.ID)
	})
}

// breakable names the locations that a drill on the lab may break: the lab's own, if the backups go there. What gwdr.yaml names
// beside them belongs to somebody else.
func (a *app) breakable() []string {
	if a.labLocations() {
		return scenarios.LabLocations()
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(a.Config.Locations)) {
		u, err := url.Parse(a.Config.Locations[name].URL)
		if err != nil || u.Scheme != "file" {
			continue
		}
		own, err := filepath.Abs(filepath.Join(a.Config.LabDir(), "locations", name))
		if err == nil && filepath.Clean(u.Path) == own {
			names = append(names, name)
		}
	}
	return names
}

// checkLocations refuses a scenario that would break locations where none of the backups' is the lab's.
func (a *app) checkLocations(s *scenarios.Scenario) error {
	breaks := slices.ContainsFunc(s.Steps, func(step scenarios.Step) bool {
		kind, _ := fleet.KindOf(fleet.FaultKind(step.Fault))
		return slices.Equal(kind.Roles, []fleet.Role{fleet.Location})
	})
	if !breaks || len(a.breakable()) > 0 {
		return nil
	}
	names := slices.Sorted(maps.Keys(a.Config.Locations))
	return withHint(exitWith(exitRefused, fmt.Errorf("%w: the backups go to %s, which are not the lab's to break", drills.ErrRefused, strings.Join(names, ", "))),
		"without locations in gwdr.yaml, or with directories below %s, a drill breaks those of the lab", filepath.Join(a.Config.LabDir(), "locations"))
}
