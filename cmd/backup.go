package cmd

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gwdr/backup"
	"gwdr/gateway"
)

type backupOptions struct {
	patience time.Duration
}

func newBackupCommand(a *app) *cobra.Command {
	var opts backupOptions
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Back the gateway up now, to every location",
		Long: `Backs the gateway up now: exports its configuration at one revision, encrypts it once, signs it, and puts the same
bytes to every location. Nothing is ever overwritten or deleted. A location that fails costs the exit code 3, not the
backup; what it missed waits in the spool and goes out with the next run.

The 3-2-1 rule is tested, not believed: gwdr tries to overwrite and to delete an object of its own at each location, and
locations that fail together count as one.`,
		Example: `  gwdr backup
  gwdr backup --json | jq .policy
  gwdr backup list
  gwdr backup verify --all`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBackup(cmd.Context(), a, opts) },
	}
	cmd.Flags().DurationVar(&opts.patience, "patience", 30*time.Second, "how long a location may keep gwdr waiting, on top of the transfer")
	cmd.AddCommand(newBackupListCommand(a), newBackupVerifyCommand(a))
	return cmd
}

func runBackup(ctx context.Context, a *app, opts backupOptions) error {
	if opts.patience <= 0 {
		return usageError(fmt.Errorf("--patience must be positive, not %s", opts.patience))
	}
	o, err := a.openGateway(ctx, "")
	if err != nil {
		return err
	}
	return a.backup(ctx, o.Target, opts)
}

