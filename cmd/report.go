package cmd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"gwdr/backup"
	"gwdr/drills"
	"gwdr/internal/sshsig"
	"gwdr/report"
)

type reportOptions struct {
	Format string
	Output string
}

func newReportCommand(a *app) *cobra.Command {
	var opts reportOptions
	command := &cobra.Command{
		Use:   "report [RUN|DIR]",
		Short: "Show what a drill or a probe found",
		Long: `Renders the evidence of a run: as text, as JSON, or as one HTML page with charts that needs nothing else.
RUN is the number or the id of a run, or the beginning of its id ('gwdr drill list'), DIR its evidence directory; without
either it is the newest run. What 'gwdr probe' recorded is named by its directory, or by that directory's name.

What the evidence says is not checked here: see 'gwdr report verify'.`,
		Example: `  gwdr report                               # the newest run, as text
  gwdr report --format html -o report.html  # as a page
  gwdr report verify                        # compute it again`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if a.JSON && cmd.Flags().Changed("format") && opts.Format != "json" {
				return usageError(fmt.Errorf("--json and --format %s contradict each other", opts.Format))
			}
			return runReport(a, first(args), opts)
		},
	}
	command.Flags().StringVarP(&opts.Format, "format", "f", "text", "`format`: text, html or json")
	command.Flags().StringVarP(&opts.Output, "output", "o", "", "write to `file` instead of stdout")
	command.ValidArgsFunction = a.completeEvidence
	completeFlag(command, "format", cobra.FixedCompletions([]string{"text", "html", "json"}, cobra.ShellCompDirectiveNoFileComp))
	command.AddCommand(newReportVerifyCommand(a), newReportTraceCommand(a))
	return command
}

func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

func runReport(a *app, run string, opts reportOptions) error {
	if a.JSON {
		opts.Format = "json"
	}
	render := map[string]func(io.Writer, *report.Bundle) error{
		"text": func(w io.Writer, b *report.Bundle) error { return report.Text(w, b.Result) },
		"json": func(w io.Writer, b *report.Bundle) error { return report.JSON(w, b.Result) },
		"html": report.HTML,
	}[opts.Format]
	if render == nil {
		return usageError(fmt.Errorf("format %q is none of text, html, json", opts.Format))
	}
	dir, err := a.findRun(run)
	if err != nil {
		return err
	}
	if drills.IsWatch(dir) {
		return a.reportWatch(dir, opts)
	}
	bundle, err := report.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return a.noReport(dir, err)
	} else if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := render(&out, bundle); err != nil {
		return err
	}
	return a.writeReport(opts.Output, out.Bytes())
}

// writeReport writes it to the file or, if none is named, to stdout.
func (a *app) writeReport(file string, content []byte) error {
	if file == "" {
		_, err := a.Stdout.Write(content)
		return err
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	a.progress("wrote %s", file)
	return nil
}

// reportWatch renders what 'gwdr probe' recorded, which is judged again for that: a killed one has no report of its own.
func (a *app) reportWatch(dir string, opts reportOptions) error {
	render := map[string]func(io.Writer, *drills.WatchResult) error{"text": report.WatchText, "json": report.WatchJSON}[opts.Format]
	if render == nil {
		return usageError(fmt.Errorf("what 'gwdr probe' recorded has no %s; text and json there are", opts.Format))
	}
	facts, err := drills.ReadWatch(dir)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := render(&out, drills.JudgeWatch(facts)); err != nil {
		return err
	}
	return a.writeReport(opts.Output, out.Bytes())
}

func newReportVerifyCommand(a *app) *cobra.Command {
	var trusted string
	command := &cobra.Command{
		Use:               "verify [RUN|DIR]",
		ValidArgsFunction: a.completeEvidence,
		Short:             "Compute a report again, and check that nothing was changed",
		Long: `Hashes every file again, checks the signature, walks the journal's chain and the numbers of all runs, and judges the
raw samples and the change ledger once more. Any difference ends with exit code 8.`,
		Example: `  gwdr report verify                     # the newest run
  gwdr report verify evidence/20261121T024601Z-region-loss-a1b2 \
    --trusted allowed_signers --json`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runReportVerify(cmd.Context(), a, first(args), trusted)
		},
	}
	command.Flags().StringVar(&trusted, "trusted", "", "allowed_signers `file` with the keys that may sign (default: as configured)")
	return command
}

func runReportVerify(ctx context.Context, a *app, run, trustedFile string) error {
	dir, err := a.findRun(run)
	if err != nil {
		return err
	}
	trusted, err := a.trustedSigners(ctx, trustedFile)
	if err != nil {
		return err
	}
	v, err := report.Verify(dir, trusted)
	if err != nil && !errors.Is(err, report.ErrIntegrity) {
		return err
	}
	show := func() error { return report.VerificationText(a.Stdout, v) }
	if a.JSON {
		show = func() error { return a.writeJSON(v) }
	}
	if err := show(); err != nil {
		return err
	}
	if v.Verified {
		return nil
	}
	if file := a.labSigned(dir); v.SignedBy == "" && trustedFile == "" && file != "" {
		return withHint(exitWith(exitIntegrity, errors.New("the configuration does not trust the key that signed the run")),
			"signed by this machine's lab key: --trusted %s", shellWord(file))
	}
	if v.SignedBy == "" && trustedFile == "" {
		return withHint(exitWith(exitIntegrity, errors.New("nobody who is trusted here signed it")),
			"--trusted FILE names an allowed_signers file with the keys that may sign, if they are others")
	}
	return exitWith(exitIntegrity, nil) // the checks say why
}

// labSigned returns the allowed_signers file of the lab on this machine if that trusts who signed the run, or else "":
// drills from before 'gwdr init' are signed so.
func (a *app) labSigned(dir string) string {
	files, err := backup.FindKeys(a.labKeysDir())
	if err != nil {
		return ""
	}
	trusted, err := readTrusted(files.Trusted)
	if err != nil {
		return ""
	}
	if _, err := report.SignedBy(dir, trusted); err != nil {
		return ""
	}
	return files.Trusted
}

// trustedSigners reads the keys that may sign from the file or, if none is named, as configured.
func (a *app) trustedSigners(ctx context.Context, file string) (sshsig.Trusted, error) {
	if file != "" {
		return readTrusted(file)
	}
	if _, err := os.Stat(a.labKeysDir()); !a.keysNamed() && a.labLocations() && errors.Is(err, fs.ErrNotExist) {
		return sshsig.Trusted{}, nil // nobody is trusted here yet, and who only reads makes no keys
	}
	keys, err := a.openReaderKeys(ctx)
	return keys.Trusted, err
}

func readTrusted(file string) (sshsig.Trusted, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return sshsig.Trusted{}, fmt.Errorf("read trusted keys: %w", err)
	}
	return sshsig.ParseTrusted(content)
}
