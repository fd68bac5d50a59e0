package cmd

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"gwdr/restore"
)

// diffOptions are the flags of gwdr diff.
type diffOptions struct {
	only    []string
	from    []string
	verbose bool
	exact   bool
}

func newDiffCommand(a *app) *cobra.Command {
	var opts diffOptions
	cmd := &cobra.Command{
		Use:   "diff [FROM] [TO]",
		Short: "Show drift: what differs between backups and gateways",
		Long: `Diff compares two configurations, and ends with exit code 3 if they differ. Each side is one of

  backup       the newest state that the backups give, the log after the newest point included
  backup@WHEN  how it was: a time, a duration back from now, or a point, as gwdr restore --at takes it
  live         the configured gateway
  URL          another gateway, such as gwdr+http://127.0.0.1:8081, with the same token

Without arguments it shows how the gateway has changed since the newest backup; with FROM alone, since that.

Bodies are the same if they say the same: layout, the order of keys, how numbers are spelled, defaults, when a key was made
or revoked, and whether a spec is JSON or YAML make no difference, and are counted under LAYOUT. With --exact every byte
counts. Diff changes nothing, and shows no secrets.`,
		Example: `  gwdr diff                      # the gateway against the newest backup
  gwdr diff backup@1d -v         # what has changed since yesterday, by line
  gwdr diff backup@2d backup@1d  # what was changed the day before yesterday
  gwdr diff gwdr+http://eu:8081 gwdr+http://us:8081 --only routes,specs
  gwdr diff --json | jq -r '.changes[] | "\(.op) \(.kind)/\(.id)"'`,
		Args: twoSides,
		RunE: func(cmd *cobra.Command, args []string) error { return runDiff(cmd.Context(), a, args, opts) },
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&opts.only, "only", nil, "only these `kinds`: routes, specs, keys, upstreams, consumers, certs, settings, revocations; keys bring their revocations along")
	flags.StringSliceVar(&opts.from, "from", nil, "read backups only from this `location`, by its name in gwdr.yaml (repeatable; default: whatever any of them has)")
	flags.BoolVar(&opts.exact, "exact", false, "compare bodies byte for byte")
	flags.BoolVarP(&opts.verbose, "verbose", "v", false, "show every change, and the difference of the bodies, without secrets")
	completeFlag(cmd, "only", completeList(kindNames))
	completeFlag(cmd, "from", completeList(a.locationNames))
	cmd.ValidArgsFunction = completeSides
	return cmd
}

func twoSides(_ *cobra.Command, args []string) error {
	if len(args) > 2 {
		return withHint(fmt.Errorf("'gwdr diff' takes FROM and TO, not %d arguments", len(args)), "see 'gwdr diff --help'")
	}
	return nil
}

func runDiff(ctx context.Context, a *app, args []string, opts diffOptions) error {
	d, err := newComparison(ctx, a, args, opts)
	if err != nil {
		return err
	}
	return d.run(ctx, a, opts.verbose)
}

// comparison is two sides, yet to be read, and how to compare them.
type comparison struct {
	restore.Comparison
	From, To reader
	InTurn   bool // both are backups, whose identity may ask for something to be typed
}

// reader reads one side. After an error the side may still hold findings, and nothing else.
type reader func(ctx context.Context) (*restore.Side, error)

// newComparison opens both sides.
func newComparison(ctx context.Context, a *app, args []string, opts diffOptions) (*comparison, error) {
	only, err := parseKinds(opts.only)
	if err != nil {
		return nil, usageError(fmt.Errorf("--only: %w", err))
	}
	from, to, err := parseSides(args, time.Now())
	if err != nil {
		return nil, err
	}
	if len(opts.from) > 0 && !from.Backup && !to.Backup {
		return nil, usageError(errors.New("--from names where backups are read, but no side is a backup"))
	}
	o := sideOpener{app: a, From: opts.from}
	d := &comparison{Comparison: restore.Comparison{Only: only, Exact: opts.exact}, InTurn: from.Backup && to.Backup}
	if d.From, err = o.open(ctx, from); err != nil {
		return nil, err
	}
	if d.To, err = o.open(ctx, to); err != nil {
		return nil, err
	}
	return d, nil
}

// run reads both sides, and shows how they differ.
func (d *comparison) run(ctx context.Context, a *app, verbose bool) error {
	from, to, err := d.read(ctx)
	if err != nil {
		return a.noDrift(restore.NewDrift(from, to), err)
	}
	drift := d.Compare(from, to)
	if err := a.showDrift(drift, verbose); err != nil {
		return err
	}
	return driftError(drift, verbose)
}

// read reads both sides, at once if it can. The error is that of the side that failed first, which ends the other.
func (d *comparison) read(ctx context.Context) (from, to *restore.Side, err error) {
	group, ctx := errgroup.WithContext(ctx)
	if d.InTurn {
		group.SetLimit(1)
	}
	group.Go(func() (err error) {
		from, err = d.From(ctx)
		return err
	})
	group.Go(func() (err error) {
		to, err = d.To(ctx)
		return err
	})
	err = group.Wait()
	return from, to, err
}

// noDrift says why nothing was compared.
func (a *app) noDrift(d *restore.Drift, err error) error {
	if a.JSON {
		if err := a.writeJSON(d); err != nil {
			return err
		}
	}
	if !errors.Is(err, restore.ErrTarget) { // which ended all other reads: what they say is of no interest
		a.noteFindings(d.Findings)
	}
	return notRead(err, "is it running? FROM and TO name others: see 'gwdr diff --help'")
}

// driftError decides the exit code, and says what to do next.
func driftError(d *restore.Drift, verbose bool) error {
	if d.Equal {
		return nil
	}
	n := d.Total
	err := exitWith(exitMissed, fmt.Errorf("drift from %s to %s: %d added, %d changed, %d removed", sideName(d.From), sideName(d.To), n.Create, n.Update, n.Delete))
	switch {
	case !verbose:
		return withHint(err, "-v shows what differs, line by line")
	case d.From.What == restore.SideBackup && d.To.What == restore.SideGateway:
		return withHint(err, "'gwdr restore --plan' shows how to take it back, 'gwdr backup' keeps it")
	}
	return err
}

// sideName names a side in a sentence.
func sideName(s *restore.Side) string {
	if s.What == restore.SideBackup {
		return fmt.Sprintf("the backup of %s (%s old)", s.Time.Format(time.RFC3339), elapsed(s.AgeS))
	}
	return "gateway " + printable(s.Gateway)
}
