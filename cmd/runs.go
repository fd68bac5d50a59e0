package cmd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gwdr/drills"
)

// findRun returns the evidence directory of a run, by what a person may call it: the number that 'gwdr drill list' shows,
// its id, the beginning of an id that no other run shares, or the directory itself. "" is the newest run.
func (a *app) findRun(name string) (string, error) {
	if strings.ContainsRune(name, os.PathSeparator) || name == "." || name == ".." {
		return filepath.Abs(name)
	}
	runs, err := drills.Runs(a.Config.Evidence)
	if err != nil {
		return "", err
	}
	if name == "" {
		if len(runs) == 0 {
			return "", a.noRun()
		}
		return runs[len(runs)-1].Dir, nil
	}
	if dir := filepath.Join(a.Config.Evidence, name); isRun(dir) { // a copy may have any name
		return dir, nil
	}
	found := matching(runs, name)
	switch {
	case len(found) == 1:
		return found[0].Dir, nil
	case len(found) > 1:
		return "", fmt.Errorf("%s may be any of %d runs, from %s to %s", name, len(found), found[0].ID, found[len(found)-1].ID)
	case isRun(name):
		return filepath.Abs(name)
	}
	if dir, err := a.findWatch(name); dir != "" || err != nil {
		return dir, err
	}
	return "", withHint(fmt.Errorf("no run %s in %s", name, a.Config.Evidence),
		"'gwdr drill list' shows the numbers and ids of all runs; you may also name a run's directory")
}

// findWatch returns the directory of what 'gwdr probe' recorded under a name that begins so, or "".
func (a *app) findWatch(prefix string) (string, error) {
	all, err := drills.Watches(a.Config.Evidence)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	found := slices.DeleteFunc(all, func(name string) bool { return !strings.HasPrefix(name, prefix) })
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return filepath.Join(a.Config.Evidence, found[0]), nil
	}
	return "", fmt.Errorf("%s may be any of %d records of 'gwdr probe', from %s to %s", prefix, len(found), found[0], found[len(found)-1])
}

// noRun says that there is no run of a drill, and what there is.
func (a *app) noRun() error {
	err := fmt.Errorf("no run in %s", a.Config.Evidence)
	if probes, _ := drills.Watches(a.Config.Evidence); len(probes) > 0 {
		return withHint(err, "'gwdr report %s' shows what 'gwdr probe' recorded last", probes[len(probes)-1])
	}
	return withHint(err, "make one with 'gwdr drill run region-loss'")
}

// matching returns the runs with that number or, if there is none, those whose ids begin so.
func matching(runs []drills.Run, name string) []drills.Run {
	number, err := strconv.Atoi(name)
	var numbered, begun []drills.Run
	for _, r := range runs {
		if err == nil && number > 0 && r.No == number {
			numbered = append(numbered, r)
		}
		if strings.HasPrefix(r.ID, name) {
			begun = append(begun, r)
		}
	}
	if len(numbered) > 0 {
		return numbered
	}
	return begun
}

func isRun(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, drills.JournalFile))
	return err == nil
}

// noReport says why the run in dir has no report, and how it gets one.
func (a *app) noReport(dir string, err error) error {
	if !isRun(dir) {
		return withHint(fmt.Errorf("%s is not the evidence of a run: %w", dir, err), "'gwdr drill list' shows all runs")
	}
	death, unknown := drills.Autopsy(dir)
	if unknown != nil {
		return errors.Join(err, unknown)
	}
	who, unknown := drills.AtWork(filepath.Dir(dir))
	last, left, unread := drills.Unreported(filepath.Dir(dir))
	switch unknown = errors.Join(unknown, unread); {
	case unknown != nil:
		return errors.Join(err, unknown)
	case who != "" && last.ID == death.Run.ID:
		return withHint(fmt.Errorf("run %d has no report yet: %s is at work", death.Run.No, who), "wait for it, or interrupt it")
	case death.Run.Ended:
		err = fmt.Errorf("run %d has no report: %w", death.Run.No, err)
	default:
		err = errors.New(death.String())
	}
	if left && last.ID == death.Run.ID {
		return withHint(err, "'gwdr drill revert %s' writes its report", a.nameOf(dir))
	}
	return withHint(err, "it is too late for its report, other runs have begun since; 'gwdr drill show %s' judges its record", a.nameOf(dir))
}

// nameOf is what the person may call the run in dir.
func (a *app) nameOf(dir string) string {
	if filepath.Dir(dir) == a.Config.Evidence {
		return filepath.Base(dir)
	}
	return dir
}
