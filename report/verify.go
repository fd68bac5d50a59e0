package report

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gwdr/drills"
	"gwdr/internal/journal"
	"gwdr/internal/sshsig"
)

// VerificationSchema heads the JSON of a Verification.
const VerificationSchema = "gwdr/verification/v1"

// ErrIntegrity is wrapped by the error of Verify when a check failed: the evidence is not what was signed, or does not
// give what was reported.
var ErrIntegrity = errors.New("the evidence does not hold")

// Verification is what Verify found.
type Verification struct {
	Schema       string         `json:"schema"`
	Run          string         `json:"run"`
	RunNo        int            `json:"run_no"`
	Evidence     string         `json:"evidence"`
	Verified     bool           `json:"verified"`   // every check is ok
	Reported     drills.Verdict `json:"reported"`   // verdict in the report
	Recomputed   drills.Verdict `json:"recomputed"` // verdict that the evidence gives
	ReportSHA256 string         `json:"report_sha256"`
	SignedBy     string         `json:"signed_by,omitempty"` // holder of the trusted key
	KeyID        string         `json:"keyid,omitempty"`     // its fingerprint
	Checks       []Check        `json:"checks"`
	Differences  []Difference   `json:"differences"`
}

// Check is one thing that was verified. Detail says what was found.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// The names of the checks, in their order.
const (
	checkFiles      = "files"      // are those of the manifest
	checkSignature  = "signature"  // is of a trusted key, and states what the report says
	checkReviews    = "reviews"    // co-signatures are of trusted keys; only if there are any
	checkJournal    = "journal"    // is an unbroken chain
	checkPlan       = "plan"       // was fixed before the first injection
	checkRuns       = "runs"       // are numbered without a gap, each naming the one before
	checkRecomputed = "recomputed" // everything that the report says follows from the evidence
)

// Verify checks the evidence of the run in dir against itself and against its signature, and computes the report again.
// The other runs in the directory above are part of it: none may be missing. Trusted holds the keys that may sign, for
// Namespace. The error wraps ErrIntegrity if a check failed, and then says which; any other error says that dir is no
// evidence that could be read.
func Verify(dir string, trusted sshsig.Trusted) (*Verification, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("verify report: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, drills.JournalFile)); err != nil {
		return nil, fmt.Errorf("verify report: not the evidence of a run: %w", err)
	}
	v := &verifier{dir: dir, trusted: trusted}
	v.out = &Verification{Schema: VerificationSchema, Run: filepath.Base(dir), Evidence: dir, Checks: []Check{}, Differences: []Difference{}}
	v.readReport()
	v.check(checkFiles, v.files)
	v.check(checkSignature, v.signature)
	if reviews := v.reviews(); len(reviews) > 0 {
		v.check(checkReviews, func() (string, error) { return v.reviewed(reviews) })
	}
	v.check(checkJournal, v.journal)
	v.check(checkPlan, v.plan)
	v.check(checkRuns, v.runs)
	v.check(checkRecomputed, v.recompute)
	return v.out, v.out.err()
}

// err returns nil if every check is ok.
func (v *Verification) err() error {
	var failed []string
	for _, c := range v.Checks {
		if !c.OK {
			failed = append(failed, c.Name+": "+c.Detail)
		}
	}
	v.Verified = len(failed) == 0
	if v.Verified {
		return nil
	}
	return fmt.Errorf("verify report of %s: %w: %s", v.Run, ErrIntegrity, strings.Join(failed, "; "))
}

// verifier is a verification in progress.
type verifier struct {
	dir      string
	trusted  sshsig.Trusted
	report   []byte // report.json
	result   drills.Result
	reported error // why report.json could not be read
	manifest Manifest
	out      *Verification
}

func (v *verifier) check(name string, do func() (string, error)) {
	detail, err := do()
	if err != nil {
		detail = err.Error()
	}
	v.out.Checks = append(v.out.Checks, Check{Name: name, OK: err == nil, Detail: oneLine(detail)})
}

