package report

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gwdr/drills"
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
	Incomplete   bool           `json:"incomplete"` // no report was written: the drill was killed, or goes on
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
	checkCalibrated = "calibrated" // the calibration that is quoted was there at the start, and does not contradict itself
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
		if _, noManifest := os.Stat(filepath.Join(dir, ManifestFile)); noManifest != nil {
			return nil, fmt.Errorf("verify report: not the evidence of a run: %w", err)
		} // else somebody took the journal away
	}
	v := newVerifier(dir, trusted)
	if drills.IsWatch(dir) {
		return v.out, v.watch()
	}
	v.readReport(&v.result)
	v.identify(v.result.ID, v.result.RunNo)
	v.out.Reported, v.claim = v.result.Verdict, claimOf(&v.result)
	v.trusted = trusted.At(v.result.Ended) // so that a run stays verifiable when its key is replaced
	v.checkRecord()
	v.check(checkPlan, v.plan)
	if _, err := os.Stat(v.path(drills.CalibrationFile)); err == nil {
		v.check(checkCalibrated, v.calibrated)
	}
	v.check(checkRuns, v.runs)
	v.check(checkRecomputed, v.recompute)
	return v.out, v.out.err()
}

// checkRecord checks what a run and a watch have in common: files, signatures and journal.
func (v *verifier) checkRecord() {
	_, noManifest := os.Stat(v.path(ManifestFile))
	v.out.Incomplete = errors.Is(v.reported, fs.ErrNotExist) && errors.Is(noManifest, fs.ErrNotExist)
	v.check(checkFiles, v.files)
	v.check(checkSignature, v.signature)
	if reviews := v.reviews(); len(reviews) > 0 {
		v.check(checkReviews, func() (string, error) { return v.reviewed(reviews) })
	}
	v.check(checkJournal, v.journal)
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
	result   drills.Result
	claim    claim // what the report says, as it would be signed
	reported error // why report.json could not be read
	manifest Manifest
	out      *Verification
}

func newVerifier(dir string, trusted sshsig.Trusted) *verifier {
	return &verifier{dir: dir, trusted: trusted, out: &Verification{
		Schema: VerificationSchema, Run: filepath.Base(dir), Evidence: dir, Checks: []Check{}, Differences: []Difference{}}}
}

// identify takes the id and the number from the report: a copy of the evidence may be in a folder of any name.
func (v *verifier) identify(id string, no int) {
	v.out.Run, v.out.RunNo = cmp.Or(id, v.out.Run), no
}

func (v *verifier) check(name string, do func() (string, error)) {
	detail, err := do()
	if err != nil {
		detail = err.Error()
	}
	v.out.Checks = append(v.out.Checks, Check{Name: name, OK: err == nil, Detail: oneLine(detail)})
}
