package cmd

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gwdr/backup"
	"gwdr/gateway"
	"gwdr/gateway/native"
	"gwdr/restore"
)

// restoreOptions are the flags of gwdr restore.
type restoreOptions struct {
	at       string
	from     []string
	only     []string
	match    []string
	to       string
	probes   []string
	keysFile string
	issue    bool
	plan     bool
	noDelete bool
	rate     float64
	allowGap bool
	revoked  string
	witness  []string
	yes      bool
	verbose  bool
	rehearse bool
	noAttest bool
	within   time.Duration // that a rehearsal's data plane may take to follow; 0 means restore.DataPlane's
}

// minRate is the slowest --rate: a change in a quarter of an hour.
const minRate = 0.001

func newRestoreCommand(a *app) *cobra.Command {
	var opts restoreOptions
	cmd := &cobra.Command{
		Use:   "restore",
		Short: "Bring the gateway's configuration back from the backups",
		Long: `Restore brings the gateway's configuration back: it takes the newest point that verifies at any location, lays every
revocation known anywhere over it (a revoked key never comes back), shows what it would change, applies that, reads the
gateway back and probes the data planes: the lab's, or what --probe names. Keys are tried there if somebody gives some, as
the gateway does not store them: --probe-keys. What a location lost or somebody tampered with is passed over, and said.

Restoring again is safe: it changes only what differs. A restore that would change or delete what the gateway has now
asks first. docs/restore.md is the page for the worst day.

--rehearse touches nothing that lives: it restores into a gateway that it starts for this and throws away, whose upstreams
are all replaced by an echo, replays probes there, times the phases, and puts a signed record to every location. Exit code
0: passed. 3: the data plane does not serve it. 8: nothing restorable, or the digest differs.`,
		Example: `  gwdr restore --plan                 # what would happen
  gwdr restore                        # the newest point, as configured
  gwdr restore --at 2h --only routes  # the routes as they were then
  gwdr restore --from offsite --to gwdr+http://127.0.0.1:8081
  gwdr restore --rehearse             # the monthly restore test`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runRestore(cmd.Context(), a, opts) },
	}
	flags := cmd.Flags()
	flags.StringVar(&opts.at, "at", "", "`time` (2006-01-02T15:04:05Z), duration back from now (2h, 3d), before=REVISION, or point to restore (default: the newest state)")
	flags.StringSliceVar(&opts.from, "from", nil, "only from this `location`, by its name in gwdr.yaml (repeatable; default: whatever any of them has); the others still tell what was revoked")
	flags.StringSliceVar(&opts.only, "only", nil, "only these `kinds`: routes, specs, keys, upstreams, consumers, certs, settings, revocations; keys bring their revocations along")
	flags.StringSliceVar(&opts.match, "match", nil, "of these, only what matches this `pattern`, such as 'route:orders-*' (repeatable)")
	flags.StringVar(&opts.to, "to", "", "restore to the gateway at this `URL`, such as gwdr+http://127.0.0.1:8081 (default: the configured one)")
	flags.StringSliceVar(&opts.probes, "probe", nil, "prove the restore at the data plane of this base `URL`, such as http://127.0.0.1:8080, or gwdr+http://HOST:PORT of its admin listener (repeatable; default: probe.urls in gwdr.yaml, or the one that the gateway names)")
	flags.StringVar(&opts.keysFile, "probe-keys", "", "`file` of API keys to try there, one a line: live ones must be let in, all others must not (default: probe.keys in gwdr.yaml)")
	flags.BoolVar(&opts.issue, "probe-issue", false, "issue a key, try it there, revoke and delete it: the gateway has one more revocation afterwards")
	flags.BoolVar(&opts.rehearse, "rehearse", false, "restore into a gateway that is started for this and thrown away, prove it there, and leave a signed record")
	flags.BoolVar(&opts.noAttest, "no-attest", false, "with --rehearse: leave no signed record, which takes no signing key")
	flags.BoolVar(&opts.plan, "plan", false, "show what would be done, and do nothing")
	flags.BoolVar(&opts.allowGap, "allow-gap", false, "go on behind changes that are not known, because a part of the log is lost")
	flags.StringVar(&opts.revoked, "revocations", string(restore.FailClosed), "`policy` for keys that were issued after the last moment of which all revocations are known: fail-closed revokes them, accept-risk lets them work")
	flags.StringSliceVar(&opts.witness, "witness", nil, "who else may know what was revoked: the `URL` of another region or data plane (gwdr+http://HOST:PORT), or the --data directory of one that is dead (repeatable)")
	flags.BoolVar(&opts.noDelete, "no-delete", false, "keep what the gateway has and the point has not")
	flags.Float64Var(&opts.rate, "rate", 0, "give the gateway at most so many `changes` a second; 0: all of them at once, as one switch")
	flags.BoolVar(&opts.yes, "yes", false, "do not ask before changing or deleting what the gateway has")
	flags.BoolVarP(&opts.verbose, "verbose", "v", false, "show every change, and the difference of the bodies, without secrets")
	completeFlag(cmd, "revocations", completeList(func(context.Context) []string {
		return []string{string(restore.FailClosed), string(restore.AcceptRisk)}
	}))
	completeFlag(cmd, "only", completeList(kindNames))
	completeFlag(cmd, "from", completeList(a.locationNames))
	completeFlag(cmd, "at", cobra.FixedCompletions([]cobra.Completion{"1h", "1d", "before="}, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace))
	completeFlag(cmd, "match", cobra.NoFileCompletions)
	return cmd
}

