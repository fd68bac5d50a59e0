package drills

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"gwdr/fleet"
	"gwdr/internal/journal"
	"gwdr/probes"
	"gwdr/probes/calibration"
	"gwdr/scenarios"
)

// ErrEvidence is wrapped by errors that say a run's evidence is not what the drill wrote.
var ErrEvidence = errors.New("evidence does not hold")

// ReadFacts reads the evidence of a run back, and verifies its journal's chain and its plan's hash. A record that was cut
// short by the drill's death is read as far as it goes. The error wraps ErrEvidence if something was changed.
func ReadFacts(dir string) (Facts, *scenarios.Scenario, error) {
	f := &Facts{ID: filepath.Base(dir)}
	scenario, err := f.read(dir)
	if err != nil {
		return *f, nil, fmt.Errorf("read evidence of %s: %w", filepath.Base(dir), err)
	}
	return *f, scenario, nil
}

// ReadJournal reads of a run only what its journal says, however long it probed: the facts without attempts, changes,
// read-backs and calibration. The error wraps ErrEvidence if something was changed.
func ReadJournal(dir string) (Facts, error) {
	f := &Facts{ID: filepath.Base(dir)}
	if err := f.readJournals(dir); err != nil {
		return *f, fmt.Errorf("read journal of %s: %w", filepath.Base(dir), err)
	}
	return *f, nil
}

func (f *Facts) readJournals(dir string) error {
	entries, err := readJournal(filepath.Join(dir, JournalFile))
	if errors.Is(err, journal.ErrTampered) {
		return fmt.Errorf("%w: %w", ErrEvidence, err)
	} else if err != nil {
		return err
	}
	for _, e := range entries {
		if err := f.add(e); err != nil {
			return fmt.Errorf("%w: journal entry %d: %w", ErrEvidence, e.Seq, err)
		}
		f.Length = seconds(e.OffsetS)
	}
	if f.Complete {
		return nil
	}
	return f.addAftermath(filepath.Join(dir, RevertFile))
}

func (f *Facts) read(dir string) (*scenarios.Scenario, error) {
	if err := f.readJournals(dir); err != nil {
		return nil, err
	}
	if err := f.readRecords(dir); err != nil {
		return nil, err
	}
	if err := f.readCalibration(filepath.Join(dir, CalibrationFile)); err != nil {
		return nil, err
	}
	return f.readPlan(filepath.Join(dir, PlanFile))
}

// addAftermath takes what a guard or a revert wrote after the drill was killed: what was reverted, and what was left.
func (f *Facts) addAftermath(path string) error {
	entries, err := readJournal(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	for _, e := range entries {
		if e.Type == entryReverted || e.Type == entryLeftovers {
			if err := f.add(e); err != nil {
				return fmt.Errorf("%w: entry %d of the revert: %w", ErrEvidence, e.Seq, err)
			}
		}
	}
	return nil
}

func (f *Facts) readRecords(dir string) (err error) {
	if f.Samples, err = readRecord(f.Complete, filepath.Join(dir, SamplesFile), probes.ReadSamples); err != nil {
		return err
	}
	if f.Ledger, err = readRecord(f.Complete, filepath.Join(dir, LedgerFile), probes.ReadEntries); err != nil {
		return err
	}
	if f.Survivors, err = readRecord(f.Complete, filepath.Join(dir, ReadbackFile), probes.ReadObservations); err != nil {
		return err
	}
	f.Final, err = readRecord(f.Complete, filepath.Join(dir, FinalFile), probes.ReadObservations)
	return err
}

// readRecord reads a file of lines. One that is not there is empty; a torn end is allowed where the drill was killed.
func readRecord[T any](complete bool, path string, read func(io.Reader) ([]T, error)) ([]T, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer file.Close()
	all, err := read(file)
	if err != nil && (complete || !errors.Is(err, probes.ErrTorn)) {
		return nil, fmt.Errorf("%w: %s: %w", ErrEvidence, filepath.Base(path), err)
	}
	return all, nil
}

// readCalibration reads the calibration that was journalled at the start, if one was.
func (f *Facts) readCalibration(path string) error {
	if f.calibrated == "" {
		return nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	if hash := hashOf(data); hash != f.calibrated {
		return fmt.Errorf("%w: %s has hash %s, the journal says %s", ErrEvidence, CalibrationFile, hash, f.calibrated)
	}
	d, err := calibration.Parse(data)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrEvidence, CalibrationFile, err)
	}
	f.Calibration = &d
	return nil
}

