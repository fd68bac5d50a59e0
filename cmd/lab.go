package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gwdr/fleet/process"
)

func newLabCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lab",
		Short: "Run a fleet of real gateways on this machine",
		Long: `Run a fleet of real gateways on this machine: regions with a control plane and data instances each, an edge in front, an
echo upstream behind, and every connection between them over a link that can fail. All of it are ordinary processes of
your own user on free loopback ports; they end with the lab, however it ends.`,
		Example: `  gwdr lab up
  gwdr lab up --regions eu,us,ap --instances 1
  gwdr lab status --json
  gwdr lab down`,
	}
	cmd.AddCommand(newLabUpCommand(a), newLabStatusCommand(a), newLabDownCommand(a))
	cmd.AddCommand(newLabSuperviseCommand(a), newLabEchoCommand(a), newLabLinksCommand(a), newLabPressCommand(a), newLabLoadCommand(a))
	return cmd
}

type labUpOptions struct {
	regions     []string
	instances   int
	replication string
}

func newLabUpCommand(a *app) *cobra.Command {
	o := &labUpOptions{}
	cmd := &cobra.Command{
		Use:   "up",
		Short: "Start the lab; it stays until `gwdr lab down`",
		Example: `  gwdr lab up
  gwdr lab up --regions eu,us,ap --instances 1 --replication sync`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runLabUp(cmd.Context(), a, o) },
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.regions, "regions", []string{"us-east", "us-west"}, "`names` of the regions; the first one leads")
	f.IntVar(&o.instances, "instances", 2, "`number` of data instances in each region")
	f.StringVar(&o.replication, "replication", process.ReplicationAsync, "`kind` of replication between regions: none, async, sync (three or more)")
	return cmd
}

func runLabUp(ctx context.Context, a *app, o *labUpOptions) error {
	t := process.Topology{Replication: o.replication}
	for _, name := range o.regions {
		t.Regions = append(t.Regions, process.Region{Name: name, Instances: o.instances})
	}
	if err := t.Validate(); err != nil {
		return usageError(err)
	}
	lab, err := a.startLab(ctx, process.Options{Dir: a.Config.LabDir(), Executable: a.Executable, Topology: t, Log: a.Log})
	if err != nil {
		return err
	}
	return a.showLab(ctx, lab)
}

// startLab starts a lab, gives its gateway something to serve, and returns when every instance serves that.
func (a *app) startLab(ctx context.Context, o process.Options) (*process.Lab, error) {
	begun := time.Now()
	a.progress("starting a lab: %s", describe(o.Topology))
	o.Env = a.labEnv()
	var err error
	if o.Topology.Links, err = a.locationLinks(); err != nil {
		return nil, err
	}
	lab, err := process.Start(ctx, o)
	if errors.Is(err, process.ErrRunning) {
		return nil, exitWith(exitRefused, withHint(err, "look at it with 'gwdr lab status', or end it with 'gwdr lab down'"))
	}
	if err != nil {
		return nil, err
	}
	if err := seedLab(ctx, lab); err != nil {
		return nil, errors.Join(err, downLab(lab))
	}
	a.progress("lab is up after %.1f s", time.Since(begun).Seconds())
	return lab, nil
}

// labEnv is what the lab's processes get of the environment.
func (a *app) labEnv() []string {
	var env []string
	for _, name := range []string{"PATH", "TMPDIR", "GOCOVERDIR"} {
		if value := a.Env(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// describe says what the topology is, for people.
func describe(t process.Topology) string {
	var parts []string
	for _, r := range t.Regions {
		parts = append(parts, fmt.Sprintf("%s with %d", r.Name, r.Instances))
	}
	return fmt.Sprintf("%s data instances, replication %s", strings.Join(parts, ", "), t.Replication)
}

func newLabStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "status",
		Short:   "Show the lab's processes, and the faults in effect",
		Example: "  gwdr lab status\n  gwdr lab status --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			lab, err := a.openRunningLab()
			if err != nil {
				return err
			}
			return a.showLab(cmd.Context(), lab)
		},
	}
}

// openRunningLab returns the running lab, or an error that says how to get one.
func (a *app) openRunningLab() (*process.Lab, error) {
	lab, err := process.Open(a.Config.LabDir())
	if errors.Is(err, process.ErrNoLab) {
		return nil, withHint(err, "start one with 'gwdr lab up'")
	}
	return lab, err
}

func newLabDownCommand(a *app) *cobra.Command {
	force := false
	cmd := &cobra.Command{
		Use:   "down",
		Short: "End the lab and every process of it",
		Long: `End the lab and every process of it, and forget its configuration and keys. Backups in its locations stay, and so do its
logs. After a lab that died, clean up what it left.`,
		Example: "  gwdr lab down",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return runLabDown(a, force) },
	}
	cmd.Flags().BoolVar(&force, "force", false, "also end a lab that a running drill has started for itself")
	return cmd
}

func runLabDown(a *app, force bool) error {
	lab, err := a.openRunningLab()
	if errors.Is(err, process.ErrNoLab) {
		return a.sweepLab(err)
	}
	if err != nil {
		return err
	}
	if lab.Owned() && !force {
		return exitWith(exitRefused, withHint(errors.New("the lab belongs to a running drill and ends with it"),
			"stop the drill, or end its lab all the same with --force"))
	}
	if err := downLab(lab); err != nil {
		return err
	}
	return a.reportDown("lab is down")
}

// sweepLab cleans up after a lab that died. If there is nothing to clean up, that there is no lab is the error.
func (a *app) sweepLab(none error) error {
	found, err := process.Sweep(a.Config.LabDir())
	if errors.Is(err, process.ErrRunning) {
		return exitWith(exitRefused, withHint(errors.New("the lab is just starting or ending"), "try again in a moment"))
	}
	if err != nil {
		return err
	}
	if !found {
		return none
	}
	return a.reportDown("cleaned up after a lab that died")
}

func (a *app) reportDown(what string) error {
	if a.JSON {
		return a.writeJSON(map[string]string{"schema": "gwdr/lab-down/v1", "result": what})
	}
	a.progress("%s", what)
	return nil
}
