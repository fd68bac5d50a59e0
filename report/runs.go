package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"gwdr/drills"
)

// chained is what the chain of runs needs of one report.
type chained struct {
	Run    drills.Run
	Hash   string // of report.json; empty if there is none
	Result drills.Result
	Err    error // why report.json, which is there, cannot be read
}

// population reads the reports of all runs in the evidence directory, by run number.
func population(evidence string) ([]chained, error) {
	runs, err := drills.Runs(evidence)
	if err != nil {
		return nil, err
	}
	var all []chained
	for _, run := range runs {
		all = append(all, readChained(run))
	}
	return all, nil
}

func readChained(run drills.Run) chained {
	c := chained{Run: run}
	data, err := os.ReadFile(filepath.Join(run.Dir, drills.ReportFile))
	switch {
	case err == nil:
		c.Hash = hashOf(data)
		c.Err = json.NewDecoder(bytes.NewReader(data)).Decode(&c.Result)
	case !errors.Is(err, fs.ErrNotExist):
		c.Err = err
	}
	return c
}

// withCopy puts the run in dir, a folder that is not named as a run, where its number belongs: in the place of the one that it is a
// copy of, if that is there, too.
func withCopy(all []chained, dir string) ([]chained, error) {
	facts, err := drills.ReadJournal(dir)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(c chained) bool { return c.Run.ID == facts.ID })
	all = append(all, readChained(drills.Run{ID: facts.ID, Dir: dir, No: facts.RunNo}))
	slices.SortFunc(all, func(a, b chained) int { return cmp.Compare(a.Run.No, b.Run.No) })
	return all, nil
}

// straightPasses counts how often in a row the scenario has passed, up to and with result.
func straightPasses(evidence string, result *drills.Result) (int, error) {
	all, err := population(evidence)
	if err != nil {
		return 0, err
	}
	if result.Verdict != drills.Pass {
		return 0, nil
	}
	passes := 1
	for _, c := range slices.Backward(all) {
		if c.Run.No >= result.RunNo || c.Run.Scenario != result.Scenario {
			continue
		}
		if c.Result.Verdict != drills.Pass {
			break
		}
		passes++
	}
	return passes, nil
}

// passBound is the 95 % lower bound of the probability of passing after n straight passes: 0.05^(1/n).
func passBound(n int) float64 { return math.Pow(0.05, 1/float64(max(n, 1))) }

// checkChain says what is wrong with the numbers and links of the runs.
func checkChain(all []chained) []string {
	var problems []string
	add := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	numbered := slices.DeleteFunc(slices.Clone(all), func(c chained) bool { return c.Run.No == 0 })
	for i, c := range numbered {
		before := chained{}
		if i > 0 {
			before = numbered[i-1]
		}
		switch {
		case i > 0 && c.Run.No == before.Run.No:
			add("run %d is there twice: %s and %s", c.Run.No, before.Run.ID, c.Run.ID)
			continue
		case c.Run.No != before.Run.No+1:
			add("%s missing before %s", missingRuns(before.Run.No+1, c.Run.No-1), c.Run.ID)
			continue
		}
		if c.Err != nil {
			add("the report of %s cannot be read: %v", c.Run.ID, c.Err)
			continue
		}
		if c.Hash == "" {
			continue // a run that was killed; what follows it cannot name it
		}
		if c.Result.RunNo != c.Run.No {
			add("%s is run %d in its journal and run %d in its report", c.Run.ID, c.Run.No, c.Result.RunNo)
		}
		if c.Result.Previous != before.Hash {
			add("%s follows report %s, the report of run %d is %s", c.Run.ID, cmp.Or(short(c.Result.Previous), "none"),
				before.Run.No, cmp.Or(short(before.Hash), "missing"))
		}
	}
	return problems
}

func missingRuns(from, to int) string {
	if from == to {
		return fmt.Sprintf("run %d is", from)
	}
	return fmt.Sprintf("runs %d to %d are", from, to)
}
