package drills

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"gwdr/internal/journal"
	"gwdr/probes"
	"gwdr/scenarios"
)

// record writes a run's evidence while it happens. It is safe for concurrent use.
type record struct {
	run     Run
	t0      time.Time
	lock    *lock
	journal *journal.Journal
	undo    *undoLog
	samples *probes.Recorder
	ledger  *probes.Recorder

	mu  sync.Mutex
	err error // the first failure: the evidence has a hole
}

// createRecord takes the evidence directory, refuses if something there forbids a drill, and begins a new run.
func createRecord(r *Runner, t0 time.Time) (_ *record, err error) {
	if err := os.MkdirAll(r.Evidence, 0o700); err != nil {
		return nil, fmt.Errorf("make evidence directory: %w", err)
	}
	l, err := takeLock(r.Evidence, drillHolder(r.Scenario.Metadata.Name))
	if errors.Is(err, ErrLocked) {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	} else if err != nil {
		return nil, err
	}
	rec := &record{t0: t0, lock: l}
	defer func() {
		if err != nil {
			rec.close()
		}
	}()
	if err := admit(r.Evidence); err != nil {
		return nil, err
	}
	if err := reportLeft(r.Evidence, r.Report); err != nil {
		r.Log.Warn("no report of the run before", "err", err)
	}
	run, previous, err := nextRun(r.Evidence, r.Scenario.Metadata.Name, t0)
	if err != nil {
		return nil, err
	}
	rec.run = run
	if err := rec.create(r.Scenario); err != nil {
		return nil, err
	}
	calibrated, err := rec.keepCalibration(r.Calibration)
	if err != nil {
		return nil, err
	}
	return rec, rec.note(entryStart, startFact{Schema: Schema, ID: run.ID, RunNo: run.No, Scenario: run.Scenario,
		Fleet: r.Scenario.Fleet, Tool: r.Tool, Evidence: run.Dir, Previous: previous, Calibration: calibrated, Definitions: definitions,
		T0: t0.UTC(), PID: os.Getpid()})
}

// Admit refuses a drill that would not begin in the evidence directory now, as somebody is at work there, or something forbids it: so
// that nobody is asked in vain. The error wraps ErrRefused.
func Admit(evidence string) error {
	if _, err := os.Stat(evidence); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	l, err := openLock(evidence, unix.LOCK_SH)
	if errors.Is(err, ErrLocked) {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	} else if err != nil {
		return err
	}
	defer l.release()
	return admit(evidence)
}

// admit refuses a drill while a STOP file or an orphan is there.
func admit(evidence string) error {
	if stopped(evidence) {
		return fmt.Errorf("%w: %w", ErrRefused, &StopError{filepath.Join(evidence, stopFile)})
	}
	left, err := orphans(evidence)
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("%w: %w", ErrRefused, &OrphanError{left[0]})
	}
	return nil
}

// OrphanError says that a run must be cleaned up first.
type OrphanError struct{ Orphan Orphan }

// Error names the run and its faults.
func (e *OrphanError) Error() string { return e.Orphan.String() }

func (rec *record) create(s *scenarios.Scenario) (err error) {
	path := func(name string) string { return filepath.Join(rec.run.Dir, name) }
	if err := takeReserve(rec.run.Dir); err != nil {
		return err
	}
	if _, err := rec.writePlan(&scenarios.Plan{Scenario: s}); err != nil { // its targets follow once they are resolved
		return err
	}
	if rec.journal, err = journal.Create(path(JournalFile)); err != nil {
		return err
	}
	if rec.samples, err = probes.CreateRecorder(path(SamplesFile)); err != nil {
		return err
	}
	if rec.ledger, err = probes.CreateRecorder(path(LedgerFile)); err != nil {
		return err
	}
	return nil
}

// writePlan keeps the plan as evidence, and returns its hash.
func (rec *record) writePlan(p *scenarios.Plan) (string, error) {
	plan, err := p.YAML()
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(rec.run.Dir, PlanFile), plan, 0o600); err != nil {
		return "", fmt.Errorf("write plan: %w", err)
	}
	return scenarios.Hash(plan), nil
}

// keepCalibration keeps the document as evidence, if there is one, and returns its hash.
func (rec *record) keepCalibration(document []byte) (string, error) {
	if document == nil {
		return "", nil
	}
	path := filepath.Join(rec.run.Dir, CalibrationFile)
	if err := os.WriteFile(path, document, 0o600); err != nil {
		return "", fmt.Errorf("keep calibration: %w", err)
	}
	return hashFile(path)
}

// offset is the drill's monotonic clock.
func (rec *record) offset() time.Duration { return time.Since(rec.t0) }

// note appends an entry to the journal; it is on disk when note returns. One that a full disk did not take is written into the
// reserve, and the error says all the same that the disk is full.
func (rec *record) note(kind string, data any) error {
	err := rec.journal.Append(kind, rec.offset(), data)
	if rec.keep(err) != nil {
		_ = rec.journal.Append(kind, rec.offset(), data)
	}
	return err
}

func (rec *record) sample(s probes.Sample) { rec.keep(rec.samples.Append(s)) }

// keep remembers the first failure to write evidence, and makes room for what follows.
func (rec *record) keep(err error) error {
	if err == nil {
		return nil
	}
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.err == nil {
		rec.err = errors.Join(err, freeReserve(rec.run.Dir))
	}
	return err
}

// failed returns the first failure to write evidence.
func (rec *record) failed() error {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	return rec.err
}

// observations writes a read-back to a file of its own.
func (rec *record) observations(file string, all []probes.Observation) error {
	w, err := probes.CreateRecorder(filepath.Join(rec.run.Dir, file))
	if err != nil {
		return rec.keep(err)
	}
	for _, o := range all {
		err = errors.Join(err, w.Append(o))
	}
	return rec.keep(errors.Join(err, w.Close()))
}

// closeMeasurements ends samples and ledger. What is still to be written is not much.
func (rec *record) closeMeasurements() {
	rec.keep(errors.Join(rec.samples.Close(), rec.ledger.Close(), freeReserve(rec.run.Dir)))
}

// close lets go of everything; the lock last.
func (rec *record) close() error {
	var errs []error
	if rec.run.Dir != "" {
		errs = append(errs, freeReserve(rec.run.Dir))
	}
	if rec.journal != nil {
		errs = append(errs, rec.journal.Close())
	}
	if rec.undo != nil {
		errs = append(errs, rec.undo.close())
	}
	return errors.Join(append(errs, rec.lock.release())...)
}
