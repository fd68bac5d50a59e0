package probes

import (
	"sync"
	"time"
)

// Detector tells while a drill runs which series are down and which are steady, by the definitions of EstimateOutage. An
// attempt that has no answer yet counts as affected as soon as it is later than its series' limit. It is safe for
// concurrent use; instants are since t0.
type Detector struct {
	mu     sync.Mutex
	series []*watched // in the order given
	byName map[string]*watched
}

// Status is what a Detector knows of one series.
type Status struct {
	Series Series
	Down   bool
	Since  time.Duration // Down: due time of the first affected attempt
}

// NewDetector watches the given series. Until SetLimits, nothing below MaxLimit is slow.
func NewDetector(stable, baseline time.Duration, series ...Series) *Detector {
	d := &Detector{byName: map[string]*watched{}}
	for _, s := range series {
		w := &watched{
			series: s, tracker: newTracker(MaxLimit, stable), baseline: sliding{length: baseline}, made: sliding{length: baseline},
			waiting: map[int64]Sample{}, end: forever,
		}
		d.series = append(d.series, w)
		d.byName[s.Name] = w
	}
	return d
}

// SetLimits sets L of the named series for attempts to come: what Limits finds in the baseline.
func (d *Detector) SetLimits(limits map[string]time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, limit := range limits {
		if w := d.byName[name]; w != nil {
			w.tracker.limit = limit
		}
	}
}

// End says that the named series has no attempts that are due at that instant or later: none is missed.
func (d *Detector) End(name string, at time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := d.byName[name]; w != nil {
		w.end = min(w.end, at)
	}
}

// Add takes an attempt that has ended, in any order. Attempts of unknown series are ignored.
func (d *Detector) Add(s Sample) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := d.byName[s.Series]; w != nil {
		w.add(s)
	}
}

// Status returns the state of every series at the instant now.
func (d *Detector) Status(now time.Duration) []Status {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]Status, len(d.series))
	for i, w := range d.series {
		t := w.at(now)
		all[i] = Status{Series: w.series, Down: t.down}
		if t.down {
			all[i].Since = t.first.due
		}
	}
	return all
}

// Down reports whether any series is down that is not a control target.
func (d *Detector) Down(now time.Duration) bool {
	for _, s := range d.Status(now) {
		if s.Down && !s.Series.Control {
			return true
		}
	}
	return false
}

// RecoveredSince reports whether every series that is not a control target is shown to be up: over the stability window,
// all of which must lie after since, at least 99 % of its attempts were ok.
func (d *Detector) RecoveredSince(since, now time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range d.series {
		if !w.series.Control && !w.at(now).steady(since) {
			return false
		}
	}
	return true
}

// BaselineHolds reports whether every series, control targets too, was probed over the baseline's length up to now: at
// least 99 % of the attempts were made, and 99.9 % of those were ok. Guards accept it if a fault is injected now.
func (d *Detector) BaselineHolds(now time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range d.series {
		if t := w.at(now); t.down || t.run > 0 || !w.baseline.steady(w.due(0), baselineOK) || !w.made.steady(w.due(0), baselineMade) {
			return false
		}
	}
	return true
}

// watched is one series of a Detector.
type watched struct {
	series   Series
	tracker  *tracker // has all attempts before next
	baseline sliding  // of the attempts that were made
	made     sliding
	next     int64
	waiting  map[int64]Sample // that ended before an earlier one did
	start    time.Duration    // due time of attempt 0
	started  bool
	end      time.Duration // what would be due from here on is not made
}

func (w *watched) due(seq int64) time.Duration { return w.start + time.Duration(seq)*w.series.Interval }

func (w *watched) add(s Sample) {
	if !w.started {
		w.started = true
		w.start = s.Due - time.Duration(s.Seq)*w.series.Interval
	}
	if s.Seq != w.next {
		w.waiting[s.Seq] = s
		return
	}
	for more := true; more; {
		w.take(&s)
		if s, more = w.waiting[w.next]; more {
			delete(w.waiting, w.next)
		}
	}
}

// take takes the next attempt.
func (w *watched) take(s *Sample) {
	w.next++
	w.tracker.addSample(s)
	o := judge(s, w.tracker.limit)
	w.made.add(s.Due, o != unsure)
	if o != unsure {
		w.baseline.add(s.Due, o == good)
	}
}

// at returns the tracker as it stands at the instant now, when every attempt that still waits for its answer and is later
// than the limit is affected. It must not be fed.
func (w *watched) at(now time.Duration) *tracker {
	t := w.tracker
	for seq := w.next; w.started; seq++ {
		due := w.due(seq)
		s, ended := w.waiting[seq]
		if !ended && (due+t.limit >= now || due >= w.end) {
			break
		}
		if t == w.tracker {
			t = t.fork()
		}
		if ended {
			t.addSample(&s)
		} else {
			t.add(attempt{due: due, done: now, outcome: bad})
		}
	}
	return t
}
