package cmd

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"gwdr/fleet"
	"gwdr/fleet/docker"
	"gwdr/fleet/exec"
	"gwdr/fleet/host"
	"gwdr/fleet/netns"
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
		exec.Driver: {keys: []string{"kinds", "list", "inject", "verify", "revert", "renew", "leftovers", "timeout", "env"},
			check: checkExec, open: openExec, reopen: reopenExec},
		host.Driver:  {keys: []string{"processes"}, check: checkHost, open: openHost, reopen: reopenHost},
		netns.Driver: {keys: []string{"namespaces"}, check: checkNetns, open: openNetns, reopen: reopenNetns},
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

// execOptions are those that need nothing but the configuration.
func (c FleetConfig) execOptions() exec.Options {
	o := exec.Options{Allow: c.Allow, List: c.List, Inject: c.Inject, Verify: c.Verify, Revert: c.Revert, Renew: c.Renew, Leftovers: c.Leftovers,
		Timeout: c.Timeout, Pass: c.Env}
	for _, kind := range c.Kinds {
		o.Kinds = append(o.Kinds, fleet.FaultKind(kind))
	}
	return o
}

func checkExec(c FleetConfig, name string) error {
	if err := c.execOptions().Check(); err != nil {
		return fmt.Errorf("fleets.%s.%w", name, err)
	}
	return nil
}

// openExec lets commands run beside gwdr.yaml, as paths in it are meant.
func openExec(_ context.Context, a *app, name string, c FleetConfig) (fleet.Fleet, error) {
	o := c.execOptions()
	o.Name, o.State, o.Dir = name, filepath.Join(a.fleetDir(name), "faults"), filepath.Dir(a.Config.File)
	o.Environ, o.Log = a.environ, a.Log
	return exec.Open(o)
}

func reopenExec(_ context.Context, a *app, u fleet.Undo) (fleet.Fleet, error) {
	return exec.Reopen(u, a.environ, a.Log)
}
