package restore

import (
	"slices"
	"time"

	"gwdr/gateway"
)

// PlanSchema is the schema of a Plan's JSON.
const PlanSchema = "gwdr/restore-plan/v1"

// Plan is what a Restore would do. Its JSON names entities but holds no bodies.
type Plan struct {
	Schema     string                  `json:"schema"`
	Lineage    string                  `json:"lineage"` // of the point
	Point      string                  `json:"point"`
	Revision   int64                   `json:"revision"`
	Time       time.Time               `json:"recovery_point_time"` // UTC: whatever was acknowledged by then is in the plan
	Provenance map[string]int          `json:"provenance"`          // objects loaded, by location
	Kinds      map[gateway.Kind]Counts `json:"kinds"`               // of the kinds that are restored
	Total      Counts                  `json:"total"`
	Revoked    int                     `json:"revocations_applied"` // known elsewhere and laid over the point
	Store      string                  `json:"store"`               // id of the target's store
	Base       int64                   `json:"base_revision"`       // of the target, which the changes start from
	Expected   string                  `json:"digest_expected"`     // of the target's whole state afterwards
	EstimateS  float64                 `json:"estimate_s"`
	Findings   []Finding               `json:"findings"`
	Steps      []Step                  `json:"changes"`

	Changes []gateway.Change `json:"-"` // in the order of Steps
	Wanted  *gateway.State   `json:"-"` // the target's whole state afterwards
	live    *gateway.State
	took    time.Duration
}

// Counts is how many entities a plan, or what came of it, touches.
type Counts struct {
	Create    int `json:"create"`
	Update    int `json:"update"`
	Delete    int `json:"delete"`
	Unchanged int `json:"unchanged"`
}

// Step names one change.
type Step struct {
	Op gateway.Op `json:"op"`
	gateway.Ref
}

// Overwrites reports whether the plan takes anything away that the target has now.
func (p *Plan) Overwrites() bool { return p.Total.Update+p.Total.Delete > 0 }

// Body returns the wanted body of the entity, or nil.
func (p *Plan) Body(ref gateway.Ref) []byte {
	b, _ := p.Wanted.Get(ref)
	return b
}

// compare lays the point, as far as it is to be restored, and every known revocation over the live state, and plans the
// difference.
func (r *Restore) compare(live *gateway.Export, s *Snapshot) *Plan {
	p := &Plan{Schema: PlanSchema, Lineage: s.Point.Lineage, Point: s.Point.Name, Revision: s.Revision, Time: s.Time,
		Provenance: s.Provenance, Kinds: map[gateway.Kind]Counts{}, Store: live.Store, Base: live.Revision,
		Findings: []Finding{}, live: live.State}
	for _, k := range live.Unreachable {
		p.Findings = append(p.Findings, Finding{string(k), "cannot be read at the target: left as it is"})
	}
	restored := scope(r.Only, s.Point.Unreachable, live.Unreachable)
	p.Wanted = r.wanted(live.State, s.State, restored)
	if restored(gateway.Revocation) {
		p.Revoked = revoke(p.Wanted, s.State, s.Revocations)
	}
	p.Changes = gateway.Diff(live.State, p.Wanted)
	p.Expected = p.Wanted.Digest()
	p.count(restored)
	p.Findings = append(p.Findings, dangling(p.Wanted, restored)...)
	return p
}

// scope returns which kinds are restored: only those named, or all. What could not be read on either side cannot be told
// apart from what is not there, so it is left alone.
func scope(only []gateway.Kind, unreadable ...[]gateway.Kind) func(gateway.Kind) bool {
	return func(k gateway.Kind) bool {
		for _, kinds := range unreadable {
			if slices.Contains(kinds, k) {
				return false
			}
		}
		if k == gateway.Revocation && slices.Contains(only, gateway.Key) {
			return true
		}
		return len(only) == 0 || slices.Contains(only, k)
	}
}

// wanted is the target's state with the restored kinds as in the point. A revocation is never taken back, whatever
// the point says.
func (r *Restore) wanted(live, point *gateway.State, restored func(gateway.Kind) bool) *gateway.State {
	wanted := live.Clone()
	for _, ref := range live.Refs() {
		if _, kept := point.Get(ref); !kept && restored(ref.Kind) && ref.Kind != gateway.Revocation && !r.NoDelete {
			wanted.Delete(ref)
		}
	}
	for e := range point.All() {
		_, there := wanted.Get(e.Ref)
		if restored(e.Kind) && !(there && e.Kind == gateway.Revocation) {
			wanted.Put(e)
		}
	}
	return wanted
}

// revoke adds the revocations that are not in wanted yet, and returns how many are there beyond the point's own.
func revoke(wanted, point *gateway.State, revocations []gateway.Entity) int {
	for _, e := range revocations {
		if _, there := wanted.Get(e.Ref); !there && e.Kind == gateway.Revocation {
			wanted.Put(e)
		}
	}
	beyond := 0
	for e := range wanted.Kind(gateway.Revocation) {
		if _, own := point.Get(e.Ref); !own {
			beyond++
		}
	}
	return beyond
}

// count fills in the steps and the numbers.
func (p *Plan) count(restored func(gateway.Kind) bool) {
	for k, n := range p.Wanted.Counts() {
		if restored(k) {
			p.Kinds[k] = Counts{Unchanged: n}
		}
	}
	p.Steps = make([]Step, len(p.Changes))
	for i, c := range p.Changes {
		p.Steps[i] = Step{c.Op, c.Entity.Ref}
		p.Kinds[c.Entity.Kind] = p.Kinds[c.Entity.Kind].plus(c.Op)
	}
	for _, n := range p.Kinds {
		p.Total.Create += n.Create
		p.Total.Update += n.Update
		p.Total.Delete += n.Delete
		p.Total.Unchanged += n.Unchanged
	}
}

func (n Counts) plus(op gateway.Op) Counts {
	switch op {
	case gateway.Create:
		n.Create, n.Unchanged = n.Create+1, n.Unchanged-1
	case gateway.Update:
		n.Update, n.Unchanged = n.Update+1, n.Unchanged-1
	case gateway.Delete:
		n.Delete++
	}
	return n
}

// changesPerSecond is a cautious rate of the bundled gateway's Apply; see BenchmarkRestore.
const changesPerSecond = 40_000

// estimate is how long Apply may take: the changes at a cautious rate, and the reads that planning needed as well.
func estimate(changes int, planning time.Duration) time.Duration {
	return planning + time.Duration(changes)*time.Second/changesPerSecond
}