func runRestore(ctx context.Context, a *app, opts restoreOptions) error {
	if err := opts.checkRehearse(); err != nil {
		return usageError(err)
	}
	if opts.rehearse {
		return runRehearse(ctx, a, opts)
	}
	r, err := newRestoration(ctx, a, opts)
	if err != nil {
		return err
	}
	return r.run(ctx, a, opts)
}

// restoration is a restore, and where the next backup looks up what its gateway descends from.
type restoration struct {
	*restore.Restore
	Gateway string // its name in the spool
	Spool   string
	// Keep takes a point of what the gateway has now, so that the restore can be undone; nil: nothing is kept.
	Keep  func(ctx context.Context) (*backup.Result, error)
	Proof *proof // nil: no data plane is known
}

// newRestoration opens all that a restore needs.
func newRestoration(ctx context.Context, a *app, opts restoreOptions) (*restoration, error) {
	return newRestorationAt(ctx, a, opts, func(ctx context.Context) (*opened, error) { return a.openGateway(ctx, opts.to) })
}

// newRestorationAt is newRestoration to the gateway that open opens, last of all.
func newRestorationAt(ctx context.Context, a *app, opts restoreOptions, open func(context.Context) (*opened, error)) (*restoration, error) {
	at, err := restore.ParseAt(opts.at, time.Now())
	if err != nil {
		return nil, usageError(fmt.Errorf("--at: %w", err))
	}
	only, err := parseKinds(opts.only)
	if err != nil {
		return nil, usageError(fmt.Errorf("--only: %w", err))
	}
	match, err := parseMatches(opts.match)
	if err != nil {
		return nil, usageError(fmt.Errorf("--match: %w", err))
	}
	if !(opts.rate == 0 || opts.rate >= minRate) || math.IsInf(opts.rate, 0) {
		return nil, usageError(fmt.Errorf("--rate: want 0, or at least %v changes a second, not %v", minRate, opts.rate))
	}
	policy := restore.RevocationPolicy(opts.revoked)
	if policy != restore.FailClosed && policy != restore.AcceptRisk {
		return nil, usageError(fmt.Errorf("--revocations: %q is neither fail-closed nor accept-risk", opts.revoked))
	}
	witnesses, err := a.openWitnesses(ctx, opts.witness)
	if err != nil {
		return nil, err
	}
	job, err := a.backupJob(ctx, nil)
	if err != nil {
		return nil, err
	}
	a.noteLab()
	copies, others, err := pickCopies(job.Copies, opts.from)
	if err != nil {
		return nil, usageError(fmt.Errorf("--from: %w", err))
	}
	o, err := open(ctx)
	if err != nil {
		return nil, err
	}
	proof, err := a.newProof(ctx, opts, o)
	if err != nil {
		return nil, err
	}
	r := &restore.Restore{Source: restore.Source{Copies: copies, Elsewhere: others, Keys: job.Keys, At: at, AllowGap: opts.allowGap, Witnesses: append(witnesses, o.Witnesses...), Log: a.Log,
		Progress: func(text string) { a.progress("%s", text) }}, Target: o.Target, Only: only, Match: match, NoDelete: opts.noDelete, Doubtful: policy, Rate: opts.rate}
	name := cmp.Or(opts.to, job.Gateway)
	if proof != nil {
		r.Probe = proof.probe
	}
	return &restoration{Restore: r, Gateway: name, Spool: job.Spool, Keep: a.keeper(o.Target, name), Proof: proof}, nil
}

