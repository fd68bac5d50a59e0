package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Verification is what Verify found; its JSON is the contract gwdr/verify/v1.
type Verification struct {
	Schema    string                 `json:"schema"`
	Started   time.Time              `json:"started"` // UTC
	Duration  float64                `json:"duration_s"`
	Scope     string                 `json:"scope"` // newest, all, sample
	Sample    *SampleResult          `json:"sample,omitempty"`
	Known     int                    `json:"points_known"` // points whose signature is valid at some location
	Points    int                    `json:"points"`       // of them: read in full
	Decrypted int                    `json:"decrypted"`    // of them: decrypted, and found to be the state that was signed
	Opened    int                    `json:"opened"`       // packs and segments that were decrypted
	Locations []LocationVerification `json:"locations"`
	Logs      []LogVerification      `json:"logs"`
	Lost      []string               `json:"lost"`    // what cannot be restored from all locations together
	Sealed    []string               `json:"sealed"`  // what is intact, but encrypted for other identities than those at hand
	Repairs   []Repair               `json:"repairs"` // what was tried to heal
	Attested  *AttestResult          `json:"attested,omitempty"`
}

// LocationVerification is what Verify found at one location.
type LocationVerification struct {
	Name   string `json:"name"`
	Points int    `json:"points"` // whose signature is valid
	// Elsewhere counts the older points that only other locations have: this one was pruned, or came later. Strict counts
	// them as problems.
	Elsewhere int       `json:"points_elsewhere"`
	Objects   int       `json:"objects"`  // read, and compared with what was signed
	Bytes     int64     `json:"bytes"`    // of them
	Problems  []Problem `json:"problems"` // that are there now: what was healed is in Repairs
}

// Scopes of a Verification.
const (
	scopeNewest = "newest"
	scopeAll    = "all"
	scopeSample = "sample"
)

// Sound reports whether nothing is wrong anywhere, or nothing any more.
func (v *Verification) Sound() bool {
	return v.Restorable() && !slices.ContainsFunc(v.Locations, func(l LocationVerification) bool { return len(l.Problems) > 0 }) &&
		!slices.ContainsFunc(v.Logs, func(l LogVerification) bool { return len(l.Breaks) > 0 })
}

// Restorable reports whether there is a point, all locations together have whole whatever was read, and the identities, if
// there are any, open it.
func (v *Verification) Restorable() bool { return v.Known > 0 && len(v.Lost)+len(v.Sealed) == 0 }

// VerifyOptions say how much Verify reads, and what it does about it. The zero value reads the newest point.
type VerifyOptions struct {
	All      bool           // read everything: every point, the whole log, attestations
	Sample   *Sample        // read every point's signature, and a random part of all else
	Strict   bool           // every location should have everything: nothing was ever pruned
	Repair   bool           // put back what is missing or damaged, from another location
	Attest   bool           // put a signed record of the result to every location
	Tool     string         // name and version of this program, for the record
	Patience time.Duration  // how long a location may keep us waiting, on top of the transfer; 0 means 30s
	Progress func(Progress) // nil: none; called from one goroutine at a time
}

// prepare fills in defaults, and refuses what would only fail after hours of reading.
func (o *VerifyOptions) prepare(keys Keys) error {
	o.Patience = cmp.Or(o.Patience, patience)
	report, mu := o.Progress, new(sync.Mutex)
	o.Progress = func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		if report != nil {
			report(p)
		}
	}
	if o.Sample != nil {
		if err := o.Sample.validate(); err != nil {
			return err
		}
	}
	if o.Attest {
		return CanAttest(keys)
	}
	return nil
}

func (o *VerifyOptions) scope() string {
	switch {
	case o.Sample != nil:
		return scopeSample
	case o.All:
		return scopeAll
	}
	return scopeNewest
}

