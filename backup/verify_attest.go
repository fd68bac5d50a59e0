package backup

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"filippo.io/age"
)

// AttestResult is what became of an attestation.
type AttestResult struct {
	Object    string   `json:"object"` // full name, the same at every location
	Result    string   `json:"result"`
	Signer    string   `json:"signer"`
	Locations []string `json:"locations"` // that took it
}

// attest signs what was found, and puts it to every copy that answers.
func (r *verifying) attest(ctx context.Context) error {
	if !r.Attest {
		return nil
	}
	if r.v.Known == 0 {
		return nil // there is nothing to attest, which is said already
	}
	a := r.attestation()
	var copies []Copy
	for i, c := range r.copies {
		if r.down[i] == nil {
			copies = append(copies, c)
		}
	}
	attested, problems := putAttest(ctx, copies, a, r.keys, r.Patience)
	r.v.Attested = attested
	for _, p := range problems {
		i := slices.IndexFunc(r.v.Locations, func(l LocationVerification) bool { return l.Name == p.Copy })
		r.v.Locations[i].Problems = append(r.v.Locations[i].Problems, p)
	}
	return nil
}

// putAttest signs the attestation and puts it to every copy; a problem says which did not take it.
func putAttest(ctx context.Context, copies []Copy, a Attestation, keys Keys, within time.Duration) (*AttestResult, []Problem) {
	object, name := signAttest(a, keys.Signer), lineageRoot(a.Lineage)+attestName(a)
	result := &AttestResult{Object: name, Result: a.Result, Signer: a.Signer, Locations: []string{}}
	var problems []Problem
	for _, answer := range onEach(ctx, copies, within, func(ctx context.Context, c Copy) (struct{}, error) {
		return struct{}{}, c.Location.Put(ctx, name, bytes.NewReader(object), int64(len(object)))
	}) {
		if answer.err != nil {
			problems = append(problems, newProblem(answer.copy, name, fmt.Errorf("put attestation: %w", answer.err)))
			continue
		}
		result.Locations = append(result.Locations, answer.copy.Name)
	}
	return result, problems
}

// attested returns the newest point of the log that most copies have; if all are another writer's, the newest.
func (r *verifying) attested() Found {
	for i := range r.scope {
		if !r.strays(&r.scope[i]) {
			return r.scope[i]
		}
	}
	return r.scope[0]
}

func (r *verifying) attestation() Attestation {
	v, newest := r.v, r.attested()
	a := Attestation{
		Schema: attestSchema, Lineage: newest.Lineage, Point: newest.Name, PointSum: newest.SHA256, Scope: v.Scope, Sample: v.Sample,
		Points: v.Points, Decrypted: v.Decrypted, Opened: v.Opened, Identities: recipientsAtHand(r.keys.Identities),
		Lost: len(v.Lost), Sealed: len(v.Sealed), Started: v.Started, Ended: time.Now().UTC().Truncate(time.Millisecond),
		Result: result(v.Sound()), Tool: r.Tool, Signer: r.keys.Signer.Public().Fingerprint(),
	}
	for _, repair := range v.Repairs {
		a.Healed += boolToInt(repair.Healed)
	}
	for _, l := range v.Locations {
		a.Locations = append(a.Locations, AttestedLocation{Name: l.Name, Points: l.Points, Objects: l.Objects, Bytes: l.Bytes,
			Problems: len(l.Problems), Result: result(len(l.Problems) == 0)})
	}
	return a
}

func result(pass bool) string {
	if pass {
		return ResultPass
	}
	return ResultFail
}

// recipientsAtHand returns the public side of the identities, as far as they show it.
func recipientsAtHand(identities []age.Identity) []string {
	recipients := []string{}
	for _, identity := range identities {
		if x, ok := identity.(*age.X25519Identity); ok {
			recipients = append(recipients, x.Recipient().String())
		}
	}
	return recipients
}
