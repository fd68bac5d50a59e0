package drills

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"gwdr/fleet"
	"gwdr/internal/journal"
)

// Orphan is a run that did not end clean and that nobody works on: faults may still be in effect.
type Orphan struct {
	Run
	Pending []fleet.Undo // faults without a proof that they were reverted
	Damage  error        // of the undo log: there may be faults that nobody knows
}

// String says for people what is left of the run.
func (o Orphan) String() string {
	if o.Damage != nil {
		return fmt.Sprintf("%s did not end clean: %v", o.ID, o.Damage)
	}
	if len(o.Pending) == 0 {
		return o.ID + " has no clean end; no fault of it is known to be in effect"
	}
	return fmt.Sprintf("%s did not end clean: faults may still be in effect: %s", o.ID, strings.Join(faultIDs(o.Pending), ", "))
}

// Orphans lists the orphaned runs. While a drill, its guard or a revert is at work there are none to be told.
func Orphans(evidence string) ([]Orphan, error) {
	if _, err := os.Stat(evidence); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	l, err := openLock(evidence, unix.LOCK_SH)
	if errors.Is(err, ErrLocked) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer l.release()
	return orphans(evidence)
}

// AtWork says who is at work in an evidence directory: a drill, its guard or a revert. It is empty if nobody is.
func AtWork(evidence string) (string, error) {
	if _, err := os.Stat(evidence); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	l, err := openLock(evidence, unix.LOCK_SH)
	if locked, ok := errors.AsType[*lockedError](err); ok {
		return locked.holder, nil
	} else if err != nil {
		return "", err
	}
	return "", l.release()
}

// orphans does the work of Orphans for the holder of the lock.
func orphans(evidence string) ([]Orphan, error) {
	runs, err := Runs(evidence)
	if err != nil {
		return nil, err
	}
	var found []Orphan
	for _, run := range runs {
		if run.Clean {
			continue
		}
		undos, damage := readUndos(run.Dir)
		if known := (*DamageError)(nil); damage != nil && !errors.As(damage, &known) {
			return nil, damage
		}
		left, err := pending(run.Dir, undos)
		if err != nil {
			return nil, err
		}
		found = append(found, Orphan{Run: run, Pending: left, Damage: damage})
	}
	return found, nil
}

// pending returns the undo records without an entry, of the drill or of who came after it, that says they were reverted.
func pending(dir string, undos []fleet.Undo) ([]fleet.Undo, error) {
	reverted := map[string]bool{}
	for _, file := range []string{JournalFile, RevertFile} {
		entries, err := readJournal(filepath.Join(dir, file))
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, journal.ErrTampered) {
			return nil, err
		}
		for _, e := range entries { // of a damaged journal, those before the damage
			var f faultFact
			if e.Type == entryReverted && json.Unmarshal(e.Data, &f) == nil && f.Error == "" {
				reverted[f.ID] = true
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(undos), func(u fleet.Undo) bool { return reverted[u.Fault.ID] }), nil
}

// readJournal reads a journal whose last line may be torn.
func readJournal(path string) ([]journal.Entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := journal.Read(f)
	if torn := (*journal.TornError)(nil); errors.As(err, &torn) {
		err = nil
	}
	return entries, err
}

func faultIDs(undos []fleet.Undo) []string {
	ids := make([]string, len(undos))
	for i, u := range undos {
		ids[i] = u.Fault.ID
	}
	return ids
}
