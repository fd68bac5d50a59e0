package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gwdr/drills"
	"gwdr/internal/sshsig"
)

func trusting(signer *sshsig.Signer) sshsig.Trusted {
	return sshsig.Trusted{}.Trust("ops", signer.Public(), Namespace)
}

func TestVerify(t *testing.T) {
	signer := sshsig.NewSigner("")
	_, dir := chain(t, 3, signer)
	v, err := Verify(dir, trusting(signer))
	if err != nil {
		t.Fatal(err)
	}
	if !v.Verified || v.RunNo != 3 || v.SignedBy != "ops" || v.Recomputed != drills.Pass || len(v.Differences) != 0 {
		t.Errorf("unexpected verification: %+v", v)
	}
}

// TestVerifyCopy: a copy is what it is a copy of, whatever its folder is called, and it is held against the runs beside it.
func TestVerifyCopy(t *testing.T) {
	signer := sshsig.NewSigner("")
	evidence, last := chain(t, 2, signer)
	beside, alone := filepath.Join(evidence, "for the auditor"), filepath.Join(t.TempDir(), "20200101T000000Z-other-0000")
	for _, dir := range []string{beside, alone} {
		if err := os.CopyFS(dir, os.DirFS(last)); err != nil {
			t.Fatal(err)
		}
	}
	v, err := Verify(beside, trusting(signer))
	if err != nil || v.Run != filepath.Base(last) || v.RunNo != 2 {
		t.Errorf("run %s, number %d: %v", v.Run, v.RunNo, err)
	}
	expectFailure(t, alone, trusting(signer), checkRuns) // the first run is not there
	edit(t, filepath.Join(beside, drills.ReportFile), replace(filepath.Base(last), "20200101T000000Z-other-0000"))
	expectFailure(t, beside, trusting(signer), checkFiles, checkRecomputed)
}

// TestVerifyManifestOfAnotherRun: the manifest and the report are of the same run.
func TestVerifyManifestOfAnotherRun(t *testing.T) {
	signer := sshsig.NewSigner("")
	_, dir := chain(t, 1, signer)
	result := judged(t, dir)
	if err := attest(dir, Manifest{Schema: ManifestSchema, Run: "another", RunNo: 1}, claimOf(result), signer); err != nil {
		t.Fatal(err)
	}
	v := expectFailure(t, dir, trusting(signer), checkFiles)
	if !strings.Contains(v.Checks[0].Detail, `manifest.json is of run 1, "another"`) {
		t.Error(v.Checks[0].Detail)
	}
}

