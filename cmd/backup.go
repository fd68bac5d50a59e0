package cmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gwdr/backup"
	"gwdr/gateway"
)

type backupOptions struct {
	patience   time.Duration
	full       bool
	newLineage bool
	ping       string
	metrics    string
	begun      func() // is told, more than once, that this backup is the one that runs; nil: nobody is
}

func newBackupCommand(a *app) *cobra.Command {
	var opts backupOptions
	cmd := &cobra.Command{
		Use:   "backup",
		Short: "Back the gateway up now, to every location",
		Long: `Backs the gateway up now: reads its configuration at one revision, encrypts it once, signs it, and puts the same bytes
to every location. What has not changed since the last backup is not read or sent again, but for once a day. Nothing is
ever overwritten or deleted. A location that fails costs the exit code 3, not the backup; what it missed waits in the
spool and goes out with the next run.

The 3-2-1 rule is tested, not believed: gwdr tries to overwrite and to delete an object of its own at each location, and
locations that fail together count as one.`,
		Example: `  gwdr backup
  gwdr backup --json | jq .policy
  gwdr backup follow              # from now on, change by change
  gwdr backup status
  gwdr backup list
  gwdr backup verify --all`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBackup(cmd.Context(), a, opts) },
	}
	cmd.Flags().DurationVar(&opts.patience, "patience", 30*time.Second, "how long a location may keep gwdr waiting, on top of the transfer")
	cmd.Flags().BoolVar(&opts.full, "full", false, "read and send everything, even if little has changed")
	cmd.Flags().BoolVar(&opts.newLineage, "new-lineage", false, "begin a new lineage, which descends from the last: after another writer continued it (exit code 9)")
	cmd.Flags().StringVar(&opts.ping, "ping", "", "`URL` of a monitor such as healthchecks.io, which learns when a backup begins and how it ends; better kept in GWDR_PING or gwdr.yaml: it is a secret")
	cmd.Flags().StringVar(&opts.metrics, "metrics-file", "", "`file` to write metrics to for node_exporter's textfile collector; it ends with .prom")
	cmd.AddCommand(newBackupFollowCommand(a), newBackupListCommand(a), newBackupVerifyCommand(a), newBackupStatusCommand(a), newBackupPruneCommand(a))
	return cmd
}

func runBackup(ctx context.Context, a *app, opts backupOptions) error {
	if opts.patience <= 0 {
		return usageError(fmt.Errorf("--patience must be positive, not %s", opts.patience))
	}
	if file := cmp.Or(opts.metrics, a.Config.MetricsFile); file != "" && filepath.Ext(file) != ".prom" {
		return usageError(fmt.Errorf("the file of metrics %s does not end with .prom: node_exporter would not read it", file))
	}
	w, err := a.newWatch(ctx, opts)
	if err != nil {
		return err
	}
	opts.begun = w.begin
	result, err := a.backup(ctx, nil, opts)
	w.end(ctx, result, err)
	return err
}

// backup takes a backup of the source, or if that is nil of the configured gateway, and shows the result.
func (a *app) backup(ctx context.Context, source gateway.Source, opts backupOptions) (*backup.Result, error) {
	if source == nil {
		o, err := a.openControl(ctx, "")
		if err != nil {
			return nil, err
		}
		source = o.Target
	}
	job, err := a.backupJob(ctx, source)
	if err != nil {
		return nil, err
	}
	a.noteLab()
	if opts.newLineage {
		if err := backup.NewLineage(job.Spool, job.Gateway, time.Now()); err != nil {
			return nil, locked(err)
		}
	}
	job.Patience, job.Full, job.Progress = opts.patience, opts.full, a.backupProgress(time.Now)
	if progress := job.Progress; opts.begun != nil {
		job.Progress = func(p backup.Progress) {
			opts.begun()
			progress(p)
		}
	}
	result, err := backup.Take(ctx, job)
	if result != nil && (a.JSON || !a.Quiet) {
		if err := a.showBackup(result); err != nil {
			return result, err
		}
	}
	return result, backupError(result, err)
}

// backupError decides the exit code of a backup, and what to do next. result may be nil.
func backupError(result *backup.Result, err error) error {
	switch {
	case errors.Is(err, backup.ErrSplitBrain):
		return splitBrain(err)
	case errors.Is(err, backup.ErrBlank):
		return withHint(err, "'gwdr restore' brings its configuration back")
	case err != nil && result != nil && result.Stored() == 0:
		return withHint(err, "%s", cmp.Or(awayHint(failures(result)), "'gwdr backup status' says how each location stands; the next 'gwdr backup' brings them what is in the spool"))
	case result == nil && errors.Is(err, gateway.ErrNotLeader):
		return withHint(err, "it has nothing of its own to back up: 'gwdr backup' works once it is promoted")
	case result == nil && unheard(err):
		return withHint(err, "is it running? GWDR_GATEWAY, or 'gateway' in gwdr.yaml, names another")
	case err != nil:
		return locked(err)
	case !result.Complete():
		return shortfall(result)
	}
	return nil
}

// failures returns what is wrong with locations.
func failures(r *backup.Result) []backup.Problem {
	var problems []backup.Problem
	for _, l := range r.Locations {
		problems = append(problems, backup.Problem{Copy: l.Name, Err: l.Err})
	}
	return problems
}

