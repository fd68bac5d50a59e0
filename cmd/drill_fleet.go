package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"gwdr/drills"
	"gwdr/fleet"
	"gwdr/fleet/process"
	"gwdr/scenarios"
)

// checkFleet refuses a scenario of a fleet that is not configured as it needs it, or that asks for what only a lab has.
func (a *app) checkFleet(ctx context.Context, s *scenarios.Scenario) error {
	if _, ok := a.Config.Fleets[labFleet]; ok {
		return usageError(fmt.Errorf("fleets.%s: that is the embedded lab; give your fleet another name", labFleet))
	}
	if s.Fleet == labFleet {
		if err := a.checkLocations(s); err != nil {
			return err
		}
		return a.checkRoutes(ctx, s)
	}
	c, ok := a.Config.Fleets[s.Fleet]
	if !ok {
		return a.unknownFleet(s.Fleet)
	}
	if err := c.check(s.Fleet); err != nil {
		return usageError(err)
	}
	for _, needs := range []struct {
		what string
		is   bool
	}{
		{"a change ledger (steadyState.ledger)", s.SteadyState.Ledger.Every > 0},
		{"the step " + scenarios.Promote, s.Needs(scenarios.Promote)},
		{"the step " + scenarios.Restore, s.Needs(scenarios.Restore)},
		{"backups (safety.backupFreshness, steadyState.backup)", s.Safety.BackupFreshness > 0 || s.SteadyState.Backup > 0},
	} {
		if needs.is {
			return exitWith(exitRefused, fmt.Errorf("%w: fleet %s: %s cannot do %s yet", drills.ErrRefused, s.Fleet, c.Driver, needs.what))
		}
	}
	if !c.Allow {
		return withHint(exitWith(exitRefused, fmt.Errorf("%w: fleet %s may not be broken", drills.ErrRefused, s.Fleet)),
			"fleets.%s.allow: true in %s says that it may", s.Fleet, a.Config.File)
	}
	return nil
}

// check says what of the configuration cannot be used.
func (c FleetConfig) check(name string) error {
	driver, ok := fleetDrivers()[c.Driver]
	if !ok {
		return fmt.Errorf("fleets.%s.driver %q: there is no such driver; there is %s", name, c.Driver, strings.Join(fleetDriverNames(), ", "))
	}
	if err := c.checkKeys(name, driver.keys); err != nil {
		return err
	}
	if err := driver.check(c, name); err != nil {
		return err
	}
	front, err := url.Parse(c.URL)
	switch {
	case c.URL == "":
		return fmt.Errorf("fleets.%s.url is not set: where do clients come in?", name)
	case err != nil, front.Scheme != "http" && front.Scheme != "https", front.Host == "", front.User != nil:
		return fmt.Errorf("fleets.%s.url is not of the form http://HOST:PORT", name)
	}
	return nil
}

// words says what a fleet is, a line for each key that is set, for those who approve a plan; of the lab there is nothing to say.
func (c FleetConfig) words() []string {
	var lines []string
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		key, value := v.Type().Field(i).Tag.Get("mapstructure"), v.Field(i).Interface()
		if d, ok := value.(time.Duration); ok {
			value = d.String()
		}
		if text, err := json.Marshal(value); err == nil && !v.Field(i).IsZero() { // quoted: one line each
			lines = append(lines, key+": "+string(text))
		}
	}
	return lines
}

// checkKeys refuses what means nothing to the driver: somebody believes that it does.
func (c FleetConfig) checkKeys(name string, keys []string) error {
	keys = append([]string{"driver", "allow", "url", "key_file"}, keys...)
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		if key := v.Type().Field(i).Tag.Get("mapstructure"); !v.Field(i).IsZero() && !slices.Contains(keys, key) {
			return fmt.Errorf("fleets.%s.%s means nothing to driver %s; it takes %s", name, key, c.Driver, strings.Join(keys, ", "))
		}
	}
	return nil
}

func (a *app) unknownFleet(name string) error {
	names := append([]string{labFleet}, slices.Sorted(maps.Keys(a.Config.Fleets))...)
	return usageError(fmt.Errorf("there is no fleet %q; there is %s", name, strings.Join(names, ", ")))
}

// planned lists the instances of the scenario's fleet; those of a lab are as it would be.
func (a *app) planned(ctx context.Context, s *scenarios.Scenario) ([]fleet.Instance, error) {
	if err := a.checkFleet(ctx, s); err != nil {
		return nil, err
	}
	if s.Fleet == labFleet {
		return onlyLocations(s.Topology.Instances(), a.breakable()), nil
	}
	f, err := a.openFleet(ctx, s.Fleet)
	if err != nil {
		return nil, err
	}
	return f.Instances(ctx)
}

// openFleet opens a configured fleet.
func (a *app) openFleet(ctx context.Context, name string) (fleet.Fleet, error) {
	c := a.Config.Fleets[name]
	f, err := fleetDrivers()[c.Driver].open(ctx, a, name, c)
	if err != nil {
		return nil, fmt.Errorf("fleet %s: %w", name, err)
	}
	return f, nil
}

// openFleetSite opens a configured fleet for a drill. Its control target is a server of this process: it says how well the
// prober itself can measure.
func (a *app) openFleetSite(ctx context.Context, s *scenarios.Scenario) (*drills.Site, error) {
	f, err := a.openFleet(ctx, s.Fleet)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", drills.ErrRefused, err)
	}
	instances, err := f.Instances(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := a.Config.Fleets[s.Fleet].keys()
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("serve the control target: %w", err)
	}
	control := &http.Server{Handler: process.Echo(), ReadHeaderTimeout: 10 * time.Second}
	go control.Serve(listener) // until it is closed
	p := siteProbes{front: strings.TrimRight(a.Config.Fleets[s.Fleet].URL, "/"), control: "http://" + listener.Addr().String(), keys: keys}
	all, err := p.all(s, instances)
	if err != nil {
		return nil, errors.Join(err, control.Close())
	}
	guard := drills.GuardCommand{Args: []string{a.Executable, "drill", "guard"}}
	return &drills.Site{Fleet: f, Probes: all, Guard: guard.Start, Close: control.Close}, nil
}

// keys returns the fleet's API keys, by the word in a scenario.
func (c FleetConfig) keys() (map[string]string, error) {
	if c.KeyFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("read API key: %w", err)
	}
	return map[string]string{scenarios.LiveKey: strings.TrimSpace(string(text))}, nil
}

// openUndo opens the fleet that the undo record was made by.
func (a *app) openUndo(ctx context.Context, u fleet.Undo) (fleet.Fleet, error) {
	if u.Driver == process.Driver {
		return process.Reopen(u)
	}
	driver, ok := fleetDrivers()[u.Driver]
	if !ok {
		return nil, fmt.Errorf("no driver is named %q", u.Driver)
	}
	return driver.reopen(ctx, a, u)
}
