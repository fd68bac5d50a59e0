package cmd

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"gwdr/backup"
	"gwdr/backup/s3"
	"gwdr/backup/tree"
)

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
	keys, err := a.openReaderKeys(ctx)
	if err != nil {
		return err
	}
	v, err := backup.Verify(ctx, copies, keys, options)
	if err != nil && (ctx.Err() != nil || !errors.Is(err, backup.ErrNoIdentity)) {
		return err
	}
	if err := a.showVerification(v, keys); err != nil {
		return err
	}
	if err != nil && len(v.Lost) == 0 { // what is lost is lost with any identity
		return keyError(err)
	}
	return verifyError(v, keys)
}

// verifyError decides the exit code of a verification, and what to do next.
func verifyError(v *backup.Verification, keys backup.Keys) error {
	switch {
	case v.Sound():
		return nil
	case v.Restorable():
		return mendable(v)
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

// mendable says how to mend what is wrong at some locations while others make up for it.
func mendable(v *backup.Verification) error {
	var problems []backup.Problem
	for _, l := range v.Locations {
		problems = append(problems, l.Problems...)
	}
	err := exitWith(exitMissed, fmt.Errorf("every point that was read can be restored, but there %s", areProblems(len(problems))))
	if hint := awayHint(problems); hint != "" {
		return withHint(err, "%s", hint)
	}
	return withHint(err, "copy the file of each such object by hand from a location that has it whole, over the damaged one: gwdr never overwrites")
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

// unreadable reports whether no location could be read at all, which says nothing of what they hold.
func unreadable(v *backup.Verification) bool {
	for _, l := range v.Locations {
		if len(l.Problems) == 0 || l.Problems[0].Object != "" {
			return false
		}
	}
	return true
}