// backup takes a backup of the source and shows the result.
func (a *app) backup(ctx context.Context, source gateway.Source, opts backupOptions) error {
	job, err := a.backupJob(ctx, source)
	if err != nil {
		return err
	}
	a.noteLab()
	job.Patience, job.Progress = opts.patience, a.backupProgress(time.Now)
	result, err := backup.Take(ctx, job)
	if errors.Is(err, backup.ErrLocked) {
		return withHint(exitWith(exitRefused, err), "wait for it to end; a lock does not outlive its process")
	}
	if result != nil {
		if err := a.showBackup(result); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	if !result.Complete() {
		return exitWith(exitMissed, shortfall(result))
	}
	return nil
}

// shortfall says what a backup that was taken lacks: where the result is not read, as under cron, nothing else does.
func shortfall(r *backup.Result) error {
	var missing []string
	for _, l := range r.Locations {
		if !l.OK || l.Error != "" {
			missing = append(missing, "location "+l.Name+" failed")
		}
	}
	if !r.Policy.Satisfied {
		missing = append(missing, "3-2-1 is not met: "+strings.Join(r.Policy.Findings, ", "))
	}
	return fmt.Errorf("backup was taken, but %s", strings.Join(missing, "; "))
}

// backupJob is a backup of the source as configured, without options of one run.
func (a *app) backupJob(ctx context.Context, source gateway.Source) (backup.Job, error) {
	copies, err := a.openCopies(ctx)
	if err != nil {
		return backup.Job{}, err
	}
	keys, err := a.openKeys()
	if err != nil {
		return backup.Job{}, err
	}
	job := backup.Job{
		Source: source, Gateway: a.Config.Gateway, Copies: copies, Keys: keys, Policy: a.backupPolicy(),
		Spool: filepath.Join(a.Config.State, "backup"), Tool: "gwdr " + version(), Log: a.Log,
	}
	if a.labLocations() { // a lab's spool goes with the lab
		job.Gateway, job.Spool = "lab", filepath.Join(a.Config.LabDir(), "backup")
	}
	return job, nil
}

// backupProgress returns a sink that says, about once a second, how far a slow backup is.
func (a *app) backupProgress(now func() time.Time) func(backup.Progress) {
	last := now()
	return func(p backup.Progress) {
		if now().Sub(last) < time.Second {
			return
		}
		last = now()
		switch p.Phase {
		case "seal":
			a.progress("sealing: %s", size(p.Done))
		case "put":
			a.progress("%s: %s of %s", p.Location, size(p.Done), size(p.Total))
		default:
			a.progress("%s", p.Phase)
		}
	}
}

func newBackupListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the points that can be restored, from all locations",
		Example: `  gwdr backup list
  gwdr backup list --json | jq -r '.points[0].name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBackupList(cmd.Context(), a) },
	}
}

// pointList is the contract gwdr/points/v1.
type pointList struct {
	Schema   string           `json:"schema"`
	Points   []listedPoint    `json:"points"` // newest first
	Problems []backup.Problem `json:"problems"`
}

type listedPoint struct {
	Name      string               `json:"name"`
	Lineage   string               `json:"lineage"`
	Parent    string               `json:"parent,omitempty"`
	Revision  int64                `json:"revision"`
	Time      time.Time            `json:"consistency_time"`
	Entities  map[gateway.Kind]int `json:"entities"`
	Bytes     int64                `json:"bytes"`
	Locations []string             `json:"locations"`
}

func runBackupList(ctx context.Context, a *app) error {
	copies, err := a.openCopies(ctx)
	if err != nil {
		return err
	}
	a.noteLab()
	keys, err := a.openKeys()
	if err != nil {
		return err
	}
	found, problems := backup.Find(ctx, copies, keys.Trusted)
	if err := ctx.Err(); err != nil {
		return err
	}
	list := pointList{Schema: "gwdr/points/v1", Points: []listedPoint{}, Problems: append([]backup.Problem{}, problems...)}
	for _, f := range found {
		list.Points = append(list.Points, listedPoint{Name: f.Name, Lineage: f.Lineage, Parent: f.Parent, Revision: f.Revision,
			Time: f.Time, Entities: f.Counts, Bytes: f.Size(), Locations: f.Copies})
	}
	if err := a.showPoints(list); err != nil {
		return err
	}
	return listError(list)
}

// listError decides the exit code of a list.
func listError(list pointList) error {
	if len(list.Problems) == 0 {
		return nil
	}
	if len(list.Points) > 0 {
		return exitWith(exitMissed, nil)
	}
	for _, p := range list.Problems {
		if errors.Is(p.Err, backup.ErrIntegrity) {
			return exitWith(exitIntegrity, errors.New("no point at any location is valid"))
		}
	}
	return errors.New("no point was found, and not every location could be read")
}

func newBackupVerifyCommand(a *app) *cobra.Command {
	var options backup.VerifyOptions
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read the newest point at every location, byte for byte",
		Long: `Reads the newest point (or all) at every location, byte for byte, compares it with what was signed, and decrypts it if an
identity is configured. Damage that another location heals costs the exit code 3; a point that all locations together
cannot give back costs 8.`,
		Example: `  gwdr backup verify
  gwdr backup verify --all --json | jq .lost`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBackupVerify(cmd.Context(), a, options) },
	}
	cmd.Flags().BoolVar(&options.All, "all", false, "read every point, not only the newest")
	return cmd
}

func runBackupVerify(ctx context.Context, a *app, options backup.VerifyOptions) error {
	copies, err := a.openCopies(ctx)
	if err != nil {
		return err
	}
	a.noteLab()
	keys, err := a.openKeys()
	if err != nil {
		return err
	}
	v, err := backup.Verify(ctx, copies, keys, options)
	if err != nil {
		return err
	}
	if err := a.showVerification(v, keys); err != nil {
		return err
	}
	switch {
	case v.Sound():
		return nil
	case v.Restorable():
		return exitWith(exitMissed, nil)
	case len(v.Lost) == 0 && len(v.Sealed) > 0:
		return withHint(exitWith(exitIntegrity, fmt.Errorf("the points are intact, but the identity %s does not open %s", keys.IdentityFile,
			count(len(v.Sealed), "point"))), identityHint)
	case unreadable(v):
		return errors.New("no location could be read")
	case v.Points == 0 && len(v.Lost) == 0:
		return withHint(exitWith(exitIntegrity, errors.New("there is no point at any location")), "'gwdr backup' takes one")
	}
	return exitWith(exitIntegrity, errors.New("not every point can be restored"))
}

// unreadable reports whether no location could be read at all, which says nothing of what they hold.
func unreadable(v *backup.Verification) bool {
	for _, l := range v.Locations {
		if len(l.Problems) == 0 || l.Problems[0].Object != "" {
			return false
		}
	}
	return true
}