// openWitnesses opens those that are named by URL or by path.
func (a *app) openWitnesses(ctx context.Context, named []string) ([]restore.RevocationSource, error) {
	var all []restore.RevocationSource
	for _, name := range named {
		if !strings.Contains(name, "://") {
			if _, err := os.Stat(name); err != nil {
				return nil, usageError(fmt.Errorf("--witness: %w", err))
			}
			all = append(all, restore.LastGood(name))
			continue
		}
		o, err := a.openControl(ctx, name)
		if err != nil {
			return nil, usageError(fmt.Errorf("--witness: %w", err))
		}
		all = append(all, o.Admin)
	}
	return all, nil
}

// keeper returns how to take a point of the gateway.
func (a *app) keeper(target gateway.Target, name string) func(context.Context) (*backup.Result, error) {
	return func(ctx context.Context) (*backup.Result, error) {
		job, err := a.backupJob(ctx, target)
		if err != nil {
			return nil, err
		}
		spool, err := os.MkdirTemp("", "gwdr-undo-") // nothing of it is for the next backup
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(spool)
		job.Gateway, job.Spool, job.Undo = name, spool, true
		return backup.Take(ctx, job)
	}
}

// run plans, asks if it must, and applies.
func (r *restoration) run(ctx context.Context, a *app, opts restoreOptions) error {
	plan, err := r.Plan(ctx)
	if err != nil {
		return a.noPlan(plan, err)
	}
	if opts.plan {
		return a.showPlan(plan, opts.verbose)
	}
	if err := a.agree(ctx, plan, opts); err != nil {
		return err
	}
	if r.Proof != nil {
		for _, step := range plan.Steps {
			r.Proof.Changed = append(r.Proof.Changed, step.Ref)
		}
	}
	undo := r.keep(ctx, a, plan)
	result, err := r.applyAgreed(ctx, a, plan)
	result.Undo = undo
	untried := r.Proof.untried(result)
	result.Findings = append(result.Findings, untried...)
	a.noteFindings(untried)
	if recordErr := r.record(ctx, result, plan); recordErr != nil {
		result.Findings = append(result.Findings, restore.Finding{Subject: "lineage", Text: recordErr.Error()})
		a.noteFindings(result.Findings[len(result.Findings)-1:])
	}
	return errors.Join(a.showResult(result), restoreError(result, err))
}

// rebases bounds how often a plan is brought up to date: within some 5 s, the gateway has made what a killed restore had sent.
const rebases = 8

