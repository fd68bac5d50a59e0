package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// waiting is what the spool says of the copies, as far as it can be read without its lock: a writer may be at it. It is read
// before the copies are, so that what it says of them was true then.
type waiting struct {
	newest lineageEntry           // of the gateway; without a Lineage nothing is known
	of     map[string]waitingCopy // by the copy's name
	notes  []string
}

// waitingCopy is what the spool says of one copy.
type waitingCopy struct {
	Waiting
	had    int64           // segments of the newest lineage that it took, as far back as they were to be had
	points map[string]bool // full names of those that wait
}

// readWaiting reads the spool in dir, if there is one.
func readWaiting(dir, gatewayName string, copies []Copy) *waiting {
	if dir == "" {
		return &waiting{notes: []string{}}
	}
	const attempts = 3 // a writer that is done with a point takes it from under our eyes
	var err error
	for range attempts {
		w := &waiting{of: map[string]waitingCopy{}, notes: []string{}}
		if err = w.read(spool{dir}, gatewayName, copies); err == nil {
			return w
		}
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return &waiting{notes: []string{fmt.Sprintf("the spool could not be read: %v", err)}}
}

func (w *waiting) read(s spool, gatewayName string, copies []Copy) (err error) {
	for _, c := range copies {
		w.of[c.Name] = waitingCopy{points: map[string]bool{}}
	}
	if w.newest, _, err = s.current(gatewayName); err != nil {
		return err
	}
	files, err := s.glob("lineages/*/lineage.json")
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := w.readLineage(s, filepath.Base(filepath.Dir(file)), copies); err != nil {
			return err
		}
	}
	return nil
}

// readLineage adds what waits of one lineage.
func (w *waiting) readLineage(s spool, lineage string, copies []Copy) error {
	entry, err := s.readLineage(lineage)
	if err != nil {
		return err
	}
	points, err := s.pending(lineage)
	if err != nil {
		return err
	}
	numbers, err := s.queue(lineage).numbers()
	if err != nil {
		return err
	}
	for _, c := range copies {
		sum, had := w.of[c.Name], s.progress(lineage, c).Seq
		for _, p := range points {
			if !p.delivered(c) {
				sum.points[p.Object()] = true
				sum.Points++
			}
		}
		if n := len(numbers); n > 0 { // those before the packs are of no use any more
			sum.Segments += max(0, numbers[n-1]-max(had, entry.Last.Point.Base.Seq-1))
		}
		if lineage == w.newest.Lineage {
			sum.had = had
		}
		w.of[c.Name] = sum
	}
	return nil
}
