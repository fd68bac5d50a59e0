package drills

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"gwdr/internal/journal"
	"gwdr/probes"
)

// foreign is a line of a journal that somebody else wrote.
func foreign(t *testing.T, kind string, data any) journal.Entry {
	t.Helper()
	raw, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	return journal.Entry{Type: kind, Data: raw}
}

// TestForeignEvidenceIsRefused has journals that no drill writes, and that nothing can be computed from.
func TestForeignEvidenceIsRefused(t *testing.T) {
	front := func(f Front) Outlook { return Outlook{Fronts: map[probes.Plane]Front{probes.DataPlane: f}} }
	for name, e := range map[string]journal.Entry{
		"no interval":        foreign(t, entrySeries, []probes.Series{{Name: "clients"}}),
		"negative interval":  foreign(t, entrySeries, []probes.Series{{Name: "clients", Interval: -1}}),
		"negative retries":   foreign(t, entryOutlook, front(Front{Retries: -1})),
		"negative broken":    foreign(t, entryOutlook, front(Front{Broken: -1})),
		"outlook of nothing": foreign(t, entryOutlook, "nothing"),
	} {
		if err := new(Facts).add(e); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for name, plan := range map[string]WatchPlan{
		"no stability window": {Series: make([]WatchSeries, 1)},
		"negative one":        {Series: make([]WatchSeries, 1), Stable: -time.Second},
		"no target":           {Series: make([]WatchSeries, 1), Stable: time.Second},
	} {
		f := WatchFacts{Plan: plan}
		if err := f.check(); !errors.Is(err, ErrEvidence) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := new(WatchFacts).check(); err != nil {
		t.Errorf("killed before its plan was written: %v", err)
	}
}
