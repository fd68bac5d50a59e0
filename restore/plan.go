package restore

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"gwdr/backup"
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
	Time       time.Time               `json:"recovery_point_time,omitzero"` // UTC: whatever was acknowledged by then is in the plan
	Provenance map[string]int          `json:"provenance"`                   // entities and changes loaded, by location
	Objects    backup.Provenance       `json:"objects"`                      // packs and segments loaded, and where each came from
	Gaps       []backup.TailGap        `json:"gaps"`                         // in the log, that were crossed
	Kinds      map[gateway.Kind]Counts `json:"kinds"`                        // of the kinds that are restored
	Total      Counts                  `json:"total"`
	Doubt      *Doubt                  `json:"doubt,omitempty"`     // of keys; absent: there is none
	Revoked    int                     `json:"revocations_applied"` // known elsewhere and laid over the point
	Store      string                  `json:"store"`               // id of the target's store
	Base       int64                   `json:"base_revision"`       // of the target, which the changes start from
	Expected   string                  `json:"digest_expected"`     // of the target's whole state afterwards
	EstimateS  float64                 `json:"estimate_s"`
	Findings   []Finding               `json:"findings"`
	Steps      []Step                  `json:"changes"`

	Changes []gateway.Change `json:"-"` // in the order of Steps
	Wanted  *gateway.State   `json:"-"` // the target's whole state afterwards
	Source  *Snapshot        `json:"-"` // what was read; nil after an error
	live    *gateway.State
	took    time.Duration
	made    []Step // before Rebase made it of another plan

	restored func(gateway.Ref) bool // is it an entity that is to be restored?
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
		Provenance: s.Provenance.ByCopy(), Objects: append(backup.Provenance{}, s.Provenance...), Gaps: append([]backup.TailGap{}, s.Gaps...), Store: live.Store, Base: live.Revision,
		Findings: []Finding{}, Source: s, live: live.State}
	for _, k := range live.Unreachable {
		p.Findings = append(p.Findings, Finding{string(k), "cannot be read at the target: left as it is"})
	}
	pick := picker{r.Only, r.Match}
	restored := scope(pick.picks, s.Point.Unreachable, live.Unreachable)
	p.restored = restored
	p.Wanted = r.wanted(live.State, s.State, restored)
	if pick.picksKind(gateway.Revocation) {
		for _, e := range s.Revocations {
			if restored(e.Ref) {
				revokeIn(p.Wanted, e)
			}
		}
		p.Doubt = s.doubtIn(live.State, p.Wanted, cmp.Or(r.Doubtful, FailClosed))
		p.Doubt.close(p.Wanted, time.Now())
		p.Revoked = beyond(p.Wanted, s.State)
	}
	p.Wanted.Refs() // sorted once, for all that follows
	var wait sync.WaitGroup
	wait.Go(func() { p.Expected = p.Wanted.Digest() })
	wait.Go(func() {
		p.Changes = gateway.Diff(live.State, p.Wanted)
		p.count(restored)
	})
	lost := dangling(p.Wanted, restored)
	wait.Wait()
	if f, ok := p.Doubt.finding(); ok {
		p.Findings = append(p.Findings, f)
	}
	p.Findings = append(p.Findings, lost...)
	if len(r.Match) > 0 && p.Total == (Counts{}) {
		p.Findings = append(p.Findings, Finding{"match", "nothing matches, neither here nor in the gateway: nothing is restored"})
	}
	return p
}

// scope returns which of the entities that are picked are restored. What could not be read on either side cannot be told
// apart from what is not there, so it is left alone.
func scope(picked func(gateway.Ref) bool, unreadable ...[]gateway.Kind) func(gateway.Ref) bool {
	return func(ref gateway.Ref) bool {
		for _, kinds := range unreadable {
			if slices.Contains(kinds, ref.Kind) {
				return false
			}
		}
		return picked(ref)
	}
}

// wanted is the target's state with the restored kinds as in the point. A revocation is never taken back, whatever
// the point says.
func (r *Restore) wanted(live, point *gateway.State, restored func(gateway.Ref) bool) *gateway.State {
	wanted := live.Clone()
	for e := range live.Unordered() {
		if _, kept := point.Get(e.Ref); !kept && restored(e.Ref) && e.Kind != gateway.Revocation && !r.NoDelete {
			wanted.Delete(e.Ref)
		}
	}
	for e := range point.Unordered() {
		switch {
		case !restored(e.Ref):
		case e.Kind == gateway.Revocation:
			revokeIn(wanted, e)
		default:
			wanted.Put(e)
		}
	}
	return wanted
}

// beyond returns how many revocations are wanted beyond the point's own.
func beyond(wanted, point *gateway.State) int {
	n := 0
	for e := range wanted.Unordered() {
		own, there := point.Get(e.Ref)
		if e.Kind == gateway.Revocation && (!there || gateway.RevokesEarlier(e.Body, own)) {
			n++
		}
	}
	return n
}

// count fills in the steps and the numbers.
func (p *Plan) count(restored func(gateway.Ref) bool) {
	p.Kinds, p.Total = map[gateway.Kind]Counts{}, Counts{}
	for e := range p.Wanted.Unordered() {
		if restored(e.Ref) {
			n := p.Kinds[e.Kind]
			n.Unchanged++
			p.Kinds[e.Kind] = n
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

// estimate is how long Apply may take: the changes at a cautious rate, or at most at the given one unless that is 0, and the
// reads that planning needed as well.
func estimate(changes int, rate float64, planning time.Duration) time.Duration {
	if rate == 0 || rate > changesPerSecond {
		rate = changesPerSecond
	}
	return planning + time.Duration(float64(changes)/rate*float64(time.Second))
}
