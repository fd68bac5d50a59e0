package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gwdr/drills"
	"gwdr/internal/journal"
	"gwdr/probes/calibration"
)

func (v *verifier) path(name string) string { return filepath.Join(v.dir, name) }

// readReport reads what was reported into the result.
func (v *verifier) readReport(result any) {
	var data []byte
	if data, v.reported = os.ReadFile(v.path(drills.ReportFile)); v.reported != nil {
		return
	}
	v.out.ReportSHA256 = hashOf(data)
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields() // a field that nobody judges could say anything
	if v.reported = dec.Decode(result); v.reported == nil && dec.More() {
		v.reported = errors.New("more than one value")
	}
}

// files hashes again what the manifest lists.
func (v *verifier) files() (string, error) {
	if err := readJSON(v.path(ManifestFile), &v.manifest); errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no %s", ManifestFile)
	} else if err != nil {
		return "", err
	}
	have, err := hashFiles(v.dir, outside)
	if err != nil {
		return "", err
	}
	problems := append(v.forgedManifest(), v.foreignManifest()...)
	for _, f := range v.manifest.Files {
		i := slices.IndexFunc(have, func(h File) bool { return h.Name == f.Name })
		switch {
		case i < 0:
			problems = append(problems, f.Name+" is missing")
		case have[i].SHA256 != f.SHA256:
			problems = append(problems, fmt.Sprintf("%s has sha256 %s, the manifest says %s", f.Name, short(have[i].SHA256), short(f.SHA256)))
		}
	}
	names := map[string]bool{drills.ReportFile: true}
	for _, f := range have {
		names[f.Name] = true
	}
	for _, f := range v.manifest.Files {
		delete(names, f.Name)
	}
	if unlisted := slices.Sorted(maps.Keys(names)); len(unlisted) > 0 {
		problems = append(problems, "not in the manifest: "+strings.Join(unlisted, " "))
	}
	return counted(len(v.manifest.Files), "file") + " as in the manifest", problemsError(problems)
}

// forgedManifest says so if a trusted key signed another manifest: what the files are compared with means nothing then.
func (v *verifier) forgedManifest() []string {
	s, _, _, err := unseal(v.dir, v.trusted)
	if err != nil {
		return nil // the check of the signature says why
	}
	manifest, err := hashFile(v.dir, ManifestFile)
	if err == nil && !slices.ContainsFunc(s.Subject, func(r resource) bool { return r.Name == ManifestFile && r.Digest["sha256"] == manifest.SHA256 }) {
		return []string{ManifestFile + " itself was changed: it is not the one that was signed"}
	}
	return nil
}

// foreignManifest says so if the manifest is of another run than the report.
func (v *verifier) foreignManifest() []string {
	if v.reported != nil || v.manifest.Run == v.out.Run && v.manifest.RunNo == v.out.RunNo {
		return nil
	}
	return []string{fmt.Sprintf("%s is of run %d, %q, and the report of run %d, %q", ManifestFile, v.manifest.RunNo, v.manifest.Run,
		v.out.RunNo, v.out.Run)}
}

func problemsError(problems []string) error {
	if len(problems) == 0 {
		return nil
	}
	return errors.New(strings.Join(problems, ", "))
}

// signature checks who signed, and that the statement is about this run's files and says what the report says.
func (v *verifier) signature() (string, error) {
	s, principal, keyID, err := unseal(v.dir, v.trusted)
	if err != nil {
		return "", err
	}
	v.out.SignedBy, v.out.KeyID = principal, keyID
	manifest, err := os.ReadFile(v.path(ManifestFile))
	if err != nil {
		return "", err
	}
	want, err := marshal(newStatement(v.claim, v.manifest, hashOf(manifest)))
	if err != nil {
		return "", err
	}
	got, err := marshal(s)
	if err != nil {
		return "", err
	}
	if forged := v.forgedManifest(); len(forged) > 0 {
		return "", errors.New(forged[0])
	}
	if string(want) != string(got) {
		return "", errors.New("what was signed is not this manifest and this verdict")
	}
	return fmt.Sprintf("of %s, key %s", principal, keyID), nil
}

// reviews lists the co-signatures of the manifest.
func (v *verifier) reviews() []string {
	names, _ := fs.Glob(os.DirFS(v.dir), "*.sig") // the pattern is well-formed
	return names
}

func (v *verifier) reviewed(reviews []string) (string, error) {
	manifest, err := os.ReadFile(v.path(ManifestFile))
	if err != nil {
		return "", err
	}
	var by []string
	for _, name := range reviews {
		signature, err := os.ReadFile(v.path(name))
		if err != nil {
			return "", err
		}
		principal, err := v.trusted.AtAnyTime().Verify(Namespace, manifest, signature) // which does not say when it was made
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		if principal == v.out.SignedBy {
			principal += " (who also signed the run: no second pair of eyes)"
		}
		by = append(by, principal)
	}
	return "signed by " + strings.Join(by, ", "), nil
}

