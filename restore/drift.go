package restore

import (
	"fmt"
	"slices"
	"time"

	"gwdr/gateway"
)

// DriftSchema is the schema of a Drift's JSON.
const DriftSchema = "gwdr/diff/v1"

// What a Side was read from.
const (
	SideBackup  = "backup"
	SideGateway = "gateway"
)

// Side is one of two states that are compared, and where it was read. Its JSON holds no bodies.
type Side struct {
	What        string         `json:"side"`                 // SideBackup or SideGateway
	Lineage     string         `json:"lineage,omitempty"`    // of a backup
	Point       string         `json:"point,omitempty"`      // of a backup
	Logged      bool           `json:"logged,omitempty"`     // of a backup: the log after the point is laid over it
	Provenance  map[string]int `json:"provenance,omitempty"` // of a backup: objects loaded, by location
	AgeS        *float64       `json:"age_s,omitempty"`      // of a backup: how old the state was when it was read
	Gateway     string         `json:"gateway,omitempty"`    // of a gateway: its URL without credentials
	Store       string         `json:"store,omitempty"`      // of a gateway: the id of its store
	Revision    int64          `json:"revision"`
	Time        time.Time      `json:"time"` // UTC, of the revision
	Unreachable []gateway.Kind `json:"unreachable"`

	State    *gateway.State `json:"-"`
	Findings []Finding      `json:"-"`
}

// Side returns the snapshot as one side of a comparison that is made at the time now.
func (s *Snapshot) Side(now time.Time) *Side {
	age := max(0, now.Sub(s.Time).Seconds())
	side := &Side{What: SideBackup, Lineage: s.Point.Lineage, Point: s.Point.Name, Logged: s.Revision != s.Point.Revision, Provenance: s.Provenance.ByCopy(),
		AgeS: &age, Revision: s.Revision, Time: s.Time.UTC(), Unreachable: append([]gateway.Kind{}, s.Point.Unreachable...),
		State: s.State}
	for _, f := range s.Findings { // what a restore would leave alone is named by Compare
		if !slices.Contains(s.Point.Unreachable, gateway.Kind(f.Subject)) {
			side.Findings = append(side.Findings, f)
		}
	}
	return side
}

// GatewaySide returns what was read from the gateway as one side of a comparison. The name may be shown.
func GatewaySide(name string, e *gateway.Export) *Side {
	return &Side{What: SideGateway, Gateway: name, Store: e.Store, Revision: e.Revision, Time: e.Time.UTC(),
		Unreachable: append([]gateway.Kind{}, e.Unreachable...), State: e.State}
}

// Drift is how two states differ. Its JSON names entities but holds no bodies.
type Drift struct {
	Schema      string                       `json:"schema"`
	From        *Side                        `json:"from"` // nil if it could not be read
	To          *Side                        `json:"to"`   // nil if it could not be read
	Equal       bool                         `json:"equal"`
	Exact       bool                         `json:"exact"`        // bodies were compared byte for byte
	Total       DriftCounts                  `json:"total"`        // of all kinds that were compared
	Kinds       map[gateway.Kind]DriftCounts `json:"kinds"`        // that were compared
	NotCompared []gateway.Kind               `json:"not_compared"` // as one side could not read them
	Findings    []Finding                    `json:"findings"`
	Steps       []DriftStep                  `json:"changes"`

	Changes []gateway.Change `json:"-"` // that lead from one side to the other, without those of layout only
	Layout  []gateway.Ref    `json:"-"` // of entities whose bodies differ in layout only
}

// DriftCounts is how many entities differ, and how. Create are those that only the second side has, Delete those that only
// the first one has.
type DriftCounts struct {
	Counts
	Layout int `json:"layout"` // bodies differ, but say the same; in none of the other numbers
}

// DriftStep names one entity that differs.
type DriftStep struct {
	Step
	LayoutOnly bool `json:"layout_only"` // the bodies say the same: see gateway.SameContent
}

// Comparison says what of two states is compared, and how.
type Comparison struct {
	Only  []gateway.Kind // kinds to compare; none means all. Key brings Revocation along
	Exact bool           // byte for byte
}

// Compare returns how the two sides differ. What could not be read of either cannot be told apart from what is not there,
// so it is not compared. It is pure.
func (c Comparison) Compare(from, to *Side) *Drift {
	d := NewDrift(from, to)
	d.Exact = c.Exact
	pick := picker{only: c.Only}
	compared := scope(pick.picks, from.Unreachable, to.Unreachable)
	for e := range to.State.All() {
		if compared(e.Ref) {
			n := d.Kinds[e.Kind]
			n.Unchanged++
			d.Kinds[e.Kind] = n
		}
	}
	for _, change := range gateway.Diff(from.State, to.State) {
		if compared(change.Entity.Ref) {
			d.add(change, !c.Exact && change.Op == gateway.Update && gateway.SameContent(change.Entity.Kind, change.Old, change.Entity.Body))
		}
	}
	for _, n := range d.Kinds {
		d.Total.Create += n.Create
		d.Total.Update += n.Update
		d.Total.Delete += n.Delete
		d.Total.Unchanged += n.Unchanged
		d.Total.Layout += n.Layout
	}
	d.Equal = len(d.Changes) == 0
	d.leaveOut(pick.picksKind)
	return d
}

// NewDrift returns a Drift that says nothing but what was read. A side may be nil, or hold nothing but findings.
func NewDrift(from, to *Side) *Drift {
	d := &Drift{Schema: DriftSchema, Kinds: map[gateway.Kind]DriftCounts{}, NotCompared: []gateway.Kind{}, Findings: []Finding{},
		Steps: []DriftStep{}}
	d.From, d.To = d.take(from), d.take(to)
	return d
}

// take keeps the findings of a side, and returns it if it was read.
func (d *Drift) take(side *Side) *Side {
	if side == nil {
		return nil
	}
	d.Findings = append(d.Findings, side.Findings...)
	if side.State == nil {
		return nil
	}
	return side
}

// add counts and names one change.
func (d *Drift) add(change gateway.Change, layoutOnly bool) {
	n := d.Kinds[change.Entity.Kind]
	if layoutOnly {
		n.Layout, n.Unchanged = n.Layout+1, n.Unchanged-1
		d.Layout = append(d.Layout, change.Entity.Ref)
	} else {
		n.Counts = n.plus(change.Op)
		d.Changes = append(d.Changes, change)
	}
	d.Kinds[change.Entity.Kind] = n
	d.Steps = append(d.Steps, DriftStep{Step{change.Op, change.Entity.Ref}, layoutOnly})
}

// leaveOut names the kinds that would have been compared, had both sides read them.
func (d *Drift) leaveOut(wanted func(gateway.Kind) bool) {
	for i, side := range []*Side{d.From, d.To} {
		for _, k := range side.Unreachable {
			if !wanted(k) {
				continue
			}
			d.NotCompared = append(d.NotCompared, k)
			d.Findings = append(d.Findings, Finding{string(k), fmt.Sprintf("NOT compared: could not be read at %s, a %s",
				[]string{"FROM", "TO"}[i], side.What)})
		}
	}
	slices.SortFunc(d.NotCompared, gateway.Kind.Compare)
	d.NotCompared = slices.Compact(d.NotCompared)
}
