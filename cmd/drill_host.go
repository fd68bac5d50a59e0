package cmd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"gwdr/fleet"
	"gwdr/fleet/host"
)

// ProcessConfig is a process of a fleet. They are a list because viper folds the case of keys.
type ProcessConfig struct {
	Name    string   `mapstructure:"name" json:"name"`
	Region  string   `mapstructure:"region" json:"region,omitempty"`
	Role    string   `mapstructure:"role" json:"role,omitempty"`
	URL     string   `mapstructure:"url" json:"url,omitempty"` // where gwdr sees whether it answers
	PIDFile string   `mapstructure:"pid_file" json:"pid_file,omitempty"`
	Exe     string   `mapstructure:"exe" json:"exe,omitempty"`
	Start   []string `mapstructure:"start" json:"start,omitempty"`
	Unit    string   `mapstructure:"unit" json:"unit,omitempty"`
}

// hostOptions are those that need nothing but the configuration.
func (c FleetConfig) hostOptions() (host.Options, error) {
	o := host.Options{Allow: c.Allow, Processes: map[string]host.Process{}}
	for _, p := range c.Processes {
		if _, twice := o.Processes[p.Name]; twice {
			return o, fmt.Errorf("processes: %q is there twice", p.Name)
		}
		o.Processes[p.Name] = host.Process{Region: p.Region, Role: fleet.Role(p.Role), URL: p.URL, PIDFile: p.PIDFile, Exe: p.Exe,
			Start: p.Start, Unit: p.Unit}
	}
	if len(o.Processes) == 0 {
		return o, errors.New("processes: there is none; as [{name: us-east-1, region: us-east, unit: gateway.service}]")
	}
	return o, o.Check()
}

func checkHost(c FleetConfig, name string) error {
	if _, err := c.hostOptions(); err != nil {
		return fmt.Errorf("fleets.%s.%w", name, err)
	}
	return nil
}

func openHost(_ context.Context, a *app, name string, c FleetConfig) (fleet.Fleet, error) {
	o, err := c.hostOptions()
	if err != nil {
		return nil, err
	}
	o.State, o.Dir, o.Environ, o.Log = filepath.Join(a.fleetDir(name), "faults"), filepath.Dir(a.Config.File), a.environ, a.Log
	return host.Open(o)
}

func reopenHost(_ context.Context, a *app, u fleet.Undo) (fleet.Fleet, error) {
	return host.Reopen(u, a.Log)
}
