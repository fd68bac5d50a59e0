package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gwdr/backup"
)

type statusOptions struct {
	patience time.Duration
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
  gwdr backup status --json | jq .exposure_s`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBackupStatus(cmd.Context(), a, opts) },
	}
	cmd.Flags().DurationVar(&opts.patience, "patience", 15*time.Second, "how long a location may keep gwdr waiting")
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
	keys, err := a.openKeys()
	if err != nil {
		return err
	}
	asked := make(chan *backup.GatewayStatus, 1)
	go func() { asked <- a.askGateway(ctx) }()
	gateway, spool := a.spool()
	s := backup.CheckStatus(ctx, copies, keys, a.backupPolicy(), backup.StatusOptions{Spool: spool, Gateway: gateway, Patience: opts.patience})
	s.Gateway = compareGateway(<-asked, s.Newest)
	if err := ctx.Err(); err != nil {
		return err
	}
	if a.JSON || !a.Quiet {
		if err := a.showStatus(s); err != nil {
			return err
		}
	}
	return statusError(s)
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

// shortcoming is one thing that a status lacks.
type shortcoming struct{ label, text string }

// shortcomings lists what a status lacks: what is wrong with locations, and then what follows for the policy.
func shortcomings(s *backup.Status) []shortcoming {
	var all []shortcoming
	for _, l := range s.Locations {
		for _, p := range l.Problems {
			where := l.Name
			if p.Object != "" {
				where += " " + shortObject(p.Object)
			}
			all = append(all, shortcoming{"PROBLEM", where + ": " + p.Text})
		}
	}
	if !s.Policy.Satisfied {
		for _, f := range s.Policy.Findings {
			all = append(all, shortcoming{"MISSING", f})
		}
	}
	if s.Newest != nil && len(s.Newest.Unreachable) > 0 {
		all = append(all, shortcoming{"MISSING", fmt.Sprintf("the gateway would not give: %v", s.Newest.Unreachable)})
	}
	return all
}

// shortObject is an object's name without its lineage and without most of its hash, for people.
func shortObject(object string) string {
	parts := strings.SplitN(object, "/", 3)
	if len(parts) < 3 {
		return object
	}
	dir, file := path.Split(parts[2])
	if sum, ending, ok := strings.Cut(file, "."); ok && len(sum) == 64 {
		file = sum[:12] + "..." + ending
	}
	return dir + file
}

// statusError decides the exit code of a status, and the next step.
func statusError(s *backup.Status) error {
	if s.Sound() {
		return nil
	}
	const shown = 5
	var lines []string
	all := shortcomings(s)
	for _, m := range all[:min(shown, len(all))] {
		lines = append(lines, m.text)
	}
	if more := len(all) - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	why := strings.Join(lines, "; ")
	var err error
	switch {
	case !s.Reachable():
		err = fmt.Errorf("no location could be read: %s", why)
	case s.Newest == nil && !silent(s):
		err = exitWith(exitIntegrity, fmt.Errorf("nothing can be restored: %s", why))
	default:
		err = exitWith(exitMissed, fmt.Errorf("backups are not as they should be: %s", why))
	}
	if hint := statusHint(s); hint != "" {
		return withHint(err, "%s", hint)
	}
	return err
}

// silent reports whether some location could not be read, which says nothing of what it holds.
func silent(s *backup.Status) bool {
	return slices.ContainsFunc(s.Locations, func(l backup.LocationStatus) bool { return !l.Reachable })
}

// statusHint is the next step: that of the worst that was found.
func statusHint(s *backup.Status) string {
	var problems []backup.Problem
	points := 0
	for _, l := range s.Locations {
		problems = append(problems, l.Problems...)
		points += l.Points
	}
	has := func(kind error) bool {
		return slices.ContainsFunc(problems, func(p backup.Problem) bool { return errors.Is(p.Err, kind) })
	}
	switch {
	case has(backup.ErrVanished):
		return "find out who deleted it before anything else, and look after the other locations; 'gwdr backup verify --all' reads all that is left"
	case points == 0 && !silent(s):
		return "'gwdr backup' takes a point"
	case has(backup.ErrIntegrity):
		return "'gwdr backup verify --all' reads every byte, and says which location has each object whole"
	case has(backup.ErrIncomplete):
		return "the next 'gwdr backup' puts packs that are missing; 'gwdr backup verify' says what else is not whole"
	case silent(s):
		return cmp.Or(awayHint(problems), "once the location is back, the next 'gwdr backup' brings it what it missed")
	case has(backup.ErrLacking):
		return "the next 'gwdr backup' brings the newest; 'gwdr backup list' says which location has which point"
	case has(backup.ErrClock):
		return "set the clocks by NTP: the order of points goes by their time"
	case stale(s, s.Exposure):
		return "'gwdr backup' takes a new point. Does cron still run it, and to what end?"
	case slices.ContainsFunc(s.Locations, func(l backup.LocationStatus) bool { return stale(s, l.Exposure) }):
		return "the next 'gwdr backup' brings the location what it missed"
	case len(s.Policy.Unverified) > 0:
		return "'gwdr backup verify --all --attest' reads every byte, and leaves a signed record that it did"
	case !s.Policy.Satisfied:
		return "name more locations in gwdr.yaml, with their media and site, on devices and accounts of their own"
	}
	return ""
}

// stale reports whether the policy allows no state of that age.
func stale(s *backup.Status, exposure *float64) bool {
	return exposure != nil && s.Policy.Required.MaxAge > 0 && *exposure > s.Policy.Required.MaxAge
}
