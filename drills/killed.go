package drills

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"gwdr/internal/journal"
)

// Death is what is known of a run that was killed: its record has no end.
type Death struct {
	Run      Run
	After    time.Time // of the last thing that it recorded
	Phase    Phase     // that it was in
	Reverted []string  // ids of the faults that others reverted
	By       string    // who did: guard, revert
}

// Autopsy reads how far a run came that has no end, and who cleaned up after it.
func Autopsy(dir string) (*Death, error) {
	d := &Death{}
	var err error
	if d.Run, err = openRun(dir); err != nil {
		return nil, err
	}
	entries, err := readJournal(filepath.Join(dir, JournalFile))
	if err != nil {
		return nil, fmt.Errorf("read journal of %s: %w", d.Run.ID, err)
	}
	for _, e := range entries {
		d.After = e.At
		if e.Type == entryPhase {
			err = errors.Join(err, take(e, func(p phaseFact) { d.Phase = p.Phase }))
		}
	}
	if err != nil {
		return nil, err
	}
	aftermath, err := readJournal(filepath.Join(dir, RevertFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read revert of %s: %w", d.Run.ID, err)
	}
	return d, d.addAftermath(aftermath)
}

func (d *Death) addAftermath(entries []journal.Entry) (err error) {
	for _, e := range entries {
		if e.Type == entryReverted {
			err = errors.Join(err, take(e, func(f faultFact) {
				if f.Error == "" {
					d.Reverted, d.By = append(d.Reverted, f.ID), f.By
				}
			}))
		}
	}
	return err
}

// String tells for people how the run ended, and what became of its faults.
func (d *Death) String() string {
	text := fmt.Sprintf("run %d was killed after %s UTC while in %s", d.Run.No, d.After.UTC().Format(time.DateTime), d.Phase)
	switch {
	case !d.Run.Clean:
		return text + "; a fault of it may still be in effect"
	case len(d.Reverted) == 0:
		return text + ", with no fault in effect"
	}
	who := "'gwdr drill revert'"
	if d.By == "guard" {
		who = "its guard"
	}
	return text + "; " + who + " reverted " + strings.Join(d.Reverted, ", ")
}
