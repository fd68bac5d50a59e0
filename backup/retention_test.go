package backup

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestKeepReasons(t *testing.T) {
	var times []time.Time
	for _, text := range []string{ // newest first
		"2026-11-25T10:30:00Z", "2026-11-25T10:10:00Z", "2026-11-25T09:00:00Z", "2026-11-24T23:59:59Z", "2026-11-24T01:00:00Z",
		"2026-11-16T00:00:00Z", "2026-10-31T00:00:00Z", "2026-10-01T00:00:00Z", "2025-12-31T00:00:00Z", "2020-01-01T00:00:00Z",
	} {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, at)
	}
	const day = 24 * time.Hour
	for _, c := range []struct {
		keep Keep
		want string // one letter for each rule that keeps the point, in order
	}{
		{Keep{Within: time.Hour}, "w w - - - - - - - -"},
		{Keep{Hourly: 12 * time.Hour}, "h - h h - - - - - -"},
		{Keep{Daily: 10 * day}, "d - - d - d - - - -"},
		{Keep{Weekly: 30 * day}, "W - - - - W W - - -"},
		{Keep{Monthly: 365 * day}, "m - - - - - m - m -"},
		{Keep{Yearly: 10 * 365 * day}, "y - - - - - - - y y"},
		{Keep{Within: time.Hour, Daily: 2 * day}, "wd w - d - - - - - -"},
		{Keep{}, "- - - - - - - - - -"},
	} {
		letters := map[string]string{"within": "w", "hourly": "h", "daily": "d", "weekly": "W", "monthly": "m", "yearly": "y"}
		var got []string
		for _, reasons := range c.keep.reasons(times) {
			text := ""
			for _, r := range reasons {
				text += letters[r]
			}
			if text == "" {
				text = "-"
			}
			got = append(got, text)
		}
		if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%+v: %s", c.keep, diff)
		}
	}
}

func TestParseSpan(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{"36h": 36 * time.Hour, "30d": 30 * day, "2w3d": 17 * day, "1y": 365 * day, "1y2w3d4h": 382*day + 4*time.Hour} {
		if got, err := ParseSpan(text); err != nil || got != want {
			t.Errorf("ParseSpan(%q) = %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "30", "-1d", "1m", "3d2w", "101y", "9999y", "9999999h", "1.5d", "30d "} {
		if got, err := ParseSpan(text); err == nil {
			t.Errorf("ParseSpan(%q) = %s", text, got)
		}
	}
}

func FuzzParseSpan(f *testing.F) {
	f.Add("1y2w3d4h")
	f.Fuzz(func(t *testing.T, text string) {
		if span, err := ParseSpan(text); err == nil && (span < 0 || span > maxSpan) {
			t.Errorf("%q is %s", text, span)
		}
	})
}
