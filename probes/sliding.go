package probes

import "time"

// sliding is the attempts that were due within the last length, up to the newest one.
type sliding struct {
	length time.Duration
	shared []mark // of a fork: what it had from the other one, which goes on using it
	marks  []mark // younger than those; the end of what is used of room
	room   []mark
	ok     int
}

type mark struct {
	due time.Duration
	ok  bool
}

func (w *sliding) add(due time.Duration, ok bool) {
	if len(w.marks) == cap(w.marks) {
		w.makeRoom()
	}
	w.marks = append(w.marks, mark{due, ok})
	if ok {
		w.ok++
	}
	for w.size() > 1 && w.oldest().due <= due-w.length { // of foreign evidence the time may overflow
		if w.oldest().ok {
			w.ok--
		}
		if len(w.shared) > 0 {
			w.shared = w.shared[1:]
		} else {
			w.marks = w.marks[1:]
		}
	}
}

// makeRoom moves the attempts to the front of the room, which must be more than twice what they need, so that this is rare.
func (w *sliding) makeRoom() {
	n := len(w.marks)
	if cap(w.room) <= 2*n {
		w.room = make([]mark, 0, 3*n+recentSize)
	}
	w.marks = append(w.room[:0], w.marks...)
}

func (w *sliding) size() int { return len(w.shared) + len(w.marks) }

// oldest returns the first attempt. There must be one.
func (w *sliding) oldest() mark {
	if len(w.shared) > 0 {
		return w.shared[0]
	}
	return w.marks[0]
}

// fork returns one that can be fed without changing w, until w is fed. It copies nothing: at 10,000 attempts a second that would be
// megabytes, while attempts wait for it. There is no fork of a fork.
func (w *sliding) fork() sliding { return sliding{length: w.length, shared: w.marks, ok: w.ok} }

// steady reports whether all of the window lies after since and at least the share least of its attempts are ok. An
// attempt that was not made is not ok.
func (w *sliding) steady(since time.Duration, least float64) bool {
	n := w.size()
	return n > 0 && w.newest().due-w.length >= since && float64(w.ok) >= least*float64(n)
}

// newest returns the last attempt. There must be one.
func (w *sliding) newest() mark {
	if n := len(w.marks); n > 0 {
		return w.marks[n-1]
	}
	return w.shared[len(w.shared)-1]
}