// copied returns a copy of the evidence that may be spoilt.
func copied(t *testing.T, evidence string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(evidence)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// edit changes a file of the evidence.
func edit(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func flip(at int) func([]byte) []byte {
	return func(data []byte) []byte {
		data[(at+len(data))%len(data)] ^= 1
		return data
	}
}

func replace(old, with string) func([]byte) []byte {
	return func(data []byte) []byte { return bytes.Replace(data, []byte(old), []byte(with), 1) }
}

// TestVerifyTampered changes each artefact in turn: every change must be found, and named.
func TestVerifyTampered(t *testing.T) {
	signer := sshsig.NewSigner("")
	trusted := trusting(signer)
	evidence, last := chain(t, 1, signer)
	for name, c := range map[string]struct {
		file   string
		change func([]byte) []byte
		want   []string // checks that must fail
	}{
		"sample":      {drills.SamplesFile, flip(2000), []string{checkFiles, checkRecomputed}},
		"ledger":      {drills.LedgerFile, flip(500), []string{checkFiles, checkRecomputed}},
		"read-back":   {drills.ReadbackFile, flip(300), []string{checkFiles, checkRecomputed}},
		"settled":     {drills.FinalFile, flip(300), []string{checkFiles, checkRecomputed}},
		"plan":        {drills.PlanFile, replace("le: 5s", "le: 9s"), []string{checkFiles, checkPlan, checkRecomputed}},
		"journal":     {drills.JournalFile, replace("verified", "Verified"), []string{checkFiles, checkJournal, checkRecomputed}},
		"journal end": {drills.JournalFile, func(b []byte) []byte { return b[:bytes.LastIndexByte(b[:len(b)-1], '\n')+1] }, []string{checkFiles, checkRecomputed}},
		"undo":        {drills.UndoFile, flip(0), []string{checkFiles}},
		"report":      {drills.ReportFile, replace(`"verdict": "pass"`, `"verdict": "fail"`), []string{checkFiles, checkSignature, checkRecomputed}},
		"field added": {drills.ReportFile, replace(`"verdict": "pass"`, `"verdict": "pass", "certified": true`), []string{checkFiles, checkRecomputed}},
		"calibration": {drills.CalibrationFile, replace(`"verdict": "pass"`, `"verdict": "fail"`), []string{checkFiles, checkCalibrated, checkRecomputed}},
		"page":        {HTMLFile, replace("Passed", "Failed"), []string{checkFiles}},
		"manifest":    {ManifestFile, flip(60), []string{checkSignature}},
		"attestation": {AttestationFile, replace(`"payload": "ey`, `"payload": "eX`), []string{checkSignature}},
		"signature":   {AttestationFile, flip(-20), []string{checkSignature}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(copied(t, evidence), filepath.Base(last))
			edit(t, filepath.Join(dir, c.file), c.change)
			expectFailure(t, dir, trusted, c.want...)
		})
	}
}

// TestVerifyCalibration has calibrations that were in the evidence when it was signed, and still must not be quoted.
func TestVerifyCalibration(t *testing.T) {
	signer := sshsig.NewSigner("")
	for name, c := range map[string]struct {
		change func(*run)
		want   string // "" is well
	}{
		"as made":         {func(*run) {}, ""},
		"there is none":   {func(r *run) { r.calibrated = nil }, ""},
		"from after":      {func(r *run) { r.calibrated = replace(`"ended": "2026`, `"ended": "2027`)(r.calibrated) }, "after the drill began"},
		"contradicts":     {func(r *run) { r.calibrated = replace(`"inside": 1`, `"inside": 2`)(r.calibrated) }, "does not follow"},
		"truth was moved": {func(r *run) { r.calibrated = replace(`"truth_low_s": 0.5`, `"truth_low_s": 0.7`)(r.calibrated) }, "does not follow"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRun()
			c.change(r)
			dir := r.write(t, t.TempDir())
			facts, scenario, err := drills.ReadFacts(dir)
			if err == nil {
				err = Write(dir, drills.Judge(scenario, facts), signer)
			} else if strings.Contains(err.Error(), c.want) && c.want != "" {
				return // such a drill has no report at all
			}
			if err != nil {
				t.Fatal(err)
			}
			v, err := Verify(dir, trusting(signer))
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if shown := slices.ContainsFunc(v.Checks, func(k Check) bool { return k.Name == checkCalibrated }); shown != (r.calibrated != nil) {
				t.Errorf("check is shown: %v", shown)
			}
		})
	}
}

// expectFailure verifies and expects exactly the named checks to fail, among those that a change can spare.
func expectFailure(t *testing.T, dir string, trusted sshsig.Trusted, checks ...string) *Verification {
	t.Helper()
	v, err := Verify(dir, trusted)
	if !errors.Is(err, ErrIntegrity) {
		t.Fatalf("Verify: %v, want an integrity error", err)
	}
	failed := map[string]bool{}
	for _, c := range v.Checks {
		if !c.OK {
			failed[c.Name] = true
		}
	}
	for _, name := range checks {
		if !failed[name] {
			t.Errorf("check %s did not fail", name)
		}
		if !strings.Contains(err.Error(), name+": ") {
			t.Errorf("the error does not name %s: %v", name, err)
		}
	}
	return v
}

