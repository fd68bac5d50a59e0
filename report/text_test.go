package report

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gwdr/drills"
	"gwdr/internal/sshsig"
)

func TestTextGolden(t *testing.T) {
	dir := newRun().write(t, t.TempDir())
	var out bytes.Buffer
	if err := Text(&out, judged(t, dir)); err != nil {
		t.Fatal(err)
	}
	golden(t, "pass.txt", out.Bytes())
}

// TestTextFails shows a drill that misses its objective and leaves a fault behind.
func TestTextFails(t *testing.T) {
	r := newRun()
	r.dataDown = ms(5600)
	result := judged(t, r.write(t, t.TempDir()))
	result.Clean, result.Faults[0].Reverted, result.Faults[0].Verified = false, nil, false
	var out bytes.Buffer
	if err := Text(&out, result); err != nil {
		t.Fatal(err)
	}
	golden(t, "fail.txt", out.Bytes())
}

func TestTextTakesControlCharactersOut(t *testing.T) {
	const evil = "\x1b]0;owned\x07\x1b[2Jtitle\r\nPASS \u202e\u0085"
	r := &drills.Result{Scenario: evil, Title: evil, Reason: evil, Evidence: evil, Findings: []string{evil},
		Objectives: []drills.ObjectiveResult{{ID: evil, Metric: evil, Target: evil, Value: evil, Verdict: evil}},
		Faults:     []drills.FaultResult{{ID: evil, Kind: evil, Targets: []string{evil}}}, RPA: drills.RPA{Statement: evil}}
	var out bytes.Buffer
	if err := Text(&out, r); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(out.String(), "\x1b\x07\r\u202e\u0085") {
		t.Errorf("control characters came through: %q", out.String())
	}
}

func TestVerificationTextGolden(t *testing.T) {
	signer := sshsig.NewSigner("")
	dir := newRun().write(t, t.TempDir())
	result := judged(t, dir)
	result.Objectives[0].HighS, result.Verdict = 0.2, drills.Pass
	if err := Write(dir, result, nil); err != nil {
		t.Fatal(err)
	}
	edit(t, filepath.Join(dir, drills.UndoFile), func([]byte) []byte { return nil })
	v, err := Verify(dir, trusting(signer))
	if err == nil {
		t.Fatal("verified")
	}
	v.ReportSHA256 = ""
	var out bytes.Buffer
	if err := VerificationText(&out, v); err != nil {
		t.Fatal(err)
	}
	golden(t, "not-verified.txt", out.Bytes())
	if _, err := os.Stat(filepath.Join(dir, AttestationFile)); err == nil {
		t.Error("there is an attestation without a signer")
	}
}
