package cmd

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gwdr/backup"
)

// pruneOptions are the flags of gwdr backup prune.
type pruneOptions struct {
	keep backup.Keep
	yes  bool
}

func newBackupPruneCommand(a *app) *cobra.Command {
	var opts pruneOptions
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Remove old points, and what only they need, from every location",
		Long: `Removes from every location the points that no rule keeps, and the packs and the part of the log that only they need. It
only says what it would remove, unless --yes is given.

A rule keeps what lies so far back from the newest point; where no new point comes, none grows old. Time is that of the
store, not of the point, so that nobody who can write points can age the others. The newest point of a lineage, the newest that was
verified, and whatever a kept point needs stay in any case.

The writer of backups should not be able to delete them. Name the location with credentials that can as 'pruner' in
gwdr.yaml, where only the machine that prunes sees it; what is locked stays until its lock has run out.`,
		Example: `  gwdr backup prune --keep-within 7d --keep-within-daily 30d \
    --keep-within-monthly 1y
  gwdr backup prune --keep-within 7d --keep-within-daily 30d --yes -q`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runBackupPrune(cmd.Context(), a, opts) },
	}
	flags := cmd.Flags()
	for _, rule := range []struct {
		span *time.Duration
		name string
		what string
	}{
		{&opts.keep.Within, "keep-within", "every point"},
		{&opts.keep.Hourly, "keep-within-hourly", "the last point of each hour"},
		{&opts.keep.Daily, "keep-within-daily", "the last point of each day"},
		{&opts.keep.Weekly, "keep-within-weekly", "the last point of each week"},
		{&opts.keep.Monthly, "keep-within-monthly", "the last point of each month"},
		{&opts.keep.Yearly, "keep-within-yearly", "the last point of each year"},
	} {
		flags.Var((*spanFlag)(rule.span), rule.name, "keep "+rule.what+" within this `span` (such as 36h, 30d, 8w, 1y)")
	}
	flags.BoolVar(&opts.yes, "yes", false, "remove, and do not only say what would be removed")
	return cmd
}

// spanFlag is a flag that backup.ParseSpan reads.
type spanFlag time.Duration

// Set reads the flag.
func (f *spanFlag) Set(text string) error {
	span, err := backup.ParseSpan(text)
	*f = spanFlag(span)
	return err
}

// String is empty for a rule that keeps nothing.
func (f *spanFlag) String() string {
	if *f == 0 {
		return ""
	}
	return time.Duration(*f).String()
}

// Type names the kind of flag in help.
func (f *spanFlag) Type() string { return "span" }

func runBackupPrune(ctx context.Context, a *app, opts pruneOptions) error {
	copies, err := a.openPruners(ctx)
	if err != nil {
		return err
	}
	a.noteLab()
	keys, err := a.openReaderKeys(ctx)
	if err != nil {
		return err
	}
	p, err := backup.Prune(ctx, copies, keys.Trusted, backup.PruneOptions{Keep: opts.keep, Remove: opts.yes})
	if errors.Is(err, backup.ErrNoRule) {
		return withHint(usageError(err), "say for how long, such as --keep-within 7d --keep-within-daily 30d")
	}
	if p == nil {
		return err
	}
	return errors.Join(a.showPruning(p), err, pruneError(p))
}

// openPruners returns the configured locations with the credentials that may remove.
func (a *app) openPruners(ctx context.Context) ([]backup.Copy, error) {
	copies, err := a.openCopies(ctx)
	if err != nil || a.labLocations() {
		return copies, err
	}
	for i, c := range copies {
		configured := a.Config.Locations[c.Name]
		if configured.Pruner == "" {
			continue
		}
		configured.URL = configured.Pruner
		if copies[i], err = a.openCopy(ctx, c.Name, configured); err != nil {
			return nil, usageError(err)
		}
	}
	return copies, nil
}

func pruneError(p *backup.Pruning) error {
	var unread, failed []string
	for _, l := range p.Locations {
		switch text := "location " + l.Name + ": " + l.Error; {
		case l.Unread:
			unread = append(unread, text)
		case l.Error != "":
			failed = append(failed, text)
		}
	}
	var said []string
	if len(unread) > 0 {
		said = append(said, "not every location could be read: "+strings.Join(unread, "; "))
	}
	if len(failed) > 0 {
		said = append(said, "not everything could be removed: "+strings.Join(failed, "; "))
	}
	if len(said) == 0 {
		return nil
	}
	return exitWith(exitMissed, errors.New(strings.Join(said, "; ")))
}