// unheard reports whether nobody answered at a network address.
func unheard(err error) bool {
	silent := (*net.OpError)(nil)
	return errors.As(err, &silent)
}

// splitBrain says what to do about another writer.
func splitBrain(err error) error {
	return withHint(exitWith(exitSplitBrain, err), "find and stop the other gwdr that backs this gateway up with a spool of its own; "+
		"then 'gwdr backup --new-lineage' goes on from here")
}

// locked says what to do about another backup that runs.
func locked(err error) error {
	if errors.Is(err, backup.ErrLocked) {
		return withHint(exitWith(exitRefused, err), "wait for it to end, if it is no 'gwdr backup follow', which makes the backups itself; a lock does not outlive its process")
	}
	return err
}

// shortfall says what a backup that was taken lacks: where the result is not read, as under cron, nothing else does.
func shortfall(r *backup.Result) error {
	var missing []string
	hint := ""
	for _, l := range r.Locations {
		if !l.OK || l.Error != "" {
			missing = append(missing, "location "+l.Name+" failed: "+l.Error)
			hint = cmp.Or(awayHint([]backup.Problem{{Err: l.Err}}), hint, catchUpHint)
		}
		if l.OK && l.Untested {
			missing = append(missing, "location "+l.Name+" could not be tested: "+l.Note)
		}
		for _, point := range l.Gone {
			missing = append(missing, "location "+l.Name+" took point "+path.Base(point)+" earlier, and it is gone")
			hint = "find out who deleted it; 'gwdr backup verify --all --strict --repair' puts back what other locations have"
		}
	}
	if !r.Policy.Satisfied {
		missing = append(missing, "3-2-1 not met: "+strings.Join(r.Policy.Findings, ", "))
		hint = cmp.Or(hint, "'gwdr backup status' says what each location withstands; docs/backup.md what counts")
	}
	if len(r.Unreachable) > 0 {
		missing = append(missing, fmt.Sprintf("the gateway would not give: %v", r.Unreachable))
	}
	err := exitWith(exitMissed, errors.New(strings.Join(missing, "; ")))
	if hint != "" {
		return withHint(err, "%s", hint)
	}
	return err
}

// backupJob is a backup of the source as configured, without options of one run. A source of nil makes a job that only
// names what a restore needs, too.
func (a *app) backupJob(ctx context.Context, source gateway.Source) (backup.Job, error) {
	copies, err := a.openCopies(ctx)
	if err != nil {
		return backup.Job{}, err
	}
	var keys backup.Keys
	if source == nil { // nothing will be signed
		keys, err = decrypting(a.openReaderKeys(ctx))
	} else {
		keys, err = writing(a.openKeys(ctx))
	}
	if err != nil {
		return backup.Job{}, err
	}
	job := backup.Job{Source: source, Copies: copies, Keys: keys, Policy: a.backupPolicy(), Tool: "gwdr " + version(), Log: a.Log}
	job.Gateway, job.Spool = a.spool()
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
		Long: `Reads the points at every location, and lists those that a trusted signer signed: when each was taken, how much is in it,
and which locations have it. The newest comes first, but those that a restore left to undo it come last. It decrypts nothing, so
that it needs no identity, and it does not look whether all that a point needs is there: 'gwdr backup verify' does.

'gwdr restore --at' takes the name or the time of a point. What is between two points and after the newest is in the log,
which a restore follows: it is not listed.

Exit code 3: not every location could be read, or one has a point that does not verify; 8: no point at any verifies.`,
		Example: `  gwdr backup list
  gwdr backup list --json | jq -r '.points[0].name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBackupList(cmd.Context(), a) },
	}
}

// pointList is the contract gwdr/points/v1.
type pointList struct {
	Schema   string           `json:"schema"`
	Points   []listedPoint    `json:"points"` // newest first, those last that stray
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
	Undo      bool                 `json:"undo,omitempty"`  // taken of what a restore overwrote
	Stray     bool                 `json:"stray,omitempty"` // of a writer whom few locations follow: restores pass it over
}

func runBackupList(ctx context.Context, a *app) error {
	copies, err := a.openCopies(ctx)
	if err != nil {
		return err
	}
	a.noteLab()
	keys, err := a.openReaderKeys(ctx)
	if err != nil {
		return err
	}
	copies = backup.Attentive(copies)
	found, problems := backup.Find(ctx, copies, keys.Trusted)
	strays := backup.NewForks(copies, keys.Trusted).Strays(ctx, found)
	if err := ctx.Err(); err != nil {
		return err
	}
	list := pointList{Schema: "gwdr/points/v1", Points: []listedPoint{}, Problems: append([]backup.Problem{}, problems...)}
	for _, f := range found {
		list.Points = append(list.Points, listedPoint{Name: f.Name, Lineage: f.Lineage, Parent: f.Parent, Revision: f.Revision,
			Time: f.Time, Entities: f.Counts, Bytes: f.Size(), Locations: f.Copies, Undo: f.Undo, Stray: strays[f.SHA256]})
	}
	slices.SortStableFunc(list.Points, func(a, b listedPoint) int {
		switch {
		case a.Stray == b.Stray:
			return 0
		case b.Stray:
			return -1
		}
		return 1
	})
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
	if hint := awayHint(list.Problems); hint != "" && len(list.Points) > 0 {
		return withHint(exitWith(exitMissed, errors.New("not every location could be read")), "%s", hint)
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