// applyAgreed applies the plan, or what is left of it if the gateway has made the rest itself meanwhile.
func (r *restoration) applyAgreed(ctx context.Context, a *app, plan *restore.Plan) (*restore.Result, error) {
	pause := 25 * time.Millisecond
	for tries := 0; ; tries++ {
		result, err := r.Apply(ctx, plan)
		if !errors.Is(err, restore.ErrMoved) || tries == rebases {
			return result, err
		}
		next, rebaseErr := r.Rebase(ctx, plan, result)
		if rebaseErr != nil && result.Incomplete == nil {
			return result, fmt.Errorf("%w; nothing was restored", rebaseErr)
		}
		if rebaseErr != nil {
			return result, errors.Join(err, rebaseErr)
		}
		a.progress("the gateway was still busy with an earlier restore, which led to the same: %d of %d changes are left", len(next.Changes), len(plan.Changes))
		plan = next
		select {
		case <-ctx.Done():
			return result, errors.Join(err, ctx.Err())
		case <-time.After(pause):
			pause = min(2*pause, time.Second)
		}
	}
}

// keep takes a point of what the restore is about to overwrite, and returns its name. Without one, it goes on: the worst day
// is no day to insist.
func (r *restoration) keep(ctx context.Context, a *app, plan *restore.Plan) (point string) {
	if r.Keep == nil || !plan.Overwrites() {
		return ""
	}
	a.progress("taking a point of what the gateway has now")
	taken, err := r.Keep(ctx)
	if err != nil || taken.Stored() == 0 {
		plan.Findings = append(plan.Findings, restore.Finding{Subject: "undo", Text: fmt.Sprintf("what the gateway had before could not be kept as a point: %v", err)})
		a.noteFindings(plan.Findings[len(plan.Findings)-1:])
		return ""
	}
	return path.Base(taken.Point)
}

// record makes the next backup of the gateway start a lineage that names the point as its parent. A restore of some
// kinds, or one that changed nothing, leaves the gateway what it was.
func (r *restoration) record(ctx context.Context, result *restore.Result, plan *restore.Plan) error {
	if result.Actual != result.Expected || len(r.Only)+len(r.Match) > 0 || len(plan.Changes) == 0 {
		return nil
	}
	err := backup.RecordRestore(ctx, r.Spool, r.Gateway, result.Store, result.Parent)
	if errors.Is(err, backup.ErrLocked) {
		return errors.New("a 'gwdr backup' or 'gwdr backup follow' runs here meanwhile, and goes on with its own: it will not name what was restored as its parent. The restore is complete all the same")
	}
	if err != nil {
		return fmt.Errorf("the next backup will not name what was restored as its parent: %w", err)
	}
	return nil
}

// parseKinds reads the kinds of --only, in the plural or singular.
func parseKinds(texts []string) ([]gateway.Kind, error) {
	var kinds []gateway.Kind
	for _, text := range texts {
		kind := gateway.Kind(strings.TrimSuffix(strings.ToLower(strings.TrimSpace(text)), "s"))
		if !slices.Contains(gateway.Kinds(), kind) {
			return nil, fmt.Errorf("%q is none of the gateway's kinds: routes, specs, keys, upstreams, consumers, certs, settings, revocations", text)
		}
		kinds = append(kinds, kind)
	}
	return kinds, nil
}

