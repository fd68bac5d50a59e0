package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"gwdr/internal/sshsig"
)

// AttestNamespace is the namespace of the signatures of attestations.
const AttestNamespace = "gwdr-attest-v1"

const (
	attestSchema = "gwdr/attest/v1"
	attestStamp  = "20060102T150405.000Z"
	maxAttest    = 4 << 20 // bytes of an attestation's object
)

// Results of an Attestation, and of a location in it.
const (
	ResultPass = "pass"
	ResultFail = "fail"
)

// Attestation is a signed record of a verification, or of the rehearsal of a restore: the content of attest.json. It shows no more than names that the
// configuration gives to locations.
type Attestation struct {
	Schema     string             `json:"schema"` // gwdr/attest/v1
	Lineage    string             `json:"lineage"`
	Point      string             `json:"point"`        // Found.Name of the newest point that was verified
	PointSum   string             `json:"point_sha256"` // of its point.json
	Scope      string             `json:"scope"`        // newest, all, sample; rehearsal
	Sample     *SampleResult      `json:"sample,omitempty"`
	Rehearsal  *Rehearsal         `json:"rehearsal,omitempty"` // of that scope only
	Points     int                `json:"points"`              // read in full
	Decrypted  int                `json:"decrypted"`           // of them
	Opened     int                `json:"opened"`              // packs and segments that were decrypted
	Identities []string           `json:"identities"`          // recipients of the identities that were at hand
	Locations  []AttestedLocation `json:"locations"`
	Lost       int                `json:"lost"`
	Sealed     int                `json:"sealed"`
	Healed     int                `json:"healed"`
	Started    time.Time          `json:"started"`
	Ended      time.Time          `json:"ended"`  // UTC, to the millisecond; part of the object's name
	Result     string             `json:"result"` // pass: nothing is wrong anywhere; fail
	Tool       string             `json:"tool"`
	Signer     string             `json:"signer"` // fingerprint of the key
}

// AttestedLocation is what an Attestation says of one location.
type AttestedLocation struct {
	Name     string `json:"name"`
	Points   int    `json:"points"`
	Objects  int    `json:"objects"` // read
	Bytes    int64  `json:"bytes"`
	Problems int    `json:"problems"`
	Result   string `json:"result"` // pass: no problem; fail
}

// Passed reports whether the location passed; ok is false if the attestation does not speak of it, as that of a rehearsal never
// does: it read what it needed, from whichever location had it.
func (a Attestation) Passed(location string) (passed, ok bool) {
	if a.Scope == ScopeRehearsal {
		return false, false
	}
	for _, l := range a.Locations {
		if l.Name == location {
			return l.Result == ResultPass, true
		}
	}
	return false, false
}

// ErrAttest is wrapped when the signing key cannot attest.
var ErrAttest = errors.New("cannot attest")

// CanAttest says why the keys do not do for an attestation that others believe.
func CanAttest(keys Keys) error {
	if keys.Signer == nil {
		return fmt.Errorf("%w: there is no signing key", ErrAttest)
	}
	probe := []byte("probe")
	if _, err := keys.Trusted.Verify(AttestNamespace, probe, keys.Signer.Sign(AttestNamespace, probe)); err != nil {
		return fmt.Errorf("%w: the trusted signers do not let the signing key: %w", ErrAttest, err)
	}
	return nil
}

// attestName is the name of an attestation's object within its lineage.
func attestName(a Attestation) string {
	return attestDir + strings.TrimPrefix(a.Point, pointsDir) + "-" + a.Ended.UTC().Format(attestStamp) + ".tar"
}

func signAttest(a Attestation, signer *sshsig.Signer) []byte {
	content := indentedJSON(a)
	return packTar(file{"attest.json", content}, file{"attest.json.sig", signer.Sign(AttestNamespace, content)})
}

// readAttest checks an attestation's object, found under the name.
func readAttest(object []byte, lineage, name string, trusted sshsig.Trusted) (Attestation, error) {
	contents, err := unpackTar(object, "attest.json", "attest.json.sig")
	if err != nil {
		return Attestation{}, err
	}
	if _, err := trusted.AtAnyTime().Verify(AttestNamespace, contents[0], contents[1]); err != nil { // before anything is read
		return Attestation{}, err
	}
	var a Attestation
	if err := json.Unmarshal(contents[0], &a); err != nil {
		return Attestation{}, fmt.Errorf("read attest.json: %w", err)
	}
	if _, err := trusted.At(a.Ended).Verify(AttestNamespace, contents[0], contents[1]); err != nil {
		return Attestation{}, err
	}
	if a.Schema != attestSchema {
		return Attestation{}, fmt.Errorf("attestation has the schema %q, not %s", a.Schema, attestSchema)
	}
	if a.Lineage != lineage || attestName(a) != name {
		return Attestation{}, errors.New("attestation is stored under the name of another")
	}
	return a, nil
}
