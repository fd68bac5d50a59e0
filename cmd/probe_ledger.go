package cmd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gwdr/drills"
	"gwdr/probes"
)

// probeLedgerOptions are the flags of gwdr probe ledger.
type probeLedgerOptions struct {
	Gateway   string
	Regions   []string
	Kinds     []string
	Every     time.Duration
	For       time.Duration
	Timeout   time.Duration
	Baseline  time.Duration
	StableFor time.Duration
	Settle    time.Duration
	RPO       time.Duration
	Upstream  string
	Keep      bool
	Stop      bool
	Evidence  string
}

func newProbeLedgerCommand(a *app) *cobra.Command {
	var opts probeLedgerOptions
	cmd := &cobra.Command{
		Use:   "ledger",
		Short: "Count the changes that are lost while somebody breaks the gateway",
		Long: `Ledger makes numbered changes through the gateway's own admin path: routes, specs and
other entities are created, updated and deleted, keys issued and revoked. Before each
change its intent is on this machine's disk. Meanwhile you break the gateway and bring it
back: fail over, restore a backup, roll a disk back.

On ctrl-c, or after --for, it waits until every region can be read (at most --settle),
reads all objects back by list, each by itself, and at the data plane, and says which
acknowledged changes are lost, stale, or undone. A revoked key that works again fails
the run (code 3), and so does a recovery point beyond --rpo.

Send SIGUSR1, or press m, right before you break something: the recovery point is counted
back from there, else from the first change that was not acknowledged. Of several marks
the first counts. With --stop-at-mark no changes are made from there on: 'gwdr restore' wants a gateway that nobody writes to.

It makes objects on the gateway whose ids begin with 'ledger-', and takes them away in
the end; revocations stay, as they are for good. Keys that it issues are never shown, and
are revoked in the end. Run it on a machine that does not break with the gateway.`,
		Example: `  gwdr probe ledger --for 10m --rpo 30s
  gwdr probe ledger --gateway gwdr+http://10.0.0.5:8081 \
    --region gwdr+http://10.1.0.5:8081
  gwdr probe ledger --kinds route,key,revoke --every 200ms --json > loss.json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return withHint(fmt.Errorf("'gwdr probe ledger' takes no argument, and %q is one", args[0]), "--gateway %s", args[0])
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := refuseIdle(cmd.Flags(), "for", "rpo", "gateway", "upstream"); err != nil {
				return err
			}
			return runProbeLedger(cmd.Context(), a, opts)
		},
	}
	opts.addFlags(cmd)
	return cmd
}

func (o *probeLedgerOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.Gateway, "gateway", "", "`URL` of the gateway (default: as configured, or the lab)")
	f.StringArrayVar(&o.Regions, "region", nil, "`URL` of the admin API of a further region to read back; may be repeated")
	f.StringSliceVar(&o.Kinds, "kinds", []string{"route", "spec", "key", "revoke"}, "kinds of change, in turn: "+strings.Join(changeKindWords(), ", "))
	f.DurationVar(&o.Every, "every", 100*time.Millisecond, "`time` from one change to the next")
	f.DurationVar(&o.For, "for", 0, "make changes for this `time` (default: until interrupted)")
	f.DurationVar(&o.Timeout, "timeout", 2*time.Second, "give a change up this long after it was due")
	f.DurationVar(&o.Baseline, "baseline", 5*time.Second, "undisturbed `time` at the start")
	f.DurationVar(&o.StableFor, "stable-for", 10*time.Second, "an outage is over once 99% of this `time` after it is good")
	f.DurationVar(&o.Settle, "settle", time.Minute, "`time` that all regions may take in the end until they can be read")
	f.DurationVar(&o.RPO, "rpo", 0, "judge: the recovery point lies at most this `time` back")
	f.StringVar(&o.Upstream, "upstream", "", "`id` of an upstream for the routes (default: one of its own)")
	f.BoolVar(&o.Stop, "stop-at-mark", false, "make no more changes from the mark on")
	f.BoolVar(&o.Keep, "keep", false, "leave the objects on the gateway")
	f.StringVar(&o.Evidence, "evidence", "", "`directory` for the evidence (default: as configured, or ./evidence)")
	for _, flag := range []string{"gateway", "region", "every", "for", "timeout", "baseline", "stable-for", "settle", "rpo", "upstream"} {
		completeFlag(cmd, flag, cobra.NoFileCompletions)
	}
	completeFlag(cmd, "kinds", cobra.FixedCompletions(changeKindWords(), cobra.ShellCompDirectiveNoFileComp))
	completeFlag(cmd, "evidence", func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveFilterDirs
	})
}

func changeKindWords() (words []string) {
	for _, k := range probes.ChangeKinds() {
		words = append(words, string(k))
	}
	return words
}

func (o *probeLedgerOptions) check() error {
	switch {
	case o.Every < 5*time.Millisecond || o.Every > time.Minute:
		return fmt.Errorf("--every %s is not from 5ms to 1m", o.Every)
	case o.For < 0 || o.RPO < 0 || o.Settle < 0:
		return errors.New("--for, --rpo and --settle must not be negative")
	case o.Timeout <= 0 || o.Baseline <= 0 || o.StableFor <= 0:
		return errors.New("--timeout, --baseline and --stable-for must be positive")
	case len(o.Kinds) == 0:
		return errors.New("--kinds names nothing")
	}
	for _, k := range o.Kinds {
		if !slices.Contains(changeKindWords(), k) {
			return fmt.Errorf("--kinds: %q is none of %s", k, strings.Join(changeKindWords(), ", "))
		}
	}
	return nil
}

func runProbeLedger(ctx context.Context, a *app, opts probeLedgerOptions) (err error) {
	if err := opts.check(); err != nil {
		return usageError(err)
	}
	keys, err := a.openKeys(ctx) // whoever cannot sign the report should hear it before
	if err != nil {
		return err
	}
	if opts.Evidence != "" {
		a.Config.Evidence = opts.Evidence
		if err := a.Config.resolve(); err != nil {
			return err
		}
	}
	control, err := startControl("")
	if err != nil {
		return err
	}
	defer control.close()
	site, err := a.openLedger(ctx, opts)
	if err != nil {
		return err
	}
	defer func() { err = besideResult(err, site.close(ctx)) }()
	w, err := opts.watch(site, control.url)
	if err != nil {
		return err
	}
	for kind, why := range w.Plan.Ledger.Uncovered {
		a.progress("not covered: changes of kind %s: %s", kind, why)
	}
	return a.runWatch(ctx, w, keys.Signer)
}

// watch plans the series of the changes, and that of a control target.
func (o *probeLedgerOptions) watch(site *ledgerSite, control string) (*drills.Watch, error) {
	ledger := &drills.WatchLedger{Every: o.Every, Prefix: site.prefix, Timeout: o.Timeout, StopAtMark: o.Stop, Settle: o.Settle, RPO: o.RPO}
	var kinds []probes.ChangeKind
	for _, k := range o.Kinds {
		kinds = append(kinds, probes.ChangeKind(k))
	}
	ledger.Uncovered = ledgerUncovered(site.before, kinds)
	for _, k := range kinds {
		if _, uncovered := ledger.Uncovered[k]; !uncovered {
			ledger.Kinds = append(ledger.Kinds, k)
		}
	}
	if len(ledger.Kinds) == 0 {
		return nil, errors.New("plan ledger: the gateway gives none of the kinds that were asked for")
	}
	common := probeOptions{For: o.For, Rate: 20, Timeout: o.Timeout, Baseline: o.Baseline, StableFor: o.StableFor}
	w, err := common.watch(nil, control, nil)
	if err != nil {
		return nil, err
	}
	series := probes.Series{Name: probes.AdminSeries, Plane: probes.ControlPlane, Interval: o.Every, Timeout: o.Timeout}
	w.Plan.Series = append(w.Plan.Series, drills.WatchSeries{Series: series, Target: len(w.Plan.Targets)})
	w.Plan.Targets = append(w.Plan.Targets, drills.WatchTarget{URL: site.name, Expect: http.StatusOK})
	w.Plan.Ledger, w.Admin = ledger, site.admin
	return w, nil
}
