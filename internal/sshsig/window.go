package sshsig

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// window is the time in which a key is trusted: valid-after and valid-before of an allowed_signers file, both ends
// included, as ssh-keygen has it. A zero end is open.
type window struct {
	after, before time.Time
}

// includes reports whether the window holds the time, to the second.
func (w window) includes(at time.Time) bool {
	at = at.Truncate(time.Second)
	return (w.after.IsZero() || !at.Before(w.after)) && (w.before.IsZero() || !at.After(w.before))
}

func (w window) String() string {
	var parts []string
	if !w.after.IsZero() {
		parts = append(parts, "from "+w.after.UTC().Format(time.RFC3339))
	}
	if !w.before.IsZero() {
		parts = append(parts, "until "+w.before.UTC().Format(time.RFC3339))
	}
	return strings.Join(parts, " ")
}

// options returns the window as options of an allowed_signers file, in UTC, which every reader takes alike.
func (w window) options() []string {
	var options []string
	for _, end := range []struct {
		name string
		at   time.Time
	}{{"valid-after", w.after}, {"valid-before", w.before}} {
		if !end.at.IsZero() {
			options = append(options, fmt.Sprintf(`%s="%s"`, end.name, end.at.UTC().Format("20060102150405Z")))
		}
	}
	return options
}

// parseTime reads YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS. The time is local, as it is to ssh-keygen, unless a Z ends it.
func parseTime(text string) (time.Time, error) {
	digits, location := text, time.Local
	if n := len(text) - 1; n > 0 && strings.EqualFold(text[n:], "Z") {
		digits, location = text[:n], time.UTC
	}
	layout, ok := map[int]string{8: "20060102", 12: "200601021504", 14: "20060102150405"}[len(digits)]
	if !ok || strings.Trim(digits, "0123456789") != "" {
		return time.Time{}, errors.New("a time is not of the form YYYYMMDD[HHMM[SS]][Z]")
	}
	at, err := time.ParseInLocation(layout, digits, location)
	if err != nil {
		return time.Time{}, errors.New("there is no such time")
	}
	return at, nil
}
