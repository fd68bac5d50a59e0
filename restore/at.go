package restore

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"gwdr/backup"
)

// At says which state to restore: the newest (the zero value), the newest that is not after Time, the one before the change
// that made revision Before of the gateway's newest lineage, or the one of the point named Point, without the log after it.
type At struct {
	Time   time.Time
	Before int64
	Point  string // as in backup.Found.Name, or enough of it to be unique; with or without points/
}

// ParseAt reads a time (RFC 3339, or 2006-01-02 15:04[:05] in UTC), a duration that lies back from now (90m, 2h, 3d),
// before=REVISION, or takes the text for a point's name. Empty text is the newest state.
func ParseAt(text string, now time.Time) (At, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return At{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02T15:04"} {
		if t, err := time.Parse(layout, text); err == nil {
			return At{Time: t.UTC()}, nil
		}
	}
	if ago, ok := parseAgo(text); ok {
		if ago < 0 {
			return At{}, fmt.Errorf("%q lies in the future", text)
		}
		return At{Time: now.Add(-ago).UTC()}, nil
	}
	if revision, ok := strings.CutPrefix(text, "before="); ok {
		before, err := strconv.ParseInt(strings.TrimSpace(revision), 10, 64)
		if err != nil || before < 1 {
			return At{}, fmt.Errorf("%q: want before=REVISION, such as before=4711", text)
		}
		return At{Before: before}, nil
	}
	if !pointPattern.MatchString(path.Base(text)) {
		return At{}, fmt.Errorf("%q is no time (2006-01-02T15:04:05Z), no duration back from now (2h, 3d), no before=REVISION and no point's name (20060102T150405Z-...)", text)
	}
	return At{Point: text}, nil
}

// pointPattern is the name of a point, or the beginning of one.
var pointPattern = regexp.MustCompile(`^\d{4,8}(T\d{0,6}Z?(-[0-9a-f]{0,16}){0,2})?(\.tar)?$`)

// parseAgo reads what time.ParseDuration reads, and whole days.
func parseAgo(text string) (time.Duration, bool) {
	text = strings.TrimSpace(strings.TrimSuffix(text, "ago"))
	if d, err := time.ParseDuration(text); err == nil {
		return d, true
	}
	days, ok := strings.CutSuffix(text, "d")
	n, err := strconv.ParseUint(days, 10, 16)
	return time.Duration(n) * 24 * time.Hour, ok && err == nil
}

// String says which point is meant, in words.
func (a At) String() string {
	switch {
	case a.Point != "":
		return "point " + a.Point
	case a.Before > 0:
		return fmt.Sprintf("state before revision %d", a.Before)
	case !a.Time.IsZero():
		return "newest state not after " + a.Time.Format(time.RFC3339)
	}
	return "newest state"
}

// bound is how far the log is to be followed from a point.
func (a At) bound(acrossGaps bool) backup.TailBound {
	return backup.TailBound{Time: a.Time, Before: a.Before, AcrossGaps: acrossGaps}
}

// candidates returns the points that a allows, newest first as they are given.
func (a At) candidates(found []backup.Found) ([]backup.Found, error) {
	var matched []backup.Found
	for _, f := range found {
		if a.allows(f, found[0].Lineage) {
			matched = append(matched, f)
		}
	}
	switch {
	case len(matched) == 0 && a.Point != "":
		return nil, fmt.Errorf("%w: %w: no location holds a point named %q", ErrNothing, ErrNoSuchPoint, a.Point)
	case len(matched) == 0 && len(found) > 0 && a.Before > 0:
		return nil, fmt.Errorf("%w: %w: no point of lineage %s shows a revision before %d", ErrNothing, ErrNoSuchPoint, found[0].Lineage, a.Before)
	case len(matched) == 0 && len(found) > 0:
		oldest := oldestOf(found)
		return nil, fmt.Errorf("%w: %w: the oldest, %s, is of %s", ErrNothing, ErrNoSuchPoint, path.Base(oldest.Name), oldest.Time.Format(time.RFC3339))
	case len(matched) == 0:
		return nil, fmt.Errorf("%w: no location holds a valid point", ErrNothing)
	case len(matched) > 1 && a.Point != "":
		return nil, fmt.Errorf("point %q %w: %s, %s", a.Point, ErrAmbiguous, path.Base(matched[0].Name), path.Base(matched[1].Name))
	}
	return matched, nil
}

// oldestOf returns the last of the points that are no mere undoing of a restore.
func oldestOf(found []backup.Found) backup.Found {
	for _, f := range slices.Backward(found) {
		if !f.Undo {
			return f
		}
	}
	return found[0]
}

// allows reports whether the point may be what a leads to, or what the log leads there from. Revisions count in one lineage.
func (a At) allows(f backup.Found, newest string) bool {
	switch {
	case a.Point != "":
		return a.names(f)
	case f.Undo:
		return false
	case a.Before > 0:
		return f.Lineage == newest && f.Revision < a.Before
	}
	return a.Time.IsZero() || !f.Time.After(a.Time)
}

func (a At) names(f backup.Found) bool {
	return strings.HasPrefix(path.Base(f.Name), path.Base(strings.TrimSuffix(a.Point, ".tar")))
}