func (f *Facts) readPlan(path string) (*scenarios.Scenario, error) {
	plan, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if hash := scenarios.Hash(plan); f.PlanSHA256 != "" && hash != f.PlanSHA256 {
		return nil, fmt.Errorf("%w: %s has hash %s, the journal says %s", ErrEvidence, PlanFile, hash, f.PlanSHA256)
	}
	s, err := scenarios.Parse(PlanFile, plan)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	return s, nil
}

// add takes one entry of the journal.
func (f *Facts) add(e journal.Entry) error {
	f.Ended = e.At
	switch e.Type {
	case entryStart:
		return take(e, f.start)
	case entryPlan:
		return take(e, func(p planFact) { f.PlanSHA256 = p.SHA256 })
	case entryPhase:
		return take(e, func(p phaseFact) { f.phase(e, p) })
	case entrySeries:
		return errors.Join(json.Unmarshal(e.Data, &f.Series), f.checkSeries())
	case entryBaseline:
		return json.Unmarshal(e.Data, &f.Baseline)
	case entryIntent, entryInjected, entryVerified, entryReverted:
		return take(e, func(fact faultFact) { f.fault(e, fact) })
	case entryBackup:
		return gather(e, &f.Backups)
	case entryDetected:
		return gather(e, &f.Detected)
	case entryStep:
		return take(e, func(s StepFact) { s.At = seconds(e.OffsetS); f.Steps = append(f.Steps, s) })
	case entryOutlook:
		return errors.Join(json.Unmarshal(e.Data, &f.Outlook), f.Outlook.check())
	case entryHealth:
		return gather(e, &f.Health)
	case entryAbort:
		return gather(e, &f.Aborts)
	case entryDigest:
		return gather(e, &f.Digests)
	case entryUnread:
		return gather(e, &f.Unread)
	case entrySettled:
		return take(e, f.settle)
	case entryLeftovers:
		return take(e, func(l leftoversFact) { f.Leftovers, f.Scanned = l.IDs, l.Error == "" })
	case entryClock:
		return take(e, func(c clockFact) { f.Drift = time.Duration(c.Drift * float64(time.Second)) })
	case entryEnd:
		f.Complete = true
	}
	return nil
}

// checkSeries refuses series that nobody can have probed.
func (f *Facts) checkSeries() error {
	for _, s := range f.Series {
		if s.Interval <= 0 {
			return fmt.Errorf("series %q has no interval", s.Name)
		}
	}
	return nil
}

func take[T any](e journal.Entry, use func(T)) error {
	var data T
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return err
	}
	use(data)
	return nil
}

func gather[T any](e journal.Entry, all *[]T) error {
	return take(e, func(v T) { *all = append(*all, v) })
}

func (f *Facts) start(s startFact) {
	f.ID = cmp.Or(s.ID, f.ID) // a copy of the evidence may be in a folder of any name
	f.RunNo, f.Tool, f.Fleet, f.Evidence, f.Previous, f.Started = s.RunNo, s.Tool, s.Fleet, s.Evidence, s.Previous, s.T0
	f.calibrated, f.Definitions = s.Calibration, s.Definitions
}

// settle takes what became of the steady state. The regions converge after the revert: a later failback is no heal.
func (f *Facts) settle(s SettledFact) {
	if f.Settled != nil {
		s.Agreed = f.Settled.Agreed
	}
	f.Settled = &s
}

// phase adds a transition; a second entry for the phase that the drill is in adds only detail.
func (f *Facts) phase(e journal.Entry, p phaseFact) {
	if n := len(f.Phases); n > 0 && f.Phases[n-1].Phase == p.Phase {
		return
	}
	f.Phases = append(f.Phases, TimelineEntry{Phase: p.Phase, At: e.At, OffsetS: e.OffsetS})
}

func (f *Facts) fault(e journal.Entry, fact faultFact) {
	var at *FaultFacts
	for i := range f.Faults {
		if f.Faults[i].ID == fact.ID {
			at = &f.Faults[i]
		}
	}
	if at == nil {
		f.Faults = append(f.Faults, FaultFacts{ID: fact.ID, Kind: fleet.FaultKind(fact.Kind), Targets: fact.Targets})
		at = &f.Faults[len(f.Faults)-1]
	}
	switch e.Type {
	case entryInjected:
		at.Injected, at.InjectedAt, at.Returned, at.Error = fact.At, e.At, seconds(e.OffsetS), fact.Error
	case entryVerified:
		at.Verified, at.VerifiedOffset, at.Detail = true, fact.At, fact.Detail
	case entryReverted:
		if fact.Error == "" {
			at.Reverted, at.RevertedOffset, at.RevertedAt = true, fact.At, e.At
		}
		if fact.Began > 0 { // also of one that did not end: it may have ended in part
			at.Released = fact.Began
		}
	}
}
