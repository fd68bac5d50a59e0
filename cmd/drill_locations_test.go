package cmd

import (
	"path/filepath"
	"slices"
	"testing"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/fleet"
	"gwdr/fleet/process"
	"gwdr/scenarios"
)

// TestLabLocationsAreThoseOfScenarios: a dry run knows what the lab will have.
func TestLabLocationsAreThoseOfScenarios(t *testing.T) {
	copies, err := labCopies(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, c := range copies {
		names = append(names, c.Name)
	}
	if !slices.Equal(names, scenarios.LabLocations()) {
		t.Errorf("the lab has %v, scenarios know %v", names, scenarios.LabLocations())
	}
}

// TestBrokenLocationsAsTheDriverSeesThem: what the lab does to a directory is what the location's own driver, a verification and a
// load see, and nothing of it is left after the revert.
func TestBrokenLocationsAsTheDriverSeesThem(t *testing.T) {
	lab := newLab(t, process.ReplicationNone)
	labDir := filepath.Dir(lab.LocationsDir())
	copies, err := labCopies(t.Context(), labDir)
	if err != nil {
		t.Fatal(err)
	}
	keys := backuptest.NewKeys(t)
	result, err := backup.Take(t.Context(), backup.Job{Source: labClient(lab), Gateway: "lab", Copies: copies, Keys: keys, Spool: t.TempDir(),
		Policy: backup.Policy{Site: labSite, Simulated: true}})
	if err != nil || result == nil {
		t.Fatal(err)
	}
	for kind, at := range map[fleet.FaultKind]struct{ problems, points int }{
		fleet.LocationDeny: {problems: 1}, fleet.LocationCorrupt: {problems: 1, points: 1}, fleet.LocationDelete: {problems: 1},
	} {
		u := inject(t, lab, kind, fleet.Selector{Instance: "local"})
		opened, err := labCopies(t.Context(), labDir)
		if err != nil {
			t.Fatalf("%s: the other locations cannot be opened: %v", kind, err)
		}
		v, err := backup.Verify(t.Context(), opened, keys, backup.VerifyOptions{})
		if err != nil || !v.Restorable() {
			t.Fatalf("%s: nothing can be restored: %v", kind, err)
		}
		for _, l := range v.Locations {
			if broken := l.Name == "local"; broken != (len(l.Problems) >= at.problems) || broken && l.Points != at.points {
				t.Errorf("%s: at %s are %d points and %d problems: %v", kind, l.Name, l.Points, len(l.Problems), l.Problems)
			}
		}
		found, _ := backup.Find(t.Context(), opened, keys.Trusted)
		_, from, err := backup.Load(t.Context(), found[0], opened, keys.Identities)
		if err != nil || from.ByCopy()["local"] > 0 || from.ByCopy()["nas"] == 0 {
			t.Errorf("%s: loaded from %v: %v", kind, from.ByCopy(), err)
		}
		if err := lab.Revert(t.Context(), u); err != nil {
			t.Fatal(err)
		}
		if v, err := backup.Verify(t.Context(), copies, keys, backup.VerifyOptions{All: true}); err != nil || !v.Sound() {
			t.Errorf("%s: after the revert: %v, %+v", kind, err, v)
		}
	}
}
