package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gwdr/internal/sshsig"
)

// PruneOptions say what Prune leaves, and whether it does anything.
type PruneOptions struct {
	Keep   Keep
	Remove bool // false: only say what would be removed
	// Verified reports whether the point was verified at the copy and found whole; nil: none was.
	Verified func(copyName string, f Found) bool
}

// Pruning is what Prune removed, or would remove; its JSON is the contract gwdr/prune/v1.
type Pruning struct {
	Schema    string            `json:"schema"`
	Removed   bool              `json:"removed"` // false: it was only asked what would be
	Locations []LocationPruning `json:"locations"`
}

// LocationPruning is what Prune came to at one location.
type LocationPruning struct {
	Name    string      `json:"name"`
	Kept    []KeptPoint `json:"kept"`    // newest first
	Points  []string    `json:"points"`  // that are removed
	Objects int         `json:"objects"` // that are removed, points among them
	Bytes   int64       `json:"bytes"`   // of them
	Notes   []string    `json:"notes"`   // what is left for another reason than a rule
	Error   string      `json:"error,omitempty"`
	Err     error       `json:"-"` // whose text Error is
}

// KeptPoint is a point that stays.
type KeptPoint struct {
	Point   string    `json:"point"`
	Stored  time.Time `json:"stored"` // by the store's clock
	Reasons []string  `json:"reasons"`
}

// ErrNoRule is returned when nothing says what to keep.
var ErrNoRule = errors.New("no rule says what to keep")

// pruneGrace is how long an object that no point needs is left alone: a backup may be on its way that needs it.
const pruneGrace = 24 * time.Hour

// Prune removes from each copy the points that no rule keeps, and what only they need. Time is that of the store's clock
// when a point was put there, not what the point says. Points are judged by the gateway that they are of. Kept in any case:
// the newest point, the newest that was verified there, and whatever a kept point needs. The copies' locations must be
// Removers, with credentials that no writer has.
func Prune(ctx context.Context, copies []Copy, trusted sshsig.Trusted, options PruneOptions) (*Pruning, error) {
	if !options.Keep.any() {
		return nil, ErrNoRule
	}
	holdings := survey(ctx, copies, trusted, patience, 0)
	all := merge(holdings)
	p := &Pruning{Schema: "gwdr/prune/v1", Removed: options.Remove}
	for _, a := range onEach(ctx, copies, 12*time.Hour, func(ctx context.Context, c Copy) (LocationPruning, error) {
		i := slices.IndexFunc(holdings, func(h holding) bool { return h.copy.Name == c.Name })
		return prune(ctx, holdings[i], all, options)
	}) {
		l := a.value
		if l.Name = a.copy.Name; a.err != nil {
			l.Err, l.Error = a.err, a.err.Error()
		}
		p.Locations = append(p.Locations, l)
	}
	return p, ctx.Err()
}

// prune prunes one copy. all are the points of all copies: one that is damaged here may be whole elsewhere.
func prune(ctx context.Context, h holding, all []Found, options PruneOptions) (LocationPruning, error) {
	l := LocationPruning{Kept: []KeptPoint{}, Points: []string{}, Notes: []string{}}
	remover, ok := h.copy.Location.(Remover)
	if !ok {
		return l, errors.New("objects cannot be removed from a location of this kind")
	}
	if h.err != nil {
		return l, h.err
	}
	for _, p := range h.problems {
		if !errors.Is(p.Err, ErrIntegrity) { // not knowing a point is no reason to remove what it needs
			return l, fmt.Errorf("not every point could be read: %w", p.Err)
		}
	}
	objects, err := h.copy.Location.List(ctx, formatRoot)
	if err != nil {
		return l, err
	}
	plan := planPrune(h, objects, all, options)
	l.Notes = append(l.Notes, plan.notes...)
	remove := removal{result: &l, remove: func(name string) error {
		if !options.Remove {
			return nil
		}
		return remover.Remove(ctx, name)
	}}
	for _, p := range plan.goes {
		if remove.object(p.object) {
			l.Points = append(l.Points, p.Object())
		} else {
			plan.stay(p, "the store did not let it go")
		}
	}
	for _, o := range plan.garbage(objects) {
		remove.object(o)
	}
	slices.SortFunc(plan.kept, func(a, b KeptPoint) int { return b.Stored.Compare(a.Stored) })
	l.Kept = plan.kept
	return l, remove.err()
}

// prunePlan is what is to be done at one copy.
type prunePlan struct {
	kept     []KeptPoint
	goes     []storedPoint
	needed   needs
	doubtful map[string]bool // lineages with points that verify nowhere: what they need is not known
	notes    []string
}

// storedPoint is a point with its object as it is at one copy.
type storedPoint struct {
	Found
	object Object
}

