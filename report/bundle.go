package report

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"gwdr/drills"
	"gwdr/internal/journal"
	"gwdr/probes"
	"gwdr/scenarios"
)

// Bundle is the evidence of one run, read to be rendered. Nothing in it was verified: see Verify.
type Bundle struct {
	Dir      string
	Result   *drills.Result // as reported
	Scenario *scenarios.Scenario
	Facts    drills.Facts
	Journal  []journal.Entry
	Files    []File // what Result was computed from, with their hashes
	Passes   int    // straight passes of the scenario, this run included; 0 if it did not pass
}

// Open reads the evidence in dir. Result is what report.json says.
func Open(dir string) (*Bundle, error) {
	var result drills.Result
	if err := readJSON(filepath.Join(dir, drills.ReportFile), &result); err != nil {
		return nil, err
	}
	return open(dir, &result)
}

// open reads the evidence behind the result.
func open(dir string, result *drills.Result) (*Bundle, error) {
	facts, scenario, err := drills.ReadFacts(dir)
	if err != nil {
		return nil, err
	}
	entries, err := readJournal(filepath.Join(dir, drills.JournalFile))
	if err != nil && !isTorn(err) { // torn by whatever killed the drill
		return nil, err
	}
	files, err := hashFiles(dir, derived)
	if err != nil {
		return nil, err
	}
	passes, err := straightPasses(filepath.Dir(dir), result)
	if err != nil {
		return nil, err
	}
	markSlow(facts)
	return &Bundle{Dir: dir, Result: result, Scenario: scenario, Facts: facts, Journal: entries, Files: files, Passes: passes}, nil
}

// markSlow gives right answers that came later than their series' limit the class that the estimator gives them. Facts
// hold what was observed.
func markSlow(facts drills.Facts) {
	limits := probes.Limits(facts.Samples, facts.Baseline.From, facts.Baseline.To)
	for i := range facts.Samples {
		s := &facts.Samples[i]
		if limit, ok := limits[s.Series]; ok && s.Class == probes.OK && s.Done-s.Due > limit {
			s.Class = probes.Slow
		}
	}
}

func readJournal(path string) ([]journal.Entry, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	defer f.Close()
	return journal.Read(f)
}

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}
