package cmd

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"gwdr/fleet"
	"gwdr/fleet/docker"
)

// fleetDriver is how fleets of one kind come out of gwdr.yaml, and out of undo records. Of the lab there is no configuration.
type fleetDriver struct {
	keys  []string                               // of FleetConfig that mean something to it, besides those of all drivers
	check func(c FleetConfig, name string) error // says what of them cannot be used
	open  func(ctx context.Context, a *app, name string, c FleetConfig) (fleet.Fleet, error)
	// reopen needs nothing but the record: a guard has no configuration.
	reopen func(ctx context.Context, a *app, u fleet.Undo) (fleet.Fleet, error)
}

// fleetDrivers lists the drivers by the word in gwdr.yaml.
func fleetDrivers() map[string]fleetDriver {
	return map[string]fleetDriver{
		docker.Driver: {keys: []string{"label", "host"}, check: checkDocker, open: openDocker, reopen: reopenDocker},
	}
}

func fleetDriverNames() []string { return slices.Sorted(maps.Keys(fleetDrivers())) }

func checkDocker(c FleetConfig, name string) error {
	if strings.Trim(c.Label, "= ") == "" {
		return fmt.Errorf("fleets.%s.label is empty: it would match every container; as app=gateway", name)
	}
	return nil
}

func openDocker(ctx context.Context, a *app, _ string, c FleetConfig) (fleet.Fleet, error) {
	return docker.Open(ctx, docker.Options{Host: cmp.Or(c.Host, docker.DefaultHost), Label: c.Label, Allow: c.Allow, Log: a.Log})
}

func reopenDocker(ctx context.Context, a *app, u fleet.Undo) (fleet.Fleet, error) {
	return docker.Reopen(ctx, u, a.Log)
}
