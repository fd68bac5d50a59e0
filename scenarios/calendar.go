package scenarios

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Window is a time of the week in which drills may run.
type Window struct {
	Days []string `yaml:"days,omitempty" json:"days,omitempty"` // on which it begins: mon to sun; none: every day
	From string   `yaml:"from" json:"from"`                     // 02:00
	To   string   `yaml:"to" json:"to"`                         // 04:00; one that is not later is of the next day
	Zone string   `yaml:"zone" json:"zone"`                     // Europe/Berlin
}

// Blackout is days on which no drill may run, the first and the last included.
type Blackout struct {
	From string `yaml:"from" json:"from"` // 2026-12-24
	To   string `yaml:"to" json:"to"`
	Zone string `yaml:"zone" json:"zone"`
}

// weekdays are the words for them, as time.Weekday counts.
var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// Admits refuses a drill that begins now and may take so long, unless all of that lies in one of the windows and on no day of
// a blackout. The error wraps ErrUnsafe.
func (b Bounds) Admits(now time.Time, worst time.Duration) error {
	until := now.Add(worst)
	for _, day := range b.Blackout {
		from, to, err := day.span()
		if err != nil {
			return err
		}
		if now.Before(to) && until.After(from) {
			return fmt.Errorf("%w: no drill from %s to %s (%s)", ErrUnsafe, day.From, day.To, day.Zone)
		}
	}
	if len(b.Windows) == 0 {
		return nil
	}
	var all []string
	var short error
	for _, w := range b.Windows {
		all = append(all, w.String())
		from, to, err := w.around(now)
		switch {
		case err != nil:
			return err
		case !now.Before(from) && !until.After(to):
			return nil
		case !now.Before(from) && now.Before(to):
			short = fmt.Errorf("%w: the drill may take %s, and the window %s ends in %s", ErrUnsafe, worst, w, to.Sub(now).Round(time.Second))
		}
	}
	if short != nil {
		return short
	}
	return fmt.Errorf("%w: now is outside of the windows for drills: %s", ErrUnsafe, strings.Join(all, "; "))
}

// String is the window as people say it.
func (w Window) String() string {
	days := "every day"
	if len(w.Days) > 0 {
		days = strings.Join(w.Days, ", ")
	}
	return fmt.Sprintf("%s %s to %s (%s)", days, w.From, w.To, w.Zone)
}

// around returns the window that now lies in, or else one that it does not lie in. Where the clock is put forward or back, it
// is the narrower of what could be meant.
func (w Window) around(now time.Time) (from, to time.Time, err error) {
	zone, err := zoneOf(w.Zone)
	if err != nil {
		return from, to, err
	}
	begins, err := time.Parse("15:04", w.From)
	if err != nil {
		return from, to, fmt.Errorf("%q is no time such as 02:00", w.From)
	}
	ends, err := time.Parse("15:04", w.To)
	if err != nil {
		return from, to, fmt.Errorf("%q is no time such as 02:00", w.To)
	}
	year, month, day := now.In(zone).Date()
	for back := range 2 { // it may have begun yesterday
		first := time.Date(year, month, day-back, 0, 0, 0, 0, time.UTC)
		last := first
		if !ends.After(begins) {
			last = first.AddDate(0, 0, 1)
		}
		_, from = onClock(first, begins, zone)
		to, _ = onClock(last, ends, zone)
		listed := len(w.Days) == 0 || slices.Contains(w.Days, weekdays[first.Weekday()])
		if listed && !now.Before(from) && now.Before(to) {
			return from, to, nil
		}
	}
	return now.Add(1), now, nil
}

// span returns when the blackout begins and ends. Where the clock is put forward or back at midnight, it is the wider of what
// could be meant.
func (b Blackout) span() (from, to time.Time, err error) {
	zone, err := zoneOf(b.Zone)
	if err != nil {
		return from, to, err
	}
	first, err := time.Parse(time.DateOnly, b.From)
	if err != nil {
		return from, to, fmt.Errorf("%q is no day such as 2026-12-24", b.From)
	}
	last, err := time.Parse(time.DateOnly, b.To)
	if err != nil {
		return from, to, fmt.Errorf("%q is no day such as 2026-12-27", b.To)
	}
	if last.Before(first) {
		return from, to, fmt.Errorf("%s is before %s", b.To, b.From)
	}
	midnight := time.Time{}
	from, _ = onClock(first, midnight, zone)
	_, to = onClock(last.AddDate(0, 0, 1), midnight, zone)
	return from, to, nil
}

// onClock returns the first and the last instant at which clocks in the zone show that time of that day: two where they are put
// back. Where they are put forward past it, both are the instant of that.
func onClock(day, clock time.Time, zone *time.Location) (first, last time.Time) {
	shown := time.Date(day.Year(), day.Month(), day.Day(), clock.Hour(), clock.Minute(), 0, 0, time.UTC)
	var found []time.Time
	for _, near := range []time.Duration{-26 * time.Hour, 26 * time.Hour} { // of the offsets before and after
		_, offset := shown.Add(near).In(zone).Zone()
		at := shown.Add(-time.Duration(offset) * time.Second)
		if _, is := at.In(zone).Zone(); is == offset {
			found = append(found, at)
		}
	}
	if len(found) == 0 {
		_, offset := shown.Add(-26 * time.Hour).In(zone).Zone()
		gap, _ := shown.Add(-time.Duration(offset) * time.Second).In(zone).ZoneBounds()
		return gap, gap
	}
	return found[0], found[len(found)-1]
}

// zoneOf reads a zone of the time zone database.
func zoneOf(name string) (*time.Location, error) {
	if name == "" || name == "Local" {
		return nil, fmt.Errorf("%q is no time zone such as Europe/Berlin or UTC", name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%q is no time zone such as Europe/Berlin or UTC", name)
	}
	return zone, nil
}

// Check reports what is wrong with the bounds: the field, and what.
func (b Bounds) Check(wrong func(field string, err error)) {
	for i, w := range b.Windows {
		field := fmt.Sprintf("windows[%d]", i)
		if _, _, err := w.around(time.Unix(0, 0)); err != nil {
			wrong(field, err)
		}
		for _, day := range w.Days {
			if !slices.Contains(weekdays, day) {
				wrong(field+".days", fmt.Errorf("%q is none of mon, tue, wed, thu, fri, sat, sun", day))
			}
		}
	}
	for i, day := range b.Blackout {
		if _, _, err := day.span(); err != nil {
			wrong(fmt.Sprintf("blackout[%d]", i), err)
		}
	}
	for i, s := range b.Protect {
		if s.Region == "" && s.Role == "" && s.Instance == "" {
			wrong(fmt.Sprintf("protect[%d]", i), errors.New("is empty and protects nothing; allowed: region, role, instance"))
		}
		if s.Role != "" && !slices.Contains(roles, string(s.Role)) {
			wrong(fmt.Sprintf("protect[%d].role", i), fmt.Errorf("%q is none of %s", s.Role, strings.Join(roles, ", ")))
		}
	}
}