// TestVerifyForgedManifest: that the manifest was changed comes first, and each file that it no longer lists comes once.
func TestVerifyForgedManifest(t *testing.T) {
	signer := sshsig.NewSigner("")
	evidence, last := chain(t, 1, signer)
	dir := filepath.Join(copied(t, evidence), filepath.Base(last))
	edit(t, filepath.Join(dir, ManifestFile), func([]byte) []byte { return []byte(`{"schema": "gwdr/manifest/v1", "files": []}`) })
	v := expectFailure(t, dir, trusting(signer), checkFiles, checkSignature)
	detail := v.Checks[0].Detail
	if !strings.HasPrefix(detail, "manifest.json itself was changed") || strings.Count(detail, drills.ReportFile) != 1 || strings.Count(detail, "not in the manifest") != 1 {
		t.Error(detail)
	}
	if v.Checks[1].Detail != "manifest.json itself was changed: it is not the one that was signed" {
		t.Error(v.Checks[1].Detail)
	}
}

// TestVerifyForgery has the attacker repair manifest and signature after the change, with a key that is not trusted, and
// with one that is: then only the recomputation finds it.
func TestVerifyForgery(t *testing.T) {
	signer := sshsig.NewSigner("")
	dir := newRun().write(t, t.TempDir())
	result := judged(t, dir)
	result.Objectives[0].HighS /= 2
	result.Objectives[0].Value = "199ms (±40ms)"
	if err := Write(dir, result, signer); err != nil {
		t.Fatal(err)
	}
	v := expectFailure(t, dir, trusting(signer), checkRecomputed)
	if len(v.Differences) != 2 || v.Differences[0].Field != "objectives[0].high_s" || v.Differences[1].Field != "objectives[0].value" {
		t.Errorf("differences are %v", v.Differences)
	}
	if d := v.Differences[1]; d.Reported != `"199ms (±40ms)"` || d.Recomputed != `"398ms (±40ms)"` {
		t.Errorf("difference does not name both values: %v", d)
	}
	expectFailure(t, dir, trusting(sshsig.NewSigner("")), checkSignature, checkRecomputed)
}

