package report

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"gwdr/drills"
	"gwdr/scenarios"
)

// TestOlderEvidence shows that evidence of a build that did not know of unavailability, full service and predictions gives
// what that build reported: older.json is what it wrote, and is never to be updated.
func TestOlderEvidence(t *testing.T) {
	r := newRun()
	r.older = true
	dir := r.write(t, t.TempDir())
	document, err := marshal(judged(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join("testdata", "older.json"))
	if err != nil {
		t.Fatal(err)
	}
	differences, err := compare(want, document)
	if err != nil || len(differences) > 0 {
		t.Errorf("%v, %v", differences, err)
	}
	plan, err := os.ReadFile(filepath.Join(dir, drills.PlanFile))
	if err != nil || bytes.Contains(plan, []byte("slo:")) {
		t.Fatalf("the plan is not that of an older build: %v", err)
	}
	if hash := scenarios.Hash(plan); !bytes.Contains(want, []byte(hash)) {
		t.Errorf("the plan has another hash: %s", hash)
	}
}
