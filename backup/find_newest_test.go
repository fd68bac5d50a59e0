package backup_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gwdr/backup"
	"gwdr/backup/backuptest"
	"gwdr/gateway"
)

// TestFindNewest: it reads few points where many are, and as many as it takes where those on top are damaged or somebody
// else's; and a glance tells what a reader has not seen.
func TestFindNewest(t *testing.T) {
	h := newHouse(t, backuptest.Entity(gateway.Setting, "a", "{}"))
	var names []string
	for i := range 12 {
		h.source.Put(backuptest.Entity(gateway.Setting, "a", fmt.Sprintf(`{"n":%d}`, i)))
		names = append(names, h.take(t).Point)
	}
	slices.Reverse(names)
	newest := func(enough int) (found []string, problems []backup.Problem) {
		all, _, problems := backup.FindNewest(t.Context(), h.job.Copies, h.job.Keys.Trusted, enough)
		for _, f := range all {
			found = append(found, f.Name)
		}
		return found, problems
	}
	if found, problems := newest(3); !slices.Equal(found, names[:3]) || len(problems) > 0 {
		t.Errorf("found %v, %v", found, problems)
	}
	if found, _ := newest(100); !slices.Equal(found, names) {
		t.Errorf("found %v", found)
	}
	for _, m := range h.memories {
		for object, content := range m.Objects() {
			root, name, isPoint := strings.Cut(object, "points/")
			if !isPoint {
				continue
			}
			if i := slices.Index(names, "points/"+strings.TrimSuffix(name, ".tar")); i < 5 {
				m.Set(object, content[:len(content)/2])
			}
			for i := range 3 { // as new as can be
				m.Set(fmt.Sprintf("%spoints/29991231T235959Z-7ffffffffffffff%d-00000000.tar", root, i), content)
			}
		}
	}
	found, problems := newest(3)
	if len(found) < 3 || !slices.Equal(found[:3], names[5:8]) || len(problems) != 3*8 {
		t.Errorf("found %v, %d problems", found, len(problems))
	}

	all, _ := backup.Find(t.Context(), h.job.Copies, h.job.Keys.Trusted)
	glance, silent := backup.LookAt(t.Context(), h.job.Copies, backup.Glance{}, time.Minute)
	if beyond := glance.Beyond(backup.Glance{}, all[0]); len(silent) > 0 || len(beyond) != 5+3+5 { // points and segments that lead further, and forged ones
		t.Errorf("beyond %s: %v, %v", all[0].Name, beyond, silent)
	}
	if beyond := glance.Beyond(glance, all[len(all)-1]); len(beyond) > 0 {
		t.Errorf("nothing is new: %v", beyond)
	}
}
