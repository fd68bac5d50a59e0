package drills

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gwdr/internal/journal"
	"gwdr/probes"
)

// The types of journal entry that only a watch has.
const (
	entryWatchPlan = "watch-plan" // WatchPlan
	entryMark      = "mark"       // markFact

	entryReading    = "reading"     // readingFact
	entryLink       = "link"        // linkFact
	entryVantageEnd = "vantage-end" // vantageEndFact
)

type watchStart struct {
	Schema   string    `json:"schema"`
	ID       string    `json:"id"`
	Tool     string    `json:"tool"`
	Evidence string    `json:"evidence"`
	T0       time.Time `json:"t0"`
	PID      int       `json:"pid"`
	// Definitions says what the result consists of, as for a drill.
	Definitions int `json:"definitions,omitempty"`
}

type markFact struct {
	At time.Duration `json:"at_ns"` // when something was broken
}

const watchPrefix = "probe-"

// watchID names a watch. It is not of the form of a run's id: a watch has no number, and stands in no drill's way.
func watchID(t0 time.Time) string { return watchPrefix + stamp(t0) + "-" + nonce() }

// WatchFacts is all that was recorded of a watch: what JudgeWatch judges. Instants are since t0 unless they are times.
type WatchFacts struct {
	ID          string
	Tool        string
	Evidence    string // directory, as the watch named it
	Started     time.Time
	Ended       time.Time // of the last entry
	Definitions int       // what the result consists of: 0 is what the first builds reported
	Plan        WatchPlan
	Baseline    Span
	Marks       []time.Duration
	Interrupted bool // before Plan.For was over
	Drift       time.Duration
	Complete    bool                     // the record has an end
	Samples     []probes.Sample          // by series, and sorted; those of a vantage point are on its clock
	Vantages    map[string]*VantageFacts // by name
	Ledger      []probes.Entry
	Final       []probes.Observation // what was read back
	Unread      []UnreadFact
}

// Watches lists the ids of the watches in an evidence directory, the oldest first.
func Watches(evidence string) ([]string, error) {
	entries, err := os.ReadDir(evidence)
	if err != nil {
		return nil, fmt.Errorf("list watches: %w", err)
	}
	var ids []string
	for _, e := range entries { // which are sorted
		if strings.HasPrefix(e.Name(), watchPrefix) && IsWatch(filepath.Join(evidence, e.Name())) {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// IsWatch reports whether the evidence in dir is of a watch.
func IsWatch(dir string) bool {
	first, _, err := ends(filepath.Join(dir, JournalFile))
	var start watchStart
	return err == nil && decodeEntry(first, entryStart, &start) && start.Schema == WatchSchema
}

// ReadWatch reads the evidence of a watch back, and verifies its journal's chain. A record that was cut short by the death of
// gwdr is read as far as it goes. The error wraps ErrEvidence if something was changed.
func ReadWatch(dir string) (WatchFacts, error) {
	f := WatchFacts{ID: filepath.Base(dir)}
	if err := f.read(dir); err != nil {
		return f, fmt.Errorf("read evidence of %s: %w", filepath.Base(dir), err)
	}
	return f, nil
}

func (f *WatchFacts) read(dir string) error {
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
	}
	if err := f.check(); err != nil {
		return err
	}
	if f.Samples, err = readRecord(f.Complete, filepath.Join(dir, SamplesFile), probes.ReadSamples); err != nil {
		return err
	}
	f.Samples = probes.Grouped(f.Samples)
	return f.readLedger(dir)
}

// check refuses a plan that no watch has.
func (f *WatchFacts) check() error {
	if len(f.Plan.Series) > 0 && f.Plan.Stable <= 0 { // none is in a watch that was killed at once
		return fmt.Errorf("%w: no time shows that a series is up", ErrEvidence)
	}
	for _, s := range f.Plan.Series {
		if s.Target < 0 || s.Target >= len(f.Plan.Targets) || s.Interval <= 0 {
			return fmt.Errorf("%w: series %q has no target or no interval", ErrEvidence, s.Name)
		}
		from := func(v WatchVantage) bool { return v.Name == s.Vantage }
		if s.Vantage != "" && !slices.ContainsFunc(f.Plan.Vantages, from) {
			return fmt.Errorf("%w: series %q is of a vantage point that was not planned", ErrEvidence, s.Name)
		}
	}
	return nil
}

func (f *WatchFacts) add(e journal.Entry) error {
	f.Ended = e.At
	switch e.Type {
	case entryStart:
		return take(e, func(s watchStart) {
			f.ID, f.Tool, f.Evidence, f.Started, f.Definitions = s.ID, s.Tool, s.Evidence, s.T0, s.Definitions
		})
	case entryWatchPlan:
		return json.Unmarshal(e.Data, &f.Plan)
	case entryBaseline:
		return json.Unmarshal(e.Data, &f.Baseline)
	case entryMark:
		return take(e, func(m markFact) { f.Marks = append(f.Marks, m.At) })
	case entryUnread:
		return gather(e, &f.Unread)
	case entryAbort:
		f.Interrupted = true
	case entryClock:
		return take(e, func(c clockFact) { f.Drift = time.Duration(c.Drift * float64(time.Second)) })
	case entryEnd:
		f.Complete = true
	case entryReading, entryLink, entryVantageEnd:
		return f.addVantage(e)
	}
	return nil
}
