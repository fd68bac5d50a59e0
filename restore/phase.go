package restore

import "time"

// Phase is a part of a restore, and how long it took. Those of a Source are locate (ask the locations, find the points), load (download,
// verify, decrypt and unpack the point, all of which overlap), log (likewise, and replay), and revocations (of all other points, the log and
// the witnesses); those of Apply are apply, read back and prove.
type Phase struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"duration_s"`
}

// stopwatch measures phases that follow each other.
type stopwatch struct {
	phases []Phase
	last   time.Time
}

func startWatch() stopwatch { return stopwatch{last: time.Now()} }

// lap ends a phase.
func (w *stopwatch) lap(name string) {
	now := time.Now()
	w.phases = append(w.phases, Phase{name, now.Sub(w.last).Seconds()})
	w.last = now
}
