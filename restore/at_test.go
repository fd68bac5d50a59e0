package restore

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/backup"
)

func TestParseAt(t *testing.T) {
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]At{
		"":                          {},
		"2026-03-04T10:00:00Z":      {Time: now.Add(-2 * time.Hour)},
		"2026-03-04T12:00:00+02:00": {Time: now.Add(-2 * time.Hour)},
		"2026-03-04 10:00":          {Time: now.Add(-2 * time.Hour)},
		"2026-03-04 10:00:00":       {Time: now.Add(-2 * time.Hour)},
		"2h":                        {Time: now.Add(-2 * time.Hour)},
		"2h ago":                    {Time: now.Add(-2 * time.Hour)},
		"3d":                        {Time: now.Add(-72 * time.Hour)},
		"20260304T100000Z-002a-ab":  {Point: "20260304T100000Z-002a-ab"},
		"20260304":                  {Point: "20260304"},
		"points/20260304T10":        {Point: "points/20260304T10"},
	} {
		got, err := ParseAt(text, now)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
	for _, text := range []string{"-2h", "yesterday", "nonsense", "2 hours", "20260304T100000Z; rm"} {
		if at, err := ParseAt(text, now); err == nil {
			t.Errorf("%s is %v", text, at)
		}
	}
}

func FuzzParseAt(f *testing.F) {
	for _, seed := range []string{"", "2h", "9999999999h", "65535d", "2026-03-04 10:00", "points/x", "-0s", "d"} {
		f.Add(seed)
	}
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text string) {
		at, err := ParseAt(text, now)
		if err == nil && at.Point != "" && !at.Time.IsZero() {
			t.Errorf("%q is both a point and a time", text)
		}
	})
}

func TestCandidates(t *testing.T) {
	noon := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	point := func(name string, at time.Time) backup.Found {
		return backup.Found{Name: "points/" + name, Point: backup.Point{Time: at}}
	}
	found := []backup.Found{point("c-3", noon), point("b-2", noon.Add(-time.Hour)), point("a-22", noon.Add(-2*time.Hour)), point("a-21", noon.Add(-3*time.Hour))}
	for name, test := range map[string]struct {
		at   At
		want []string
	}{
		"newest":       {At{}, []string{"points/c-3", "points/b-2", "points/a-22", "points/a-21"}},
		"at a time":    {At{Time: noon.Add(-time.Hour)}, []string{"points/b-2", "points/a-22", "points/a-21"}},
		"between":      {At{Time: noon.Add(-time.Minute)}, []string{"points/b-2", "points/a-22", "points/a-21"}},
		"full name":    {At{Point: "points/a-22.tar"}, []string{"points/a-22"}},
		"start":        {At{Point: "b"}, []string{"points/b-2"}},
		"too early":    {At{Time: noon.Add(-24 * time.Hour)}, nil},
		"no such name": {At{Point: "d"}, nil},
	} {
		got, err := test.at.candidates(found)
		if (err != nil) != (test.want == nil) || err != nil && !errors.Is(err, ErrNothing) {
			t.Errorf("%s: %v", name, err)
		}
		var names []string
		for _, f := range got {
			names = append(names, f.Name)
		}
		if diff := cmp.Diff(test.want, names); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if _, err := (At{Point: "a"}).candidates(found); !errors.Is(err, ErrAmbiguous) || errors.Is(err, ErrNothing) {
		t.Errorf("an ambiguous name: %v", err)
	}
}
