package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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

// TestWritersOfABrokenLocation put objects all the time: each that was acknowledged is there afterwards.
func TestWritersOfABrokenLocation(t *testing.T) {
	lab := newLab(t, process.ReplicationNone)
	copies, err := labCopies(t.Context(), filepath.Dir(lab.LocationsDir()))
	if err != nil {
		t.Fatal(err)
	}
	local := copies[0].Location
	if err := local.Put(t.Context(), "gwdr1/first", strings.NewReader(""), 0); err != nil { // there must be something to delete
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var acked []string
	refused := 0
	var over sync.WaitGroup
	over.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			name := fmt.Sprintf("gwdr1/%02d/%d", i%7, i)
			switch err := local.Put(context.Background(), name, strings.NewReader(name), int64(len(name))); {
			case err == nil:
				acked = append(acked, name)
			default:
				refused++
			}
		}
	})
	for range 5 {
		for _, kind := range []fleet.FaultKind{fleet.LocationDelete, fleet.LocationDeny} {
			if err := lab.Revert(t.Context(), inject(t, lab, kind, fleet.Selector{Instance: "local"})); err != nil {
				t.Fatal(err)
			}
		}
	}
	stop()
	over.Wait()
	if len(acked) == 0 || refused == 0 {
		t.Errorf("%d puts were acknowledged, %d refused", len(acked), refused)
	}
	for _, name := range acked {
		r, err := local.Get(t.Context(), name)
		if err != nil {
			t.Fatalf("lost: %v", err)
		}
		content, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil || string(content) != name {
			t.Errorf("%s holds %q, %v", name, content, err)
		}
	}
	t.Logf("%d puts were acknowledged, and all are there; %d were refused", len(acked), refused)
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
