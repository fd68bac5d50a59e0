package cmd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"gwdr/backup"
)

// Exit codes: one table for all commands.
const (
	exitDone         = 0
	exitError        = 1
	exitUsage        = 2
	exitMissed       = 3
	exitInconclusive = 4
	exitAborted      = 5
	exitDirty        = 6
	exitRefused      = 7
	exitIntegrity    = 8
	exitSplitBrain   = 9
	exitInterrupted  = 130
)

const exitCodesHelp = `
Exit codes:
    0  done, passed
    1  error
    2  usage or configuration
    3  objective or policy missed: a drill failed, a location failed, 3-2-1 not
       met, drift
    4  inconclusive
    5  aborted and reverted
    6  dirty: a fault may still be in effect (wins over all others)
    7  refused: preflight, lock, approval
    8  integrity: bad signature or digest, cannot decrypt, nothing restorable
    9  split brain: another writer
  130  interrupted, clean
`

// codedError is an error that decides the exit code. A nil cause says nothing more than the result did.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *codedError) Unwrap() error { return e.err }

// exitWith returns an error that ends gwdr with code. err may be nil where the result already says why.
func exitWith(code int, err error) error { return &codedError{code: code, err: err} }

func usageError(err error) error { return exitWith(exitUsage, err) }

// besideResult returns the end of a command, with what went wrong after it: that is told even where the result alone said why
// the command ends as it does.
func besideResult(end, later error) error {
	if coded := (*codedError)(nil); later != nil && errors.As(end, &coded) && coded.err == nil {
		return exitWith(coded.code, later)
	}
	return errors.Join(end, later)
}

// hintedError carries the next step for the person who reads the error.
type hintedError struct {
	err  error
	hint string
}

func (e *hintedError) Error() string { return e.err.Error() }
func (e *hintedError) Unwrap() error { return e.err }

// withHint adds the next step to err.
func withHint(err error, format string, args ...any) error {
	return &hintedError{err: err, hint: fmt.Sprintf(format, args...)}
}

// fail prints the error with its hint and returns the exit code.
func (a *app) fail(ctx context.Context, err error) int {
	if err == nil {
		return exitDone
	}
	code := exitCode(ctx, err)
	if coded := (*codedError)(nil); errors.As(err, &coded) && coded.err == nil {
		return code
	}
	text := err.Error()
	if code == exitInterrupted && !strings.Contains(text, "interrupted") { // what it was at is no fault of that
		text = "interrupted"
	}
	fmt.Fprintf(a.Stderr, "gwdr: %s\n", printableLines(text))
	if hinted := (*hintedError)(nil); errors.As(err, &hinted) {
		fmt.Fprintf(a.Stderr, "hint: %s\n", hinted.hint)
	}
	return code
}

// exitCode maps an error to its code: the one that a command chose, or that of a known cause.
func exitCode(ctx context.Context, err error) int {
	coded := (*codedError)(nil)
	switch {
	case errors.As(err, &coded):
		return coded.code
	case errors.Is(err, backup.ErrIntegrity):
		return exitIntegrity
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return exitInterrupted
	}
	return exitError
}
