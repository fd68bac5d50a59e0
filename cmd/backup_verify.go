package cmd

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gwdr/backup"
	"gwdr/backup/s3"
	"gwdr/backup/tree"
)

type verifyOptions struct {
	all, strict, repair, attest bool
	sample                      string
	seed                        uint64
	seeded                      bool
}

func newBackupVerifyCommand(a *app) *cobra.Command {
	var opts verifyOptions
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Read backups back from every location, and heal them if told to",
		Long: `Reads the newest point and what it needs (or everything, or a random sample) at every location, byte for byte, once;
compares it with what was signed, and the locations with each other; follows the log link by link; and decrypts it if an
identity is configured. It changes nothing, unless told to:

--repair puts back what a location lacks or has damaged, with bytes of another location that were verified in this run; of
a pack that is damaged everywhere, but not in the same MiB, with the good parts of each. A damaged object is moved out of
the way before, which takes the location's 'pruner' credentials where writers may not do that. A point is put back only where all that it needs is whole. Older points
that a location lacks, because it was pruned or came later, are no problem and stay where they are; --strict, together with
--all, wants every point everywhere.

--attest puts a signed record of the result, pass or fail, to every location: 'gwdr backup status' shows the newest.

Exit code 0: all is sound, or everything was healed (the report says what). 3: damage that another location heals, or that
was not healed. 8: something cannot be had from all locations together, or not be decrypted.`,
		Example: `  gwdr backup verify
  gwdr backup verify --all --attest
  gwdr backup verify --sample 10% --seed 42
  gwdr backup verify --all --strict --repair   # fills a new location
  gwdr backup verify --all --repair --json | jq .repairs`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			opts.seeded = cmd.Flags().Changed("seed")
			return runBackupVerify(cmd.Context(), a, opts)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&opts.all, "all", false, "read everything: every point, the whole log, attestations")
	flags.StringVar(&opts.sample, "sample", "", "read a random `part` of everything: a share (10%) or a number of objects (50)")
	flags.Uint64Var(&opts.seed, "seed", 0, "`number` that decides what is in the sample (default: random, and shown)")
	flags.BoolVar(&opts.strict, "strict", false, "with --all: every location should have every point, also old ones that prune may have removed")
	flags.BoolVar(&opts.repair, "repair", false, "put back what is missing or damaged, from another location")
	flags.BoolVar(&opts.attest, "attest", false, "put a signed record of the result to every location")
	return cmd
}

func runBackupVerify(ctx context.Context, a *app, opts verifyOptions) error {
	options, err := opts.parse()
	if err != nil {
		return usageError(err)
	}
	openAll := a.openCopies
	if opts.repair { // what is damaged has to be moved away, which a writer may not
		openAll = a.openPruners
	}
	copies, err := openAll(ctx)
	if err != nil {
		return err
	}
	a.noteLab()
	open := a.openReaderKeys
	if opts.attest {
		open = a.openKeys
	}
	keys, err := open(ctx)
	if a.Env("GWDR_KEYS_IDENTITY") != "" { // named for this run: whoever does so wants to know whether it opens the backups
		keys, err = decrypting(keys, err)
	}
	if err != nil {
		return err
	}
	options.Tool, options.Progress = "gwdr "+version(), a.verifyProgress(time.Now)
	v, err := backup.Verify(ctx, copies, keys, options)
	switch {
	case errors.Is(err, backup.ErrAttest):
		return withHint(usageError(err), "in the file of trusted signers, add %s to the namespaces=\"...\" of the key, and name the key with GWDR_KEYS_SIGNING",
			backup.AttestNamespace)
	case err != nil && (ctx.Err() != nil || !errors.Is(err, backup.ErrNoIdentity)):
		if v != nil && len(v.Repairs) > 0 {
			a.progress("interrupted; what was healed by then stays healed")
		}
		return err
	}
	if err := a.showVerification(v, keys, err != nil); err != nil {
		return err
	}
	if err != nil && len(v.Lost) == 0 { // what is lost is lost with any identity
		return keyError(err)
	}
	return verifyError(v, keys, opts.repair)
}