// Verify reads points, and what they need, at every copy, byte for byte, once; holds it against what was signed, and the
// copies against each other; and decrypts it if there is an identity. It heals and writes nothing unless it is told to. If an
// identity cannot be used, the Verification is complete but for what only this may open, which is Sealed, and the error
// wraps ErrNoIdentity.
func Verify(ctx context.Context, copies []Copy, keys Keys, options VerifyOptions) (*Verification, error) {
	if err := options.prepare(keys); err != nil {
		return nil, fmt.Errorf("verify: %w", err)
	}
	r := newVerifying(ctx, copies, keys, options)
	for _, step := range []func(context.Context) error{r.plan, r.scrub, r.judge, r.open, r.repair, r.conclude, r.attest} {
		if err := errors.Join(ctx.Err(), step(ctx)); err != nil {
			return r.v, err
		}
	}
	return r.v, r.unusable
}

// verifying is a verification under way.
type verifying struct {
	VerifyOptions
	copies   []Copy
	keys     Keys
	holdings []holding // of each copy
	found    []Found   // newest first
	scope    []Found   // of them: to be read in full

	wanted []*wanted          // what every copy should have, by class, then by name
	index  map[string]*wanted // by name
	mu     sync.Mutex         // guards sights and down while the copies are read
	sights []map[string]sight // what each copy has of it, by name
	down   []error            // why a copy gets no further request
	due    []map[string]bool  // what each copy should have, by name

	logs     map[string]*strand // by lineage
	unusable error              // why an identity could not be used
	meter    *meter
	v        *Verification
}

// newVerifying surveys the copies.
func newVerifying(ctx context.Context, copies []Copy, keys Keys, options VerifyOptions) *verifying {
	r := &verifying{copies: copies, keys: keys, VerifyOptions: options, meter: &meter{report: options.Progress}}
	r.v = &Verification{Schema: "gwdr/verify/v1", Started: time.Now().UTC(), Scope: options.scope(),
		Logs: []LogVerification{}, Sealed: []string{}, Repairs: []Repair{}}
	r.holdings = survey(ctx, copies, keys.Trusted, options.Patience, 0)
	r.found = merge(r.holdings)
	return r
}

// sight returns what the copy showed under the object's name; ok is false if it was not looked at.
func (r *verifying) sight(i int, object string) (s sight, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, ok = r.sights[i][object]
	return s, ok
}

func (r *verifying) see(i int, object string, s sight) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sights[i][object] = s
}

// whole reports whether the copy has the object as it was signed.
func (r *verifying) whole(i int, w *wanted) bool {
	s, ok := r.sight(i, w.object)
	return ok && s.err == nil && !r.foreign(w, s)
}

// wholeAt returns the copies that have the object as it was signed.
func (r *verifying) wholeAt(w *wanted) []int {
	var at []int
	for i := range r.copies {
		if r.whole(i, w) {
			at = append(at, i)
		}
	}
	return at
}

// likeliest returns the copies that still answer, those first that have the object whole.
func (r *verifying) likeliest(w *wanted) []Copy {
	var first, others []Copy
	for i, c := range r.copies {
		switch {
		case r.down[i] != nil:
		case r.whole(i, w):
			first = append(first, c)
		default:
			others = append(others, c)
		}
	}
	return append(first, others...)
}

// conclude tells what is wrong now.
func (r *verifying) conclude(context.Context) error {
	r.v.Locations = make([]LocationVerification, len(r.copies))
	for i, c := range r.copies {
		r.v.Locations[i] = LocationVerification{Name: c.Name, Points: r.pointsAt(i), Problems: r.problems(i)}
		if r.down[i] == nil {
			r.v.Locations[i].Elsewhere = r.elsewhere(i)
		}
		for _, w := range r.wanted {
			if s, ok := r.sight(i, w.object); ok && s.read {
				r.v.Locations[i].Objects++
				r.v.Locations[i].Bytes += s.size
			}
		}
	}
	r.v.Duration = time.Since(r.v.Started).Seconds()
	return nil
}
