package probes

import (
	"slices"
	"time"
)

// The definition of down and up (docs/measurement.md).
const (
	downRun    = 3    // consecutive affected attempts
	downRecent = 5    // affected attempts of the last
	recentSize = 50   // attempts
	upShare    = 0.99 // of the attempts of the stability window that are ok
)

// outcome is what an attempt says of the gateway.
type outcome uint8

const (
	unsure outcome = iota // neither: the attempt was not made
	good
	bad
)

// attempt is what a tracker needs of a Sample.
type attempt struct {
	due, done time.Duration
	okBefore  time.Duration // due time of the last good attempt before it, 0 if there is none
	outcome   outcome
}

// judge returns the outcome of s when a valid answer later than limit is slow.
func judge(s *Sample, limit time.Duration) outcome {
	switch {
	case s.Class == Unknown:
		return unsure
	case s.Class == OK && s.Done-s.Due <= limit:
		return good
	default:
		return bad
	}
}

// tracker folds the attempts of one series, in the order of their due times, into outages.
type tracker struct {
	limit    time.Duration
	window   sliding // the stability window
	okBefore time.Duration
	recent   [recentSize]attempt // ring, next is at count % recentSize
	count    int
	run      int     // consecutive bad attempts
	runFirst attempt // first of them

	down     bool
	tripped  bool    // the definition of down was met since down is true: always, unless it was forced
	first    attempt // first affected
	last     attempt // last affected
	back     attempt // first good after last; its outcome is unsure while there is none
	affected int
	flaps    int
	outages  []incident
}

// incident is an outage with what its estimate needs.
type incident struct {
	first, last, back attempt
	affected, flaps   int
	tripped           bool
	stableAt          time.Duration // when up was shown; 0 while it lasts
}

func newTracker(limit, stable time.Duration) *tracker {
	return &tracker{limit: limit, window: sliding{length: stable}}
}

// fork returns a tracker that can be fed without changing t.
func (t *tracker) fork() *tracker {
	c := *t
	c.window, c.outages = t.window.fork(), slices.Clone(t.outages)
	return &c
}

// force treats the series as down from the instant at, until it is shown to be up.
func (t *tracker) force(at time.Duration) {
	t.open(attempt{due: at, okBefore: at})
	t.tripped, t.last = false, attempt{}
	t.count, t.run = 0, 0
}

func (t *tracker) addSample(s *Sample) {
	t.add(attempt{due: s.Due, done: s.Done, outcome: judge(s, t.limit)})
}

func (t *tracker) add(a attempt) {
	a.okBefore = t.okBefore
	t.slide(a)
	switch a.outcome {
	case bad:
		t.addBad(a)
	case good:
		t.addGood(a)
	}
}

// slide moves the last attempts and the stability window on to a.
func (t *tracker) slide(a attempt) {
	t.recent[t.count%recentSize] = a
	t.count++
	t.window.add(a.due, a.outcome == good)
}

func (t *tracker) addBad(a attempt) {
	if t.run == 0 {
		t.runFirst = a
	}
	t.run++
	if t.down {
		if t.back.outcome == good {
			t.flaps++
		}
		t.affected++
		t.last, t.back = a, attempt{}
	}
	if t.tripped {
		return
	}
	if first, affected, down := t.met(); down {
		if !t.down {
			t.open(first)
			t.affected, t.last = affected, a
		}
		t.tripped = true
	}
}

func (t *tracker) addGood(a attempt) {
	t.run = 0
	t.okBefore = a.due
	if !t.down {
		return
	}
	if t.back.outcome != good {
		t.back = a
	}
	if t.window.steady(t.first.due, upShare) {
		t.outages = append(t.outages, t.incident(a.done))
		t.down, t.tripped, t.count = false, false, 0
	}
}

// met tells whether the definition of down is met, its first affected attempt and how many there are since.
func (t *tracker) met() (first attempt, affected int, down bool) {
	if t.run >= downRun {
		return t.runFirst, t.run, true
	}
	for i := max(0, t.count-recentSize); i < t.count; i++ {
		if a := t.recent[i%recentSize]; a.outcome == bad {
			if affected == 0 {
				first = a
			}
			affected++
		}
	}
	return first, affected, affected >= downRecent
}

func (t *tracker) open(first attempt) {
	t.down, t.tripped = true, true
	t.first, t.back = first, attempt{}
	t.affected, t.flaps = 0, 0
}

func (t *tracker) incident(stableAt time.Duration) incident {
	return incident{
		first: t.first, last: t.last, back: t.back, affected: t.affected, flaps: t.flaps, tripped: t.tripped,
		stableAt: stableAt,
	}
}

// incidents returns the outages so far; the last one has no stableAt while it lasts.
func (t *tracker) incidents() []incident {
	if !t.down {
		return t.outages
	}
	return append(slices.Clip(t.outages), t.incident(0))
}

// steady reports whether the series is up and the stability window, all of it after since, shows it.
func (t *tracker) steady(since time.Duration) bool {
	return !t.down && t.run == 0 && t.window.steady(since, upShare)
}
