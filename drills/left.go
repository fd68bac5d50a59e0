package drills

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Unreported reports whether the newest run in an evidence directory has no report of its end: it was killed before it
// could write the whole of one, or it was reverted after it had. Of older runs it is too late: the run after them has named what was
// there.
func Unreported(evidence string) (run Run, left bool, err error) {
	runs, err := Runs(evidence)
	if err != nil || len(runs) == 0 {
		return Run{}, false, err
	}
	run = runs[len(runs)-1]
	reported, err := os.Stat(filepath.Join(run.Dir, ManifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return run, run.No > 0, nil
	} else if err != nil {
		return run, false, fmt.Errorf("look for report: %w", err)
	}
	reverted, err := os.Stat(filepath.Join(run.Dir, RevertFile))
	if errors.Is(err, fs.ErrNotExist) {
		return run, false, nil
	} else if err != nil {
		return run, false, fmt.Errorf("look for report: %w", err)
	}
	return run, reverted.ModTime().After(reported.ModTime()), nil
}

// reportLeft writes the report that Unreported misses, for the holder of the lock.
func reportLeft(evidence string, report func(dir string, r *Result) error) error {
	if report == nil {
		return nil
	}
	run, left, err := Unreported(evidence)
	if err != nil || !left {
		return err
	}
	facts, scenario, err := ReadFacts(run.Dir)
	if err = errors.Join(err, freeReserve(run.Dir)); err != nil { // nobody else has, if there was nothing to revert
		return err
	}
	return report(run.Dir, Judge(scenario, facts))
}