func (v *verifier) journal() (string, error) {
	f, err := os.Open(v.path(drills.JournalFile))
	if err != nil {
		return "", err
	}
	defer f.Close()
	summary, err := journal.Verify(f)
	if err != nil {
		return "", err
	}
	detail := fmt.Sprintf("%d entries, the last is %s", summary.Entries, short(summary.Head))
	if summary.Torn > 0 {
		detail += fmt.Sprintf(", %d bytes of an unfinished one", summary.Torn)
	}
	return detail, nil
}

// plan checks that the hash of the plan was on record before anything was injected.
func (v *verifier) plan() (string, error) {
	plan, err := hashFile(v.dir, drills.PlanFile)
	if err != nil {
		return "", err
	}
	entries, err := readJournal(v.path(drills.JournalFile))
	if err != nil && !isTorn(err) {
		return "", err
	}
	i := slices.IndexFunc(entries, func(e journal.Entry) bool { return e.Type == "plan" || strings.HasPrefix(e.Type, "fault-") })
	switch {
	case i < 0:
		return "nothing was injected", nil
	case entries[i].Type != "plan":
		return "", errors.New("a fault was injected before the plan was on record")
	case !strings.Contains(string(entries[i].Data), plan.SHA256):
		return "", fmt.Errorf("%s has sha256 %s, the journal has another", drills.PlanFile, short(plan.SHA256))
	case v.reported == nil && v.result.PlanSHA256 != plan.SHA256:
		return "", fmt.Errorf("%s has sha256 %s, the report says %s", drills.PlanFile, short(plan.SHA256), short(v.result.PlanSHA256))
	}
	return fmt.Sprintf("%s, on record %s after the start", short(plan.SHA256), human(entries[i].OffsetS)), nil
}

// calibrated checks the calibration itself, that it was on record when the drill began, and that it was made before.
func (v *verifier) calibrated() (string, error) {
	file, err := os.ReadFile(v.path(drills.CalibrationFile))
	if err != nil {
		return "", err
	}
	d, err := calibration.Parse(file)
	if err != nil {
		return "", err
	}
	entries, err := readJournal(v.path(drills.JournalFile))
	if err != nil && !isTorn(err) {
		return "", err
	}
	switch {
	case len(entries) == 0 || !strings.Contains(string(entries[0].Data), hashOf(file)):
		return "", fmt.Errorf("%s is not the one that was on record when the drill began", drills.CalibrationFile)
	case d.Ended.After(entries[0].At):
		return "", fmt.Errorf("%s is of %s, after the drill began", drills.CalibrationFile, utc(d.Ended))
	}
	return fmt.Sprintf("on record at the start, its table follows from its %s; %s", counted(len(d.Trials), "measurement"), d.Verdict), nil
}

func isTorn(err error) bool {
	torn := (*journal.TornError)(nil)
	return errors.As(err, &torn)
}

func (v *verifier) runs() (string, error) {
	all, err := population(filepath.Dir(v.dir))
	if err != nil {
		return "", err
	}
	if !slices.ContainsFunc(all, func(c chained) bool { return c.Run.Dir == v.dir }) {
		if all, err = withCopy(all, v.dir); err != nil {
			return "", err
		}
	}
	return counted(len(all), "run") + " without a gap, each naming the one before", problemsError(checkChain(all))
}

// recompute judges the evidence again and compares every field.
func (v *verifier) recompute() (string, error) {
	facts, scenario, err := drills.ReadFacts(v.dir)
	if err != nil {
		return "", err
	}
	again := drills.Judge(scenario, facts)
	v.out.Recomputed = again.Verdict
	if errors.Is(v.reported, fs.ErrNotExist) {
		return "", fmt.Errorf("there is no report; the evidence gives %s: %s", again.Verdict, again.Reason)
	}
	if err := v.same(v.result, again); err != nil {
		return "", err
	}
	return fmt.Sprintf("from %s and %s: equal in every field, verdict %s", counted(len(facts.Samples), "attempt"),
		counted(len(facts.Ledger), "line")+" of the ledger", again.Verdict), nil
}

// same compares what was reported with what the evidence gives, field by field.
func (v *verifier) same(reported, again any) error {
	if v.reported != nil {
		return fmt.Errorf("read %s: %w", drills.ReportFile, v.reported)
	}
	document, err := marshal(again)
	if err != nil {
		return err
	}
	said, err := marshal(reported)
	if err != nil {
		return err
	}
	if v.out.Differences, err = compare(said, document); err != nil {
		return err
	}
	if len(v.out.Differences) > 0 {
		return fmt.Errorf("%s; %s", counted(len(v.out.Differences), "difference"), v.out.Differences[0])
	}
	return nil
}
