package report

import (
	"os"
	"path/filepath"
	"testing"

	"gwdr/internal/sshsig"
)

// FuzzAttestation gives foreign bytes as an attestation: none may be taken for signed.
func FuzzAttestation(f *testing.F) {
	signer := sshsig.NewSigner("")
	valid, err := seal(statement{Type: statementType, PredicateType: predicateType}, sshsig.NewSigner(""))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(valid)
	f.Add([]byte(`{"payloadType":"application/vnd.in-toto+json","payload":"e30=","signatures":[{"keyid":"","sig":""}]}`))
	f.Add([]byte(`{"signatures":null}`))
	f.Fuzz(func(t *testing.T, attestation []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, AttestationFile), attestation, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, principal, _, err := unseal(dir, trusting(signer)); err == nil {
			t.Errorf("signed by %q", principal)
		}
	})
}

// FuzzCompare gives foreign bytes as a report: it is equal to itself, and differs from another in both directions.
func FuzzCompare(f *testing.F) {
	f.Add([]byte(`{"a":[1,{"b":null}],"c":{}}`), []byte(`{"a":[1.5,{"b":"x"}],"c":[]}`))
	f.Add([]byte(`1e999`), []byte(`-0`))
	f.Add([]byte(`{"":{"":1}}`), []byte(`{"a.b":1}{}`))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if same, err := compare(a, a); err == nil && len(same) > 0 {
			t.Errorf("differs from itself: %v", same)
		}
		there, err := compare(a, b)
		back, errBack := compare(b, a)
		if (err == nil) != (errBack == nil) || len(there) != len(back) {
			t.Errorf("%v %v, but the other way round %v %v", there, err, back, errBack)
		}
	})
}