// parse reads the flags.
func (o verifyOptions) parse() (backup.VerifyOptions, error) {
	options := backup.VerifyOptions{All: o.all, Strict: o.strict, Repair: o.repair, Attest: o.attest}
	switch {
	case o.strict && !o.all:
		return options, errors.New("--strict looks at every point: it goes with --all")
	case o.sample == "" && o.seeded:
		return options, errors.New("--seed is for --sample")
	case o.sample == "":
		return options, nil
	case o.all:
		return options, errors.New("--sample is a part of --all: name one of them")
	}
	sample := backup.Sample{Seed: uint64(rand.Uint32())} // short enough to be typed, and for JSON
	if o.seeded {
		sample.Seed = o.seed
	}
	var err error
	if share, ok := strings.CutSuffix(o.sample, "%"); ok {
		sample.Percent, err = strconv.ParseFloat(share, 64)
	} else {
		sample.Count, err = strconv.Atoi(o.sample)
	}
	if err != nil || !(sample.Percent > 0 && sample.Percent <= 100 || sample.Count > 0) {
		return options, fmt.Errorf("--sample must be a share (10%%) or a number of objects (50), not %q", o.sample)
	}
	options.Sample = &sample
	return options, nil
}

// verifyProgress returns a sink that says, about once a second, how far a slow verification is.
func (a *app) verifyProgress(now func() time.Time) func(backup.Progress) {
	last := now()
	return func(p backup.Progress) {
		if now().Sub(last) < time.Second {
			return
		}
		last = now()
		doing := map[string]string{"read": "reading", "decrypt": "decrypting", "heal": "healing"}[p.Phase]
		if p.Done > p.Total {
			a.progress("%s: %s", doing, size(p.Done))
			return
		}
		a.progress("%s: %s of %s", doing, size(p.Done), size(p.Total))
	}
}

// verifyError decides the exit code of a verification, and what to do next.
func verifyError(v *backup.Verification, keys backup.Keys, repaired bool) error {
	switch {
	case v.Sound():
		return nil
	case v.Restorable():
		return mendable(v, repaired)
	case len(v.Lost) == 0 && len(v.Sealed) > 0:
		return withHint(exitWith(exitIntegrity, fmt.Errorf("what was read is intact, but the identity %s does not open %s", keys.IdentityFile,
			count(len(v.Sealed), "object"))), identityHint)
	case unreadable(v):
		return errors.New("no location could be read")
	case v.Known == 0 && len(v.Lost) == 0:
		return withHint(exitWith(exitIntegrity, errors.New("there is no point at any location")), "'gwdr backup' takes one")
	}
	return exitWith(exitIntegrity, errors.New("not everything can be restored"))
}

// mendable says how to mend what is wrong at some locations while others make up for it.
func mendable(v *backup.Verification, repaired bool) error {
	var problems []backup.Problem
	for _, l := range v.Locations {
		problems = append(problems, l.Problems...)
	}
	n := len(problems)
	for _, l := range v.Logs {
		n += len(l.Breaks)
	}
	err := exitWith(exitMissed, fmt.Errorf("everything that was read can be restored, but there %s", areProblems(n)))
	if hint := awayHint(problems); hint != "" {
		return withHint(err, "%s", hint)
	}
	if !repaired {
		return withHint(err, "the same with --repair puts back what another location has whole")
	}
	if slices.ContainsFunc(v.Repairs, func(r backup.Repair) bool { return errors.Is(r.Err, backup.ErrKeeps) }) {
		return withHint(err, "restores read it elsewhere. To have it whole here, move the damaged object away with the store's own means, and run this again")
	}
	return err
}

func areProblems(n int) string {
	if n == 1 {
		return "is 1 problem"
	}
	return "are " + count(n, "problem")
}

// awayHint is the next step if one of the problems is a location that cannot be used as it is: a directory that is not what
// gwdr init prepared, a store that refuses.
func awayHint(problems []backup.Problem) string {
	for _, h := range []struct {
		cause error
		hint  string
	}{
		{tree.ErrNotPrepared, "is the disk mounted? A copy that was made by hand needs 'touch DIR/.gwdr-location'"},
		{s3.ErrCredentials, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile of ~/.aws in the location's URL: ?profile=NAME"},
		{s3.ErrClock, "set this machine's clock; S3 takes a difference of 15 minutes"},
		{s3.ErrDenied, "a writer needs the rights to list, get and put objects, to set their retention, and to abort uploads"},
	} {
		if slices.ContainsFunc(problems, func(p backup.Problem) bool { return errors.Is(p.Err, h.cause) }) {
			return h.hint
		}
	}
	return ""
}

// catchUpHint is for a location that nothing but itself can bring back.
const catchUpHint = "once the location is well again, the next 'gwdr backup' brings it what it missed"

// unreadable reports whether no location could be read at all, which says nothing of what they hold.
func unreadable(v *backup.Verification) bool {
	for _, l := range v.Locations {
		if len(l.Problems) == 0 || l.Problems[0].Object != "" {
			return false
		}
	}
	return true
}