// planPrune is pure: from what lies at a copy, what is known of its points, and the rules, to which points go.
func planPrune(h holding, objects []Object, all []Found, options PruneOptions) prunePlan {
	plan := prunePlan{kept: []KeptPoint{}, doubtful: map[string]bool{},
		needed: needs{objects: map[string]bool{}, points: map[string]bool{}, logFrom: map[string]int64{}}}
	known := map[string]Found{}
	for _, f := range all {
		known[f.Object()] = f
	}
	families, ancestor := map[string][]storedPoint{}, ancestors(all)
	for _, o := range objects {
		lineage, name, ok := splitObject(o.Name)
		if !ok || !strings.HasPrefix(name, pointsDir) {
			continue
		}
		f, ok := known[o.Name]
		switch {
		case !ok:
			plan.doubtful[lineage] = true
			plan.notes = append(plan.notes, o.Name+" does not verify anywhere: nothing that it may need is removed")
		case !slices.Contains(f.Copies, h.copy.Name): // it takes no place of a whole one
			plan.stay(storedPoint{f, o}, "damaged here, whole elsewhere")
		default:
			families[ancestor(lineage)] = append(families[ancestor(lineage)], storedPoint{f, o})
		}
	}
	for _, points := range families {
		plan.judge(points, options.Keep, func(f Found) bool { return options.Verified != nil && options.Verified(h.copy.Name, f) })
	}
	return plan
}

// judge sorts the points of one gateway into those that stay and those that go.
func (plan *prunePlan) judge(points []storedPoint, keep Keep, verified func(Found) bool) {
	slices.SortFunc(points, func(a, b storedPoint) int { return b.object.Created.Compare(a.object.Created) })
	var times []time.Time
	var found []Found
	for _, p := range points {
		times, found = append(times, p.object.Created), append(found, p.Found)
	}
	newestFirst(found)
	reasons, checked := keep.reasons(times), false
	for i, p := range points {
		if p.SHA256 == found[0].SHA256 {
			reasons[i] = append(reasons[i], "newest")
		}
		if !checked && verified(p.Found) {
			checked = true
			reasons[i] = append(reasons[i], "last verified")
		}
		if len(reasons[i]) == 0 {
			plan.goes = append(plan.goes, p)
		} else {
			plan.stay(p, reasons[i]...)
		}
	}
}

// stay keeps a point and what it needs.
func (plan *prunePlan) stay(p storedPoint, reasons ...string) {
	plan.kept = append(plan.kept, KeptPoint{Point: p.Object(), Stored: p.object.Created.UTC(), Reasons: reasons})
	plan.needed.add(p.Found)
}

// garbage returns what no point needs that stays, but for what is so new that a backup may be on its way that needs it.
func (plan *prunePlan) garbage(objects []Object) []Object {
	newest := time.Time{}
	for _, o := range objects {
		if o.Created.After(newest) {
			newest = o.Created
		}
	}
	return slices.DeleteFunc(slices.Clone(objects), func(o Object) bool {
		lineage, name, ok := splitObject(o.Name)
		return !ok || strings.HasPrefix(name, pointsDir) || plan.doubtful[lineage] || newest.Sub(o.Created) < pruneGrace ||
			plan.needed.has(lineage, name, o)
	})
}

// ancestors returns a function that gives the oldest known lineage that a lineage descends from: the lineages of one
// gateway are one family.
func ancestors(all []Found) func(lineage string) string {
	parents := map[string]string{}
	for _, f := range all {
		parents[f.Lineage], _, _ = strings.Cut(f.Parent, "@")
	}
	return func(lineage string) string {
		for range parents {
			parent := parents[lineage]
			if _, known := parents[parent]; !known {
				break
			}
			lineage = parent
		}
		return lineage
	}
}

// removal removes objects, or pretends to, and counts them.
type removal struct {
	remove func(name string) error
	result *LocationPruning
	failed []error
}

// object reports whether the object is gone, or would be.
func (r *removal) object(o Object) bool {
	if err := r.remove(o.Name); err != nil {
		r.failed = append(r.failed, err)
		return false
	}
	r.result.Objects++
	r.result.Bytes += o.Size
	return true
}

// err is the first failure, and says how many there were.
func (r *removal) err() error {
	if len(r.failed) < 2 {
		return errors.Join(r.failed...)
	}
	return fmt.Errorf("%d objects stay; the first: %w", len(r.failed), r.failed[0])
}

// needs is what the points that stay need.
type needs struct {
	objects map[string]bool
	points  map[string]bool  // lineage and name of each point that stays, without its folder
	logFrom map[string]int64 // by lineage: the segments from here on may lead to what is newer than its newest point
}

func (n *needs) add(f Found) {
	n.points[f.Lineage+strings.TrimPrefix(f.Name, pointsDir)] = true
	for _, pack := range f.Packs {
		n.objects[f.PackObject(pack)] = true
	}
	for seq := f.Base.Seq + 1; seq <= f.Log.Seq; seq++ {
		n.objects[lineageRoot(f.Lineage)+segmentName(seq)] = true
	}
	n.logFrom[f.Lineage] = max(n.logFrom[f.Lineage], f.Log.Seq)
}

// has reports whether an object other than a point is needed.
func (n *needs) has(lineage, name string, o Object) bool {
	from, lives := n.logFrom[lineage]
	switch {
	case n.objects[o.Name]:
		return true
	case strings.HasPrefix(name, logDir):
		seq, ok := parseSegmentName(name)
		return !ok || lives && seq >= from
	case strings.HasPrefix(name, packsDir):
		return false
	case strings.HasPrefix(name, attestDir): // attest/<point>-<utc>.tar
		point := strings.TrimPrefix(name, attestDir)
		return n.points[lineage+point[:max(0, strings.LastIndexByte(point, '-'))]]
	}
	return lives // README.txt, restore.sh, repo.tar
}
