package drills

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"gwdr/internal/journal"
)

// The files of a run's evidence directory that the drill writes; the report adds its own.
const (
	JournalFile  = "journal.jsonl"
	SamplesFile  = "samples.jsonl.zst"
	LedgerFile   = "ledger.jsonl.zst"
	ReadbackFile = "readback.jsonl.zst" // with the faults still in effect
	FinalFile    = "settled.jsonl.zst"  // after everything was reverted
	PlanFile     = "plan.yaml"
	UndoFile     = "undo.jsonl"
	RevertFile   = "revert.jsonl" // journal of whoever reverted after the drill: its guard, or gwdr drill revert
	GuardFile    = "guard.log"    // what the guard says
	ReportFile   = "report.json"
	ManifestFile = "manifest.json" // of all files, the last that a report writes
	// CalibrationFile is what was known of the prober on this host when the drill began; not there if nothing was.
	CalibrationFile = "calibration.json"
)

const (
	lockFile = ".lock"
	stopFile = "STOP"
)

var runPattern = regexp.MustCompile(`^\d{8}T\d{6}Z-[a-z0-9-]+-[0-9a-f]{4}$`)

// ErrRefused is wrapped by errors that say a drill was not started, or nothing was injected, because it would not have
// been safe, or could have proven nothing.
var ErrRefused = errors.New("drill refused")

// Run is a run's evidence directory.
type Run struct {
	ID       string    `json:"id"`
	Dir      string    `json:"evidence"`
	No       int       `json:"run_no"`
	Scenario string    `json:"scenario"`
	Started  time.Time `json:"started"`
	PID      int       `json:"pid"`   // of the drill
	Ended    bool      `json:"ended"` // its journal has an end
	Clean    bool      `json:"clean"` // nothing is left in effect: proven at its end, or by a later revert
}

// Runs lists the runs in an evidence directory by number. A directory that is not there has none.
func Runs(evidence string) ([]Run, error) {
	entries, err := os.ReadDir(evidence)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("list runs: %w", err)
	}
	var runs []Run
	for _, e := range entries {
		if !e.IsDir() || !runPattern.MatchString(e.Name()) {
			continue
		}
		run, err := openRun(filepath.Join(evidence, e.Name()))
		if err != nil {
			return nil, err
		}
		runs = append(runs, run)
	}
	slices.SortFunc(runs, func(a, b Run) int { return cmp.Or(cmp.Compare(a.No, b.No), cmp.Compare(a.ID, b.ID)) })
	return runs, nil
}

// openRun reads the first and the last line of the journals. A run that was killed before its first line has number 0.
func openRun(dir string) (Run, error) {
	run := Run{ID: filepath.Base(dir), Dir: dir}
	first, last, err := ends(filepath.Join(dir, JournalFile))
	if err != nil {
		return run, fmt.Errorf("open run %s: %w", run.ID, err)
	}
	var start startFact
	if decodeEntry(first, entryStart, &start) {
		run.No, run.Scenario, run.Started, run.PID = start.RunNo, start.Scenario, start.T0, start.PID
	}
	var end endFact
	run.Ended = decodeEntry(last, entryEnd, &end)
	run.Clean = end.Clean
	if !run.Ended {
		undos, err := readUndos(dir)
		damage := (*DamageError)(nil)
		if err != nil && !errors.As(err, &damage) {
			return run, fmt.Errorf("open run %s: %w", run.ID, err)
		}
		run.Clean = len(undos) == 0 && damage == nil // killed before it touched anything
	}
	if _, last, err = ends(filepath.Join(dir, RevertFile)); err != nil {
		return run, fmt.Errorf("open run %s: %w", run.ID, err)
	}
	if decodeEntry(last, entryEnd, &end) {
		run.Clean = end.Clean
	}
	return run, nil
}

func decodeEntry(line []byte, kind string, data any) bool {
	var entry journal.Entry
	return json.Unmarshal(line, &entry) == nil && entry.Type == kind && json.Unmarshal(entry.Data, data) == nil
}

// ends returns the first and the last line of a journal, whose last line, its end, is short; nothing if it is not there.
func ends(path string) (first, last []byte, err error) {
	const window = 64 << 10
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	head, err := io.ReadAll(io.NewSectionReader(f, 0, window))
	if err != nil {
		return nil, nil, err
	}
	tail, err := io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-window), window))
	if err != nil {
		return nil, nil, err
	}
	first, _, _ = bytes.Cut(head, []byte("\n"))
	tail = bytes.TrimSuffix(tail, []byte("\n"))
	return first, tail[bytes.LastIndexByte(tail, '\n')+1:], nil
}

// nextRun makes the directory of a new run, numbered without a gap.
func nextRun(evidence, scenario string, now time.Time) (run Run, previous string, err error) {
	runs, err := Runs(evidence)
	if err != nil {
		return Run{}, "", err
	}
	run = Run{No: 1, Scenario: scenario, Started: now, ID: runID(scenario, now)}
	if len(runs) > 0 {
		last := runs[len(runs)-1]
		run.No = last.No + 1
		if previous, err = hashFile(filepath.Join(last.Dir, ReportFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Run{}, "", fmt.Errorf("read previous report: %w", err)
		}
	}
	run.Dir = filepath.Join(evidence, run.ID)
	if err := os.Mkdir(run.Dir, 0o700); err != nil {
		return Run{}, "", fmt.Errorf("make evidence directory: %w", err)
	}
	return run, previous, nil
}

func runID(scenario string, now time.Time) string { return stamp(now) + "-" + scenario + "-" + nonce() }

func stamp(now time.Time) string { return now.UTC().Format("20060102T150405Z") }

func nonce() string {
	var b [2]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

func hashFile(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return hashOf(b), nil
}

func hashOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
