package backup

import (
	"errors"
	"fmt"
	"time"

	"gwdr/gateway"
)

// Result is the outcome of a backup; its JSON is the contract gwdr/backup/v1.
type Result struct {
	Schema      string               `json:"schema"`
	Lineage     string               `json:"lineage"`
	Parent      string               `json:"parent,omitempty"`
	Point       string               `json:"point"` // Found.Name
	Revision    int64                `json:"revision"`
	Time        time.Time            `json:"consistency_time"`
	Entities    map[gateway.Kind]int `json:"entities"`
	Unreachable []gateway.Kind       `json:"unreachable"`
	Full        bool                 `json:"full"`      // everything was read, not only what had changed
	Changes     int                  `json:"changes"`   // that went to the log
	Committed   bool                 `json:"committed"` // most locations have the log up to here
	Bytes       int64                `json:"bytes"`     // of the packs and segments that are new, at each location
	Duration    float64              `json:"duration_s"`
	Locations   []LocationResult     `json:"locations"`
	Policy      PolicyResult         `json:"policy"`
}

// LocationResult is what one location came to.
type LocationResult struct {
	Name       string   `json:"name"`
	Media      string   `json:"media"`
	Site       string   `json:"site"`
	Domain     string   `json:"domain,omitempty"` // locations with the same one fail together
	CreateOnly bool     `json:"create_only"`      // tested
	Immutable  bool     `json:"immutable"`        // tested
	OK         bool     `json:"ok"`               // the point is there
	Bytes      int64    `json:"bytes"`            // sent for this point
	CaughtUp   int      `json:"caught_up"`        // earlier points that it lacked and now has
	Duration   float64  `json:"duration_s"`
	Gone       []string `json:"gone,omitempty"` // newest points that it took, and does not have any more: somebody deleted them
	Error      string   `json:"error,omitempty"`
	Err        error    `json:"-"`                  // whose text Error is
	Untested   bool     `json:"untested,omitempty"` // the tests of its promises failed: Note says why
	Note       string   `json:"note,omitempty"`
}

func newResult(f snapshot, deliveries []delivery, policy Policy) *Result {
	r := &Result{
		Schema: "gwdr/backup/v1", Lineage: f.Lineage, Parent: f.Parent, Point: f.Name, Revision: f.Revision, Time: f.Time,
		Entities: f.Counts, Unreachable: f.Unreachable, Full: f.full, Changes: f.changes, Bytes: f.bytes,
	}
	var standings []Standing
	for _, d := range deliveries {
		l := LocationResult{
			Name: d.copy.Name, Media: d.copy.Media, Site: d.copy.Site, Domain: d.value.domain,
			CreateOnly: d.value.capabilities.CreateOnly, Immutable: d.value.capabilities.Immutable,
			OK: d.value.ok, Bytes: d.value.bytes, CaughtUp: d.value.earlier, Duration: d.took.Seconds(), Gone: d.value.gone, Note: d.value.note, Untested: d.value.failed,
		}
		if d.err != nil {
			l.Error, l.Err = d.err.Error(), d.err
		}
		r.Locations = append(r.Locations, l)
		standings = append(standings, Standing{Copy: d.copy, Domain: l.Domain, Immutable: l.Immutable, Holds: l.OK, Newest: f.Time})
	}
	r.Policy = CheckPolicy(policy, standings, f.Time)
	return r
}

// Stored returns the number of locations that have the point.
func (r *Result) Stored() int {
	n := 0
	for _, l := range r.Locations {
		if l.OK {
			n++
		}
	}
	return n
}

// Complete reports whether the point holds every kind, every location has the point, none has lost one and the policy is met.
func (r *Result) Complete() bool {
	for _, l := range r.Locations {
		if l.Error != "" || len(l.Gone) > 0 || l.Untested {
			return false
		}
	}
	return r.Stored() == len(r.Locations) && r.Policy.Satisfied && len(r.Unreachable) == 0
}

func (r *Result) errors(deliveries []delivery) error {
	var errs []error
	for _, d := range deliveries {
		if d.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", d.copy.Name, d.err))
		}
	}
	return errors.Join(errs...)
}