func TestVerifyFilesComeAndGo(t *testing.T) {
	signer := sshsig.NewSigner("")
	evidence, last := chain(t, 1, signer)
	for name, c := range map[string]struct {
		do   func(dir string) error
		want string
	}{
		"samples gone":     {func(dir string) error { return os.Remove(filepath.Join(dir, drills.SamplesFile)) }, checkFiles},
		"attestation gone": {func(dir string) error { return os.Remove(filepath.Join(dir, AttestationFile)) }, checkSignature},
		"manifest gone":    {func(dir string) error { return os.Remove(filepath.Join(dir, ManifestFile)) }, checkFiles},
		"report gone":      {func(dir string) error { return os.Remove(filepath.Join(dir, drills.ReportFile)) }, checkRecomputed},
		"file added":       {func(dir string) error { return os.WriteFile(filepath.Join(dir, drills.RevertFile), nil, 0o600) }, checkFiles},
		"link": {func(dir string) error {
			return os.Symlink("/dev/zero", filepath.Join(dir, "x"))
		}, checkFiles},
		"foreign review": {func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "manifest.json.sig"), sshsig.NewSigner("").Sign(Namespace, []byte("x")), 0o600)
		}, checkReviews},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(copied(t, evidence), filepath.Base(last))
			if err := c.do(dir); err != nil {
				t.Fatal(err)
			}
			expectFailure(t, dir, trusting(signer), c.want)
		})
	}
	dir := filepath.Join(copied(t, evidence), filepath.Base(last))
	if err := os.Remove(filepath.Join(dir, drills.JournalFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(dir, trusting(signer)); !errors.Is(err, ErrIntegrity) {
		t.Errorf("without its journal: %v", err)
	}
	if _, err := Verify(t.TempDir(), trusting(signer)); err == nil || errors.Is(err, ErrIntegrity) {
		t.Errorf("an empty directory: %v", err)
	}
}

// TestWriteAgain has a run reverted after its report was written: the report is written again, but not over evidence that
// somebody changed.
func TestWriteAgain(t *testing.T) {
	signer := sshsig.NewSigner("")
	evidence, last := chain(t, 1, signer)
	dir := filepath.Join(copied(t, evidence), filepath.Base(last))
	if err := os.WriteFile(filepath.Join(dir, drills.RevertFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	expectFailure(t, dir, trusting(signer), checkFiles)
	if err := Write(dir, judged(t, dir), signer); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(dir, trusting(signer)); err != nil {
		t.Error(err)
	}
	edit(t, filepath.Join(dir, drills.UndoFile), func([]byte) []byte { return nil })
	if err := Write(dir, judged(t, dir), signer); !errors.Is(err, ErrIntegrity) {
		t.Errorf("changed evidence is signed: %v", err)
	}
	expectFailure(t, dir, trusting(signer), checkFiles)
}

// TestWriteAfterDamage shows that a damaged report of an earlier run costs no later run its own.
func TestWriteAfterDamage(t *testing.T) {
	signer := sshsig.NewSigner("")
	evidence, _ := chain(t, 1, signer)
	evidence = copied(t, evidence)
	first := filepath.Join(evidence, (&run{no: 1}).id())
	if err := os.WriteFile(filepath.Join(first, drills.ReportFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	second := newRun()
	second.no = 2
	dir := second.write(t, evidence)
	if err := Write(dir, judged(t, dir), signer); err != nil {
		t.Fatal(err)
	}
	v := expectFailure(t, dir, trusting(signer), checkRuns)
	if text := fmt.Sprint(v.Checks); !strings.Contains(text, "cannot be read") {
		t.Error(text)
	}
}

// TestVerifyReviewAnywhere shows that a review counts whatever the directory is called.
func TestVerifyReviewAnywhere(t *testing.T) {
	signer := sshsig.NewSigner("")
	_, last := chain(t, 1, signer)
	dir := filepath.Join(t.TempDir(), "evidence[1]", filepath.Base(last))
	if err := os.CopyFS(dir, os.DirFS(last)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "manifest.json.sig"), sshsig.NewSigner("").Sign(Namespace, []byte("x")), 0o600); err != nil {
		t.Fatal(err)
	}
	expectFailure(t, dir, trusting(signer), checkReviews)
}

func TestVerifyReview(t *testing.T) {
	signer, reviewer := sshsig.NewSigner(""), sshsig.NewSigner("")
	_, dir := chain(t, 1, signer)
	manifest, err := os.ReadFile(filepath.Join(dir, ManifestFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "manifest.json.sig"), reviewer.Sign(Namespace, manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	v, err := Verify(dir, trusting(signer).Trust("audit", reviewer.Public(), Namespace))
	if err != nil {
		t.Fatal(err)
	}
	if c := v.Checks[2]; c.Name != checkReviews || c.Detail != "signed by audit" {
		t.Errorf("review is not reported: %+v", c)
	}
}

// TestVerifyRuns takes runs away, doubles and changes them: the population is never complete again.
func TestVerifyRuns(t *testing.T) {
	signer := sshsig.NewSigner("")
	original, last := chain(t, 3, signer)
	path := func(evidence string, no int) string { return filepath.Join(evidence, (&run{no: no}).id()) }
	for name, c := range map[string]struct {
		do   func(evidence string) error
		want string
	}{
		"gap":        {func(e string) error { return os.RemoveAll(path(e, 2)) }, "run 2 is missing"},
		"first gone": {func(e string) error { return os.RemoveAll(path(e, 1)) }, "run 1 is missing"},
		"report of a run gone": {func(e string) error { return os.Remove(filepath.Join(path(e, 2), drills.ReportFile)) },
			"the report of run 2 is missing"},
		"duplicate": {func(e string) error {
			return os.CopyFS(strings.TrimSuffix(path(e, 2), "0002")+"ffff", os.DirFS(path(e, 2)))
		}, "run 2 is there twice"},
		"report of a run changed": {func(e string) error {
			return os.WriteFile(filepath.Join(path(e, 2), drills.ReportFile), []byte(`{"run_no": 2}`), 0o600)
		}, "follows report"},
	} {
		t.Run(name, func(t *testing.T) {
			evidence := copied(t, original)
			dir := filepath.Join(evidence, filepath.Base(last))
			if err := c.do(evidence); err != nil {
				t.Fatal(err)
			}
			v := expectFailure(t, dir, trusting(signer), checkRuns)
			text, _ := json.Marshal(v.Checks)
			if !strings.Contains(string(text), c.want) {
				t.Errorf("%s is not in %s", c.want, text)
			}
		})
	}
}
