package cmd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"gwdr/fleet"
	"gwdr/fleet/netns"
)

// NamespaceConfig is a network namespace of a fleet. They are a list because viper folds the case of keys.
type NamespaceConfig struct {
	Name   string `mapstructure:"name" json:"name"` // as of ip netns
	Region string `mapstructure:"region" json:"region,omitempty"`
	Role   string `mapstructure:"role" json:"role,omitempty"`
	URL    string `mapstructure:"url" json:"url"` // http://ADDRESS:PORT of its server
}

// netnsOptions are those that need nothing but the configuration.
func (c FleetConfig) netnsOptions() (netns.Options, error) {
	o := netns.Options{Allow: c.Allow, Namespaces: map[string]netns.Namespace{}}
	for _, n := range c.Namespaces {
		if _, twice := o.Namespaces[n.Name]; twice {
			return o, fmt.Errorf("namespaces: %q is there twice", n.Name)
		}
		o.Namespaces[n.Name] = netns.Namespace{Region: n.Region, Role: fleet.Role(n.Role), URL: n.URL}
	}
	if len(o.Namespaces) == 0 {
		return o, errors.New("namespaces: there is none; as [{name: us-east, region: us-east, url: 'http://10.0.0.1:8080'}]")
	}
	return o, o.Check()
}

func checkNetns(c FleetConfig, name string) error {
	if _, err := c.netnsOptions(); err != nil {
		return fmt.Errorf("fleets.%s.%w", name, err)
	}
	return nil
}

func openNetns(_ context.Context, a *app, name string, c FleetConfig) (fleet.Fleet, error) {
	o, err := c.netnsOptions()
	if err != nil {
		return nil, err
	}
	o.State, o.Holder, o.Log = filepath.Join(a.fleetDir(name), "faults"), a.holder(), a.Log
	return netns.Open(o)
}

func reopenNetns(_ context.Context, a *app, u fleet.Undo) (fleet.Fleet, error) {
	return netns.Reopen(u, a.holder(), a.Log)
}

func (a *app) holder() []string { return []string{a.Executable, "drill", "hold"} }

func newDrillHoldCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "hold",
		Short:   "Hold the rules of a fault in a network namespace, as stdin says",
		Example: "  gwdr drill hold < order.json",
		Hidden:  true,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return netns.Hold(cmd.Context(), a.Stdin, a.Stdout)
		},
	}
}
