package probes

import (
	"slices"
	"time"
)

// sliding is the attempts that were due within the last length, up to the newest one.
type sliding struct {
	length time.Duration
	marks  []mark
	ok     int
}

type mark struct {
	due time.Duration
	ok  bool
}

func (w *sliding) add(due time.Duration, ok bool) {
	w.marks = append(w.marks, mark{due, ok})
	if ok {
		w.ok++
	}
	gone := 0
	for ; gone < len(w.marks)-1 && w.marks[gone].due <= due-w.length; gone++ { // of foreign evidence the time may overflow
		if w.marks[gone].ok {
			w.ok--
		}
	}
	w.marks = w.marks[gone:]
}

func (w *sliding) clone() sliding {
	return sliding{length: w.length, marks: slices.Clone(w.marks), ok: w.ok}
}

// steady reports whether all of the window lies after since and at least the share least of its attempts are ok. An
// attempt that was not made is not ok.
func (w *sliding) steady(since time.Duration, least float64) bool {
	n := len(w.marks)
	return n > 0 && w.marks[n-1].due-w.length >= since && float64(w.ok) >= least*float64(n)
}
