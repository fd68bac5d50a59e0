package proxy

import "time"

// tally is how many events there were, and how many of them were of the kind that is looked for.
type tally struct{ all, marked int64 }

func (t *tally) add(o tally)      { t.all, t.marked = t.all+o.all, t.marked+o.marked }
func (t *tally) subtract(o tally) { t.all, t.marked = t.all-o.all, t.marked-o.marked }

// window is a tally of late: it forgets what is older than its span, in steps of a tenth. Its owner guards it.
type window struct {
	step  time.Duration
	born  time.Time
	at    int64 // steps since it was born
	steps [10]tally
	sum   tally // of the steps
}

func newWindow(span time.Duration) window { return window{step: max(span/10, 1), born: time.Now()} }

// advance forgets what is too old by now.
func (w *window) advance(now time.Time) {
	at := int64(now.Sub(w.born) / w.step)
	if at-w.at >= int64(len(w.steps)) {
		w.sum, w.steps, w.at = tally{}, [10]tally{}, at
	}
	for w.at < at {
		w.at++
		oldest := w.current()
		w.sum.subtract(*oldest)
		*oldest = tally{}
	}
}

func (w *window) current() *tally { return &w.steps[w.at%int64(len(w.steps))] }

// add counts, and returns all that there was of late.
func (w *window) add(t tally, now time.Time) tally {
	w.advance(now)
	w.current().add(t)
	w.sum.add(t)
	return w.sum
}
