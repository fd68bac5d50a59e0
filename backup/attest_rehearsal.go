package backup

import (
	"cmp"
	"context"
	"errors"
	"time"

	"gwdr/internal/sshsig"
)

// ScopeRehearsal is the Attestation.Scope of the rehearsal of a restore, which says nothing of single locations.
const ScopeRehearsal = "rehearsal"

// Rehearsal is what an Attestation says of a rehearsal: a restore into a gateway that was started for it and thrown away.
type Rehearsal struct {
	Revision int64            `json:"revision"`            // of the state that was restored
	Time     time.Time        `json:"recovery_point_time"` // UTC, of that
	Only     []string         `json:"only,omitempty"`      // kinds, if not all were restored
	Match    []string         `json:"match,omitempty"`     // patterns, likewise
	Digest   string           `json:"digest"`              // of what was planned
	Actual   string           `json:"digest_actual"`       // of what the gateway had then, read back; empty if it did not come so far
	Entities int              `json:"entities"`            // planned
	Phases   []RehearsalPhase `json:"phases"`              // in their order, as far as it came
	Total    float64          `json:"total_s"`             // from the beginning to the last check
	Checks   int              `json:"checks"`              // of the data plane
	Passed   int              `json:"passed"`              // of them
	ReadFrom map[string]int   `json:"read_from"`           // entities and changes, by location
	Gateway  string           `json:"gateway"`             // what was restored into
}

// RehearsalPhase is a phase, and the seconds that it took.
type RehearsalPhase struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"duration_s"`
}

// RehearsalOptions are what AttestRehearsal has to know besides.
type RehearsalOptions struct {
	Started  time.Time
	Passed   bool
	Objects  int           // packs and segments that were decrypted
	Tool     string        // what writes the attestation
	Patience time.Duration // how long a location may take; 0 means 30s
}

// AttestRehearsal signs what came of a rehearsal of the point, and puts it to every copy. A copy that does not take it is a
// problem. The error wraps ErrAttest if the keys cannot sign so that it counts.
func AttestRehearsal(ctx context.Context, copies []Copy, keys Keys, point Found, r Rehearsal, o RehearsalOptions) (*AttestResult, []Problem, error) {
	if err := CanAttest(keys); err != nil {
		return nil, nil, err
	}
	a := Attestation{Schema: attestSchema, Lineage: point.Lineage, Point: point.Name, PointSum: point.SHA256, Scope: ScopeRehearsal, Rehearsal: &r,
		Points: 1, Decrypted: 1, Opened: o.Objects, Identities: recipientsAtHand(keys.Identities), Locations: []AttestedLocation{},
		Started: o.Started.UTC(), Ended: time.Now().UTC().Truncate(time.Millisecond), Result: result(o.Passed), Tool: o.Tool,
		Signer: keys.Signer.Public().Fingerprint()}
	attested, problems := putAttest(ctx, copies, a, keys, cmp.Or(o.Patience, patience))
	return attested, problems, nil
}

// maxRehearsals bounds how many attestations of a location are read for its newest rehearsal.
const maxRehearsals = 32

// LastRehearsal returns when a rehearsal passed last, as far as an attestation of a trusted signer at one of the copies says so
// among its newest; zero: never.
func LastRehearsal(ctx context.Context, copies []Copy, trusted sshsig.Trusted, within time.Duration) time.Time {
	var last time.Time
	for _, a := range onEach(ctx, copies, within, func(ctx context.Context, c Copy) (time.Time, error) { return lastRehearsal(ctx, c, trusted) }) {
		if a.err == nil && a.value.After(last) {
			last = a.value
		}
	}
	return last
}

func lastRehearsal(ctx context.Context, c Copy, trusted sshsig.Trusted) (time.Time, error) {
	objects, err := listAttests(ctx, c)
	for _, object := range objects[:min(maxRehearsals, len(objects))] {
		lineage, name, _ := splitObject(object)
		content, err := readObject(ctx, c.Location, object, maxAttest)
		if err != nil && !errors.Is(err, ErrIntegrity) && !errors.Is(err, ErrNotExist) {
			return time.Time{}, err
		}
		if err != nil {
			continue
		}
		if a, err := readAttest(content, lineage, name, trusted); err == nil && a.Scope == ScopeRehearsal && a.Result == ResultPass {
			return a.Ended, nil
		}
	}
	return time.Time{}, err
}
