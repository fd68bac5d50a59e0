package scenarios

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestAdmits(t *testing.T) {
	night := Window{Days: []string{"sat"}, From: "02:00", To: "04:00", Zone: "Europe/Berlin"}
	late := Window{Days: []string{"fri"}, From: "22:00", To: "02:00", Zone: "America/New_York"}
	holidays := Blackout{From: "2026-12-24", To: "2026-12-27", Zone: "Europe/Berlin"}
	sunday := Window{From: "02:30", To: "04:00", Zone: "Europe/Berlin"}
	twice := Window{From: "02:00", To: "04:00", Zone: "Europe/Berlin"}
	for name, test := range map[string]struct {
		bounds Bounds
		now    string // RFC 3339
		worst  time.Duration
		want   string // of the error; empty: admitted
	}{
		"nothing said":               {Bounds{}, "2026-11-28T12:00:00Z", time.Hour, ""},
		"inside":                     {Bounds{Windows: []Window{night}}, "2026-11-28T01:00:00Z", time.Hour, ""},
		"to the very end":            {Bounds{Windows: []Window{night}}, "2026-11-28T02:00:00Z", time.Hour, ""},
		"beyond the end":             {Bounds{Windows: []Window{night}}, "2026-11-28T02:00:01Z", time.Hour, "the drill may take 1h0m0s, and the window sat 02:00 to 04:00 (Europe/Berlin) ends in 59m59s"},
		"too early":                  {Bounds{Windows: []Window{night}}, "2026-11-28T00:59:59Z", time.Minute, "now is outside of the windows for drills: sat 02:00 to 04:00 (Europe/Berlin)"},
		"another day":                {Bounds{Windows: []Window{night}}, "2026-11-27T01:30:00Z", time.Minute, "outside"},
		"past midnight":              {Bounds{Windows: []Window{late}}, "2026-11-28T06:00:00Z", time.Hour, ""},
		"past midnight, too long":    {Bounds{Windows: []Window{late}}, "2026-11-28T06:30:00Z", time.Hour, "ends in 30m0s"},
		"the night after":            {Bounds{Windows: []Window{late}}, "2026-11-29T06:00:00Z", time.Minute, "outside"},
		"one of two":                 {Bounds{Windows: []Window{late, night}}, "2026-11-28T01:00:00Z", time.Hour, ""},
		"summer time":                {Bounds{Windows: []Window{night}}, "2026-07-04T00:00:00Z", 2 * time.Hour, ""},
		"holidays":                   {Bounds{Blackout: []Blackout{holidays}}, "2026-12-25T12:00:00Z", time.Minute, "no drill from 2026-12-24 to 2026-12-27 (Europe/Berlin)"},
		"just before the holidays":   {Bounds{Blackout: []Blackout{holidays}}, "2026-12-23T22:00:00Z", time.Hour, ""},
		"into the holidays":          {Bounds{Blackout: []Blackout{holidays}}, "2026-12-23T22:00:00Z", time.Hour + 1, "no drill from"},
		"the last of the holidays":   {Bounds{Blackout: []Blackout{holidays}}, "2026-12-27T22:59:59Z", time.Minute, "no drill from"},
		"after the holidays":         {Bounds{Blackout: []Blackout{holidays}}, "2026-12-27T23:00:00Z", time.Minute, ""},
		"blackout beats window":      {Bounds{Windows: []Window{night}, Blackout: []Blackout{{"2026-11-28", "2026-11-28", "UTC"}}}, "2026-11-28T01:00:00Z", time.Minute, "no drill"},
		"clock forward: not before":  {Bounds{Windows: []Window{sunday}}, "2026-03-29T00:59:59Z", time.Minute, "outside"},
		"clock forward: at once":     {Bounds{Windows: []Window{sunday}}, "2026-03-29T01:00:00Z", time.Hour, ""},
		"clock forward: an hour":     {Bounds{Windows: []Window{sunday}}, "2026-03-29T01:00:00Z", time.Hour + 1, "ends in 1h0m0s"},
		"clock back: the second two": {Bounds{Windows: []Window{twice}}, "2026-10-25T00:30:00Z", time.Minute, "outside"},
		"clock back: from there":     {Bounds{Windows: []Window{twice}}, "2026-10-25T01:00:00Z", 2 * time.Hour, ""},
	} {
		t.Run(name, func(t *testing.T) {
			now, err := time.Parse(time.RFC3339, test.now)
			if err != nil {
				t.Fatal(err)
			}
			err = test.bounds.Admits(now, test.worst)
			if test.want == "" && err != nil || test.want != "" && (!errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// TestWindowsOfAYear looks at every quarter of an hour of a year: a window opens on its days only, lasts as long as it says, but
// for the two nights on which the clock is changed, and never longer.
func TestWindowsOfAYear(t *testing.T) {
	for _, zone := range []string{"Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"} {
		w := Window{Days: []string{"sun"}, From: "01:45", To: "03:15", Zone: zone}
		local, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		open := 0
		begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		for at := begin; at.Before(begin.AddDate(1, 0, 0)); at = at.Add(15 * time.Minute) {
			if (Bounds{Windows: []Window{w}}).Admits(at, time.Nanosecond) != nil {
				continue
			}
			open++
			if clock := at.In(local); clock.Weekday() != time.Sunday || clock.Format("15:04") < "01:45" || clock.Format("15:04") >= "03:15" {
				t.Errorf("%s: open at %s", zone, clock)
			}
		}
		if most := 52 * 6; open > most || open < most-12 {
			t.Errorf("%s: open for %d quarters of an hour, not about %d", zone, open, most)
		}
	}
}