func (v *verifier) path(name string) string { return filepath.Join(v.dir, name) }

func (v *verifier) readReport() {
	v.report, v.reported = os.ReadFile(v.path(drills.ReportFile))
	if v.reported != nil {
		return
	}
	v.out.ReportSHA256 = hashOf(v.report)
	v.reported = readJSON(v.path(drills.ReportFile), &v.result)
	v.out.RunNo, v.out.Reported = v.result.RunNo, v.result.Verdict
}

// files hashes again what the manifest lists.
func (v *verifier) files() (string, error) {
	if err := readJSON(v.path(ManifestFile), &v.manifest); err != nil {
		return "", err
	}
	have, err := hashFiles(v.dir, outside)
	if err != nil {
		return "", err
	}
	var problems []string
	for _, f := range v.manifest.Files {
		i := slices.IndexFunc(have, func(h File) bool { return h.Name == f.Name })
		switch {
		case i < 0:
			problems = append(problems, f.Name+" is missing")
		case have[i].SHA256 != f.SHA256:
			problems = append(problems, fmt.Sprintf("%s has sha256 %s, the manifest says %s", f.Name, short(have[i].SHA256), short(f.SHA256)))
		}
	}
	for _, f := range have {
		if !slices.ContainsFunc(v.manifest.Files, func(m File) bool { return m.Name == f.Name }) {
			problems = append(problems, f.Name+" is not in the manifest")
		}
	}
	if !slices.ContainsFunc(v.manifest.Files, func(m File) bool { return m.Name == drills.ReportFile }) {
		problems = append(problems, drills.ReportFile+" is not in the manifest")
	}
	return counted(len(v.manifest.Files), "file") + " as in the manifest", problemsError(problems)
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
	want, err := marshal(newStatement(&v.result, v.manifest, hashOf(manifest)))
	if err != nil {
		return "", err
	}
	got, err := marshal(s)
	if err != nil {
		return "", err
	}
	if string(want) != string(got) {
		return "", errors.New("what was signed is not this manifest and this verdict")
	}
	return fmt.Sprintf("of %s, key %s", principal, keyID), nil
}

// reviews lists the co-signatures of the manifest.
func (v *verifier) reviews() []string {
	names, _ := filepath.Glob(v.path("*.sig")) // the pattern is well-formed
	return names
}

func (v *verifier) reviewed(reviews []string) (string, error) {
	manifest, err := os.ReadFile(v.path(ManifestFile))
	if err != nil {
		return "", err
	}
	var by []string
	for _, path := range reviews {
		signature, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		principal, err := v.trusted.Verify(Namespace, manifest, signature)
		if err != nil {
			return "", fmt.Errorf("%s: %w", filepath.Base(path), err)
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
	case v.result.PlanSHA256 != plan.SHA256:
		return "", fmt.Errorf("%s has sha256 %s, the report says %s", drills.PlanFile, short(plan.SHA256), short(v.result.PlanSHA256))
	}
	return fmt.Sprintf("%s, on record %s after the start", short(plan.SHA256), human(entries[i].OffsetS)), nil
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
	if !slices.ContainsFunc(all, func(c chained) bool { return c.Run.ID == filepath.Base(v.dir) }) {
		return "", fmt.Errorf("%s is not named as a run", filepath.Base(v.dir))
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
	} else if v.reported != nil {
		return "", v.reported
	}
	document, err := marshal(again)
	if err != nil {
		return "", err
	}
	if v.out.Differences, err = compare(v.report, document); err != nil {
		return "", err
	}
	if len(v.out.Differences) > 0 {
		return "", fmt.Errorf("%s; %s", counted(len(v.out.Differences), "difference"), v.out.Differences[0])
	}
	return fmt.Sprintf("from %s and %s: equal in every field, verdict %s", counted(len(facts.Samples), "attempt"),
		counted(len(facts.Ledger), "line")+" of the ledger", again.Verdict), nil
}
