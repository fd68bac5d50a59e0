package report

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"gwdr/drills"
	"gwdr/internal/sshsig"
)

// Namespace is what a key must be trusted for to sign reports, in allowed_signers and for `ssh-keygen -Y sign -n`.
const Namespace = "gwdr-report"

// The types of in-toto and DSSE that an attestation is made of.
const (
	payloadType   = "application/vnd.in-toto+json"
	statementType = "https://in-toto.io/Statement/v1"
	predicateType = "https://in-toto.io/attestation/test-result/v0.1"
)

// envelope is a DSSE envelope (https://github.com/secure-systems-lab/dsse).
type envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     string      `json:"payload"` // base64
	Signatures  []signature `json:"signatures"`
}

type signature struct {
	KeyID string `json:"keyid"` // fingerprint, as ssh-keygen -l prints it
	Sig   string `json:"sig"`   // base64 of a plain ed25519 signature
}

// statement is an in-toto Statement v1 about the files of a run.
type statement struct {
	Type          string     `json:"_type"`
	Subject       []resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     testResult `json:"predicate"`
}

type resource struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// testResult is the predicate test-result v0.1. Tests are objectives.
type testResult struct {
	Result        string     `json:"result"` // PASSED, WARNED or FAILED
	Configuration []resource `json:"configuration"`
	PassedTests   []string   `json:"passedTests"`
	WarnedTests   []string   `json:"warnedTests"`
	FailedTests   []string   `json:"failedTests"`
}

func resourceOf(name, hash string) resource {
	return resource{Name: name, Digest: map[string]string{"sha256": hash}}
}

// claim is what a statement says of a run, or of a watch.
type claim struct {
	outcome       string
	configuration resource
	objectives    []drills.ObjectiveResult
}

func claimOf(r *drills.Result) claim {
	return claim{outcome(r.Verdict, r.Clean), resourceOf(drills.PlanFile, r.PlanSHA256), r.Objectives}
}

// newStatement says what came out of that whose manifest has the given hash.
func newStatement(c claim, m Manifest, manifestHash string) statement {
	s := statement{Type: statementType, PredicateType: predicateType, Subject: []resource{resourceOf(drills.ManifestFile, manifestHash)}}
	for _, f := range m.Files {
		s.Subject = append(s.Subject, resourceOf(f.Name, f.SHA256))
	}
	s.Predicate = testResult{
		Result:        c.outcome,
		Configuration: []resource{c.configuration},
		PassedTests:   []string{}, WarnedTests: []string{}, FailedTests: []string{},
	}
	for _, o := range c.objectives {
		switch p := &s.Predicate; outcome(o.Verdict, true) {
		case "PASSED":
			p.PassedTests = append(p.PassedTests, o.ID)
		case "WARNED":
			p.WarnedTests = append(p.WarnedTests, o.ID)
		default:
			p.FailedTests = append(p.FailedTests, o.ID)
		}
	}
	return s
}

// outcome maps a verdict to the words of the predicate. Only what was proven has PASSED.
func outcome(v drills.Verdict, clean bool) string {
	switch {
	case v == drills.Pass && clean:
		return "PASSED"
	case v == drills.Inconclusive && clean:
		return "WARNED"
	}
	return "FAILED"
}

// seal signs the statement into an envelope.
func seal(s statement, signer *sshsig.Signer) ([]byte, error) {
	payload, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("sign report: %w", err)
	}
	return marshal(envelope{
		PayloadType: payloadType,
		Payload:     base64.StdEncoding.EncodeToString(payload),
		Signatures: []signature{{
			KeyID: signer.Public().Fingerprint(),
			Sig:   base64.StdEncoding.EncodeToString(signer.SignBare(pae(payloadType, payload))),
		}},
	})
}

// pae is DSSE's pre-authentication encoding: what is signed.
func pae(kind string, payload []byte) []byte {
	head := "DSSEv1 " + strconv.Itoa(len(kind)) + " " + kind + " " + strconv.Itoa(len(payload)) + " "
	return append([]byte(head), payload...)
}

// errUnsigned says that a run has no attestation.
var errUnsigned = errors.New("the run is not signed")

// unseal reads the attestation in dir and returns what was signed, and by whom. One signature of a trusted key suffices.
func unseal(dir string, trusted sshsig.Trusted) (s statement, principal, keyID string, err error) {
	var e envelope
	if err := readJSON(filepath.Join(dir, AttestationFile), &e); errors.Is(err, os.ErrNotExist) {
		return s, "", "", errUnsigned
	} else if err != nil {
		return s, "", "", err
	}
	if e.PayloadType != payloadType {
		return s, "", "", fmt.Errorf("attestation is of type %q", e.PayloadType)
	}
	payload, err := base64.StdEncoding.Strict().DecodeString(e.Payload)
	if err != nil {
		return s, "", "", fmt.Errorf("read attestation: %w", err)
	}
	if principal, keyID, err = verifySignatures(e, payload, trusted); err != nil {
		return s, "", keyID, err
	}
	if err := json.Unmarshal(payload, &s); err != nil {
		return s, "", "", fmt.Errorf("read attestation: %w", err)
	}
	if s.Type != statementType || s.PredicateType != predicateType {
		return s, "", "", fmt.Errorf("attestation states %q about %q", s.Type, s.PredicateType)
	}
	return s, principal, keyID, nil
}

// SignedBy returns the holder of the trusted key that signed the evidence in dir. It checks nothing else: see Verify.
func SignedBy(dir string, trusted sshsig.Trusted) (principal string, err error) {
	_, principal, _, err = unseal(dir, trusted)
	return principal, err
}

func verifySignatures(e envelope, payload []byte, trusted sshsig.Trusted) (principal, keyID string, err error) {
	errs := []error{}
	for _, s := range e.Signatures {
		raw, err := base64.StdEncoding.Strict().DecodeString(s.Sig)
		if err == nil {
			principal, err = trusted.VerifyBare(Namespace, s.KeyID, pae(e.PayloadType, payload), raw)
		}
		if err == nil {
			return principal, s.KeyID, nil
		}
		errs = append(errs, err)
		keyID = s.KeyID
	}
	if len(errs) == 0 {
		return "", "", errUnsigned
	}
	return "", keyID, errors.Join(errs...)
}
