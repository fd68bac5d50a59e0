package cmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gwdr/backup"
	"gwdr/backup/s3"
)

type statusOptions struct {
	patience   time.Duration
	identities []string
}

func newBackupStatusCommand(a *app) *cobra.Command {
	var opts statusOptions
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Say how safe the backups are: 3-2-1-1-0, freshness, exposure",
		Long: `Asks every location at once how it stands, and believes none: it tries to overwrite and to delete an object of its own,
finds the newest point that verifies and the log after it, and goes by the listing for all that the point needs. What a
location cannot give back by itself does not count as a copy. 'gwdr backup verify' reads every byte; this reads few.

The exposure is what would be lost if the gateway died now. Exit code 3: the policy is not met, or a location has a
problem; 8: nothing can be restored.`,
		Example: `  gwdr backup status
  gwdr backup status --json | jq .exposure_s
  gwdr backup status --identity /media/safe/escrow`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBackupStatus(cmd.Context(), a, opts) },
	}
	cmd.Flags().DurationVar(&opts.patience, "patience", 15*time.Second, "how long a location may keep gwdr waiting")
	cmd.Flags().StringArrayVar(&opts.identities, "identity", nil, "age identity `file` to test as well, such as the escrow copy: whether it opens the newest point; repeatable")
	return cmd
}

func runBackupStatus(ctx context.Context, a *app, opts statusOptions) error {
	if opts.patience <= 0 {
		return usageError(fmt.Errorf("--patience must be positive, not %s", opts.patience))
	}
	copies, err := a.openCopies(ctx)
	if err != nil {
		return err
	}
	a.noteLab()
	keys, err := a.statusKeys(ctx, opts)
	if err != nil {
		return err
	}
	asked := make(chan *backup.GatewayStatus, 1)
	go func() { asked <- a.askGateway(ctx) }()
	rehearsed := make(chan time.Time, 1)
	go func() { rehearsed <- backup.LastRehearsal(ctx, copies, keys.Trusted, opts.patience) }()
	gateway, spool := a.spool()
	s := backup.CheckStatus(ctx, copies, keys.Keys, a.backupPolicy(), backup.StatusOptions{Spool: spool, Gateway: gateway, Patience: opts.patience,
		Scrubs: backup.Scrubs, ReadOnly: a.mayOnlyRead})
	var strangers []string
	for file, identities := range keys.named {
		tests := s.TryIdentities(ctx, copies, identities, opts.patience)
		if !slices.ContainsFunc(tests, func(t backup.RecipientTest) bool { return t.Opens }) {
			strangers = append(strangers, file)
		}
	}
	if last := <-rehearsed; !last.IsZero() {
		s.Rehearsed = &last
	}
	s.Gateway, s.Notes = compareGateway(<-asked, s.Newest), append(s.Notes, keys.notes...)
	if err := ctx.Err(); err != nil {
		return err
	}
	if a.JSON || !a.Quiet {
		if err := a.showStatus(s); err != nil {
			return err
		}
	}
	if err := statusError(s); err != nil || len(strangers) == 0 {
		return err
	}
	return withHint(exitWith(exitMissed, fmt.Errorf("%s opens nothing of the newest point", strings.Join(slices.Sorted(slices.Values(strangers)), ", "))),
		"the recipients of each point are in 'gwdr backup status --json'; those of the next one are keys.recipients in gwdr.yaml")
}

// mayOnlyRead tells of the error of a location that its credentials only read, as they should on a machine that takes no
// backups.
func (a *app) mayOnlyRead(err error) bool { return a.Config.Keys.Signing == "" && isDenied(err) }

// isDenied tells of the error of a location that it is well, and that the credentials do not allow this.
func isDenied(err error) bool {
	return errors.Is(err, s3.ErrDenied) || errors.Is(err, fs.ErrPermission)
}

// spool names the gateway in the spool, and the spool. A lab's goes with the lab.
func (a *app) spool() (gateway, dir string) {
	if a.labLocations() {
		return "lab", filepath.Join(a.Config.LabDir(), "backup")
	}
	return a.Config.Gateway, filepath.Join(a.Config.State, "backup")
}

// askGateway asks the gateway how far it is. That it does not answer is no concern of its backups.
func (a *app) askGateway(ctx context.Context) *backup.GatewayStatus {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	o, err := a.openGateway(ctx, "")
	if err != nil {
		return &backup.GatewayStatus{Note: "was not asked: " + err.Error()}
	}
	status, err := o.Admin.Brief(ctx)
	if err != nil {
		return &backup.GatewayStatus{Note: "did not answer: " + err.Error()}
	}
	return &backup.GatewayStatus{Store: status.Store, Revision: status.Revision}
}

// compareGateway says how far the gateway is ahead of the newest state, which may be nil.
func compareGateway(g *backup.GatewayStatus, newest *backup.Restorable) *backup.GatewayStatus {
	switch {
	case g.Store == "" || newest == nil:
	case g.Store != newest.Store:
		g.Note = "has another store than the newest point: there is no backup of it yet"
	default:
		ahead := max(0, g.Revision-newest.Revision)
		g.Ahead = &ahead
	}
	return g
}
