package drills

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"gwdr/probes/calibration"
)

// TestCalibrationIsKeptAndQuoted shows that what was known of the prober at the start is part of the evidence, and of what
// cannot be changed in it.
func TestCalibrationIsKeptAndQuoted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := calibration.Judge(calibration.Record{Plan: calibration.Plan{Rounds: 1, Interval: 20 * ms}})
		d.Tool, d.Host.Name = "gwdr test", "here"
		document, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		l := newLab(t)
		l.Calibration = document
		r, err := l.run(t, t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r.Calibration != d.Statement() || !strings.HasPrefix(r.Calibration, "inconclusive: ") {
			t.Errorf("quoted as %q, want %q", r.Calibration, d.Statement())
		}
		kept := filepath.Join(r.Evidence, CalibrationFile)
		if got, err := os.ReadFile(kept); err != nil || string(got) != string(document) {
			t.Errorf("kept %q, %v", got, err)
		}
		if err := os.WriteFile(kept, append(document, ' '), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ReadFacts(r.Evidence); !errors.Is(err, ErrEvidence) {
			t.Errorf("a calibration that was changed: %v, want %v", err, ErrEvidence)
		}
		if err := os.Remove(kept); err != nil {
			t.Fatal(err)
		}
		if _, _, err := ReadFacts(r.Evidence); !errors.Is(err, ErrEvidence) {
			t.Errorf("a calibration that was taken away: %v, want %v", err, ErrEvidence)
		}
	})
}
