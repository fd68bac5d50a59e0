package cmd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
)

// oldSite is a site with two full points, the first of which came a year ago.
func oldSite(t *testing.T) *site {
	t.Helper()
	s := newSite(t)
	s.backup(3, false)
	past := time.Now().AddDate(-1, 0, 0)
	for _, file := range s.objects() {
		if err := os.Chtimes(file, past, past); err != nil {
			t.Fatal(err)
		}
	}
	s.source.Put(backuptest.Entity(gateway.Route, "b", "{}"))
	s.source.Compact()
	s.backup(3, false)
	return s
}

// objects returns the files of all locations.
func (s *site) objects() (files []string) {
	s.t.Helper()
	for _, pattern := range []string{"gwdr1/*/*/*.tar", "gwdr1/*/packs/*/*"} {
		matches, err := filepath.Glob(s.path("*", pattern))
		if err != nil {
			s.t.Fatal(err)
		}
		files = append(files, matches...)
	}
	if len(files) == 0 {
		s.t.Fatal("there are no objects")
	}
	return files
}

func TestPruneUsage(t *testing.T) {
	s := newSite(t)
	contains(t, s.want(2, "backup", "prune"), "no rule says what to keep", "hint: say for how long")
	contains(t, s.want(2, "backup", "prune", "--yes"), "no rule says what to keep")
	for _, span := range []string{"", "30", "1m", "-1d", "101y"} {
		contains(t, s.want(2, "backup", "prune", "--keep-within", span), `for "--keep-within" flag`)
	}
	s.want(2, "backup", "prune", "--keep-within", "1d", "more")
}

// TestPruneSaysAndDoes: without --yes it says what would go, with it that goes, and then there is nothing more to do.
func TestPruneSaysAndDoes(t *testing.T) {
	s := oldSite(t)
	before := s.objects()
	text := s.want(0, "backup", "prune", "--keep-within", "7d")
	contains(t, text, "POINTS WOULD GO", "nothing was removed; --yes removes it", ": within, newest")
	if strings.Count(text, "kept ") != 1 || strings.Contains(text, " at local") {
		t.Errorf("locations that agree are told apart:\n%s", text)
	}
	if diff := cmp.Diff(before, s.objects()); diff != "" {
		t.Fatal(diff)
	}
	s.want(0, "backup", "prune", "--keep-within", "7d", "--yes", "--json")
	var p backup.Pruning
	if err := json.Unmarshal(s.stdout.Bytes(), &p); err != nil {
		t.Fatal(err)
	}
	if p.Schema != "gwdr/prune/v1" || !p.Removed || len(p.Locations) != 3 {
		t.Errorf("%+v", p)
	}
	for _, l := range p.Locations {
		if len(l.Kept) != 1 || len(l.Points) != 1 || l.Objects != 3 || l.Bytes == 0 || l.Error != "" || l.Unread { // a point, a pack, a segment
			t.Errorf("%+v", l)
		}
	}
	if n := len(before) - len(s.objects()); n != 9 {
		t.Errorf("%d objects are gone", n)
	}
	if text := s.want(0, "backup", "prune", "--keep-within", "7d"); !strings.Contains(text, "nothing to remove") || strings.Contains(text, "--yes") {
		t.Errorf("a second time:\n%s", text)
	}
	s.want(0, "backup", "verify", "--all")
}

// TestPruneAway: a location that cannot be read is not one where nothing is, and reasons that differ say where.
func TestPruneAway(t *testing.T) {
	s := oldSite(t)
	s.want(0, "backup", "verify", "--attest")
	attested, err := filepath.Glob(s.path("local", "gwdr1", "*", "attest", "*"))
	if err != nil || len(attested) != 1 {
		t.Fatalf("%v, %v", attested, err)
	}
	if err := os.Remove(attested[0]); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.path("nas"), s.path("away")); err != nil {
		t.Fatal(err)
	}
	text := s.want(3, "backup", "prune", "--keep-within", "7d")
	contains(t, text, "could not be read  -", "not every location could be read: location nas: ", " at local: within, newest\n",
		" at offsite: within, newest, last verified\n")
	if strings.Contains(text, "could not be removed") || strings.Contains(text, "everything could be removed") {
		t.Errorf("nothing was to be removed:\n%s", text)
	}
	text = s.want(3, "backup", "prune", "--keep-within", "7d", "--json")
	contains(t, text, `"unread": true`, `"points": []`)
}
