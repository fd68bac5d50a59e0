package backup

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// Keep says which points a prune leaves: all within Within of the newest, and within each of the others the last of each
// hour, day, week (ISO), month and year in UTC. Zero keeps none by that rule.
type Keep struct {
	Within, Hourly, Daily, Weekly, Monthly, Yearly time.Duration
}

// rule is one of Keep's.
type rule struct {
	name   string
	span   time.Duration
	bucket func(time.Time) string
}

func (k Keep) rules() []rule {
	return []rule{
		{"within", k.Within, func(t time.Time) string { return t.Format(time.RFC3339Nano) }},
		{"hourly", k.Hourly, func(t time.Time) string { return t.Format("2006-01-02 15") }},
		{"daily", k.Daily, func(t time.Time) string { return t.Format(time.DateOnly) }},
		{"weekly", k.Weekly, func(t time.Time) string {
			year, week := t.ISOWeek()
			return fmt.Sprint(year, "-", week)
		}},
		{"monthly", k.Monthly, func(t time.Time) string { return t.Format("2006-01") }},
		{"yearly", k.Yearly, func(t time.Time) string { return t.Format("2006") }},
	}
}

// any reports whether a rule keeps anything.
func (k Keep) any() bool {
	return slices.ContainsFunc(k.rules(), func(r rule) bool { return r.span > 0 })
}

// reasons returns for each of the times, which are sorted from the newest on, the names of the rules that keep it. Spans
// count back from the newest: where nothing new comes, nothing ages.
func (k Keep) reasons(newestFirst []time.Time) [][]string {
	reasons := make([][]string, len(newestFirst))
	for _, r := range k.rules() {
		last := ""
		for i, t := range newestFirst {
			if r.span <= 0 || newestFirst[0].Sub(t) > r.span {
				break
			}
			if bucket := r.bucket(t.UTC()); bucket != last || r.name == "within" {
				last = bucket
				reasons[i] = append(reasons[i], r.name)
			}
		}
	}
	return reasons
}

var spanPattern = regexp.MustCompile(`^(?:(\d{1,4})y)?(?:(\d{1,5})w)?(?:(\d{1,6})d)?(?:(\d{1,7})h)?$`)

// ParseSpan reads how far back a rule of Keep reaches: years (of 365 days), weeks, days and hours, such as 1y, 30d, 2w3d, 36h.
func ParseSpan(text string) (time.Duration, error) {
	parts := spanPattern.FindStringSubmatch(text)
	if parts == nil || text == "" {
		return 0, fmt.Errorf("%q is not a span such as 1y, 12w, 30d, 36h", text)
	}
	const hour = time.Hour
	var span time.Duration
	for i, unit := range []time.Duration{365 * 24 * hour, 7 * 24 * hour, 24 * hour, hour} {
		n, _ := strconv.ParseInt("0"+parts[i+1], 10, 64)
		span += time.Duration(n) * unit
		if span < 0 || n > int64(maxSpan/unit) || span > maxSpan {
			return 0, fmt.Errorf("%q is longer than 100 years", text)
		}
	}
	return span, nil
}

const maxSpan = 100 * 365 * 24 * time.Hour
