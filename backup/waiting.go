package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// waiting is what the spool says of the copies, as far as it can be read without its lock: a writer may be at it.
type waiting struct {
	spool    spool
	newest   lineageEntry // of the gateway; without a Lineage nothing is known
	lineages []waitingLineage
	notes    []string
}

type waitingLineage struct {
	lineage string
	tail    int64 // newest segment
	base    int64 // segments before this one are of no use any more
	points  []*pendingPoint
}

// readWaiting reads the spool in dir, if there is one.
func readWaiting(dir, gatewayName string) *waiting {
	w := &waiting{spool: spool{dir}, notes: []string{}}
	if dir == "" {
		return w
	}
	const attempts = 3 // a writer that is done with a point takes it from under our eyes
	var err error
	for range attempts {
		if err = w.read(gatewayName); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		*w = waiting{spool: spool{dir}, notes: []string{fmt.Sprintf("the spool could not be read: %v", err)}}
	}
	return w
}

func (w *waiting) read(gatewayName string) error {
	w.lineages = nil
	files, err := w.spool.glob("lineages/*/lineage.json")
	if err != nil {
		return err
	}
	for _, file := range files {
		l := waitingLineage{lineage: filepath.Base(filepath.Dir(file))}
		entry, err := w.spool.readLineage(l.lineage)
		if err != nil {
			return err
		}
		if l.points, err = w.spool.pending(l.lineage); err != nil {
			return err
		}
		numbers, err := w.spool.queue(l.lineage).numbers()
		if err != nil {
			return err
		}
		if len(numbers) > 0 {
			l.tail = numbers[len(numbers)-1]
		}
		l.base = max(0, entry.Last.Point.Base.Seq-1)
		w.lineages = append(w.lineages, l)
	}
	w.newest, _, err = w.spool.current(gatewayName)
	return err
}

// of returns what waits for the copy.
func (w *waiting) of(c Copy) (sum Waiting) {
	for _, l := range w.lineages {
		for _, p := range l.points {
			if !p.delivered(c) {
				sum.Points++
			}
		}
		sum.Segments += max(0, l.tail-max(l.base, w.spool.progress(l.lineage, c).Seq))
	}
	return sum
}

// hasPoint reports whether the point, by its full name, waits for the copy.
func (w *waiting) hasPoint(c Copy, object string) bool {
	for _, l := range w.lineages {
		for _, p := range l.points {
			if p.Object() == object {
				return !p.delivered(c)
			}
		}
	}
	return false
}