func parseMatches(texts []string) ([]restore.Match, error) {
	var all []restore.Match
	for _, text := range texts {
		m, err := restore.ParseMatch(text)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// pickCopies returns the copies with the given names, in that order, and the others; all of them if no names are given.
func pickCopies(copies []backup.Copy, wanted []string) (picked, others []backup.Copy, err error) {
	if len(wanted) == 0 {
		return copies, nil, nil
	}
	var known []string
	for _, c := range copies {
		known = append(known, c.Name)
	}
	for _, name := range wanted {
		i := slices.Index(known, name)
		if i < 0 {
			return nil, nil, fmt.Errorf("no location is named %q; there are %s", name, strings.Join(known, ", "))
		}
		picked = append(picked, copies[i])
	}
	others = slices.DeleteFunc(slices.Clone(copies), func(c backup.Copy) bool { return slices.Contains(wanted, c.Name) })
	return picked, others, nil
}

// agree asks whoever restores before anything is changed or deleted. Creation takes nothing away, so it needs no
// agreement.
func (a *app) agree(ctx context.Context, plan *restore.Plan, opts restoreOptions) error {
	if opts.yes || !plan.Overwrites() {
		a.noteFindings(plan.Findings)
		return nil
	}
	loss := fmt.Sprintf("%s would be changed and %s deleted", count(plan.Total.Update, "entity"), count(plan.Total.Delete, "entity"))
	if a.JSON || !isTerminal(a.Stdin) || !isTerminal(a.Stderr) {
		a.noteFindings(plan.Findings)
		if a.JSON {
			if err := a.writeJSON(plan); err != nil {
				return err
			}
		}
		return withHint(exitWith(exitRefused, fmt.Errorf("restore refused: %s, and nobody agreed", loss)),
			"look at 'gwdr restore --plan', then add --yes; --no-delete keeps what the point does not have")
	}
	if err := writePlan(a.Stderr, plan, a.painter(a.Stderr), opts.verbose); err != nil {
		return err
	}
	fmt.Fprintf(a.Stderr, "\n%s. Type restore to go on: ", loss)
	answer, err := a.ask(ctx)
	if ctx.Err() != nil {
		return fmt.Errorf("restore interrupted: nothing was changed: %w", ctx.Err())
	}
	if answer != "restore" {
		return exitWith(exitRefused, errors.Join(errors.New("restore refused: nothing was changed"), ignoreEOF(err)))
	}
	return nil
}

// ask returns the line that is typed. An interrupt does not wait for it.
func (a *app) ask(ctx context.Context) (answer string, err error) {
	typed := make(chan struct{})
	var line string
	var readErr error
	go func() {
		defer close(typed)
		line, readErr = bufio.NewReader(a.Stdin).ReadString('\n')
	}()
	select {
	case <-typed:
		return strings.TrimSpace(line), readErr
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// noPlan says why nothing can be restored.
func (a *app) noPlan(plan *restore.Plan, err error) error {
	if a.JSON {
		if err := a.writeJSON(plan); err != nil {
			return err
		}
	}
	a.noteFindings(plan.Findings)
	return notRead(err, "is it running? --to names another; 'gwdr serve' starts an empty one to restore to, 'gwdr serve --from-backup' serves at once")
}

// notRead says what to do where the backups gave nothing to restore, or the gateway nothing at all.
func notRead(err error, gatewayHint string) error {
	unheard, answered := (*net.OpError)(nil), (*native.Error)(nil)
	switch {
	case errors.Is(err, restore.ErrTarget) && errors.As(err, &unheard):
		return withHint(err, "%s", gatewayHint)
	case errors.Is(err, restore.ErrTarget) && errors.As(err, &answered) && answered.Status == http.StatusNotFound:
		return withHint(err, "is this the admin address, which 'gwdr serve --admin' listens on? A data plane's does not do")
	}
	return backupHint(err)
}

// restoreError maps what came of a restore to its exit code.
func restoreError(result *restore.Result, err error) error {
	switch {
	case errors.Is(err, context.Canceled) && result.Incomplete != nil && len(result.Incomplete.Made) > 0:
		return withHint(exitWith(exitInterrupted, fmt.Errorf("restore interrupted: %s", result.Incomplete)), "restore again: only what is missing is changed")
	case err != nil && result.Incomplete != nil && len(result.Incomplete.Made) > 0:
		return withHint(exitWith(exitError, err), "restore again when the gateway is well: only what is missing is changed")
	case errors.Is(err, restore.ErrDataPlane):
		return withHint(exitWith(exitMissed, err), "the configuration is restored; look at the instances' /ready and logs")
	case errors.Is(err, restore.ErrDigest):
		return withHint(exitWith(exitIntegrity, err), "stop other writers, then restore again: only what differs is changed")
	case errors.Is(err, restore.ErrMoved):
		return withHint(exitWith(exitRefused, err), "run it again: it plans anew")
	case errors.Is(err, gateway.ErrNotLeader):
		return withHint(err, "name the control plane that leads with --to, or promote this one")
	}
	return err
}
