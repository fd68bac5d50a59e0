package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"gwdr/internal/sshsig"
)

// PruneOptions say what Prune leaves, and whether it does anything.
type PruneOptions struct {
	Keep   Keep
	Remove bool // false: only say what would be removed
	// Verified reports whether the point was verified at the copy and found whole; nil: what is attested there counts.
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
	Unread  bool        `json:"unread"`  // what lies there is not known, and none of it was touched
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
	reading := Attentive(copies)
	holdings := survey(ctx, reading, trusted, patience, 0)
	all := merge(holdings)
	strays := NewForks(reading, trusted).Strays(ctx, all)
	if options.Verified == nil {
		options.Verified = attestedAt(ctx, holdings, copies, trusted)
	}
	p := &Pruning{Schema: "gwdr/prune/v1", Removed: options.Remove}
	for _, a := range onEach(ctx, copies, 12*time.Hour, func(ctx context.Context, c Copy) (LocationPruning, error) {
		i := slices.IndexFunc(holdings, func(h holding) bool { return h.copy.Name == c.Name })
		return prune(ctx, &holdings[i], all, strays, options)
	}) {
		p.Locations = append(p.Locations, pruned(a))
	}
	return p, ctx.Err()
}

// pruned is what a copy came to, with its error. A copy that was left behind came to nothing.
func pruned(a answer[LocationPruning]) LocationPruning {
	l := a.value
	if l.Kept == nil {
		l = newLocationPruning()
	}
	if l.Name = a.copy.Name; a.err != nil {
		l.Err, l.Error = a.err, a.err.Error()
	}
	return l
}

func newLocationPruning() LocationPruning {
	return LocationPruning{Kept: []KeptPoint{}, Points: []string{}, Notes: []string{}}
}

// attestedAt returns what is attested at each copy. A copy whose attestations cannot be read is not to be pruned: nobody knows
// what was verified there.
func attestedAt(ctx context.Context, holdings []holding, copies []Copy, trusted sshsig.Trusted) func(string, Found) bool {
	attested, problems := Attestations(ctx, copies, trusted)
	for _, problem := range problems {
		if errors.Is(problem.Err, ErrIntegrity) { // it says nothing that counts
			continue
		}
		i := slices.IndexFunc(holdings, func(h holding) bool { return h.copy.Name == problem.Copy })
		holdings[i].err = cmp.Or(holdings[i].err, fmt.Errorf("its attestations could not be read: %w", problem.Err))
	}
	return VerifiedAt(attested)
}

// maxAhead is how much a location's clock may be ahead of this machine's.
const maxAhead = time.Hour

// future returns an object that was stored later than now, if there is one: all spans are counted back from the newest, so a
// single wrong time would make everything else old.
func future(objects []Object, now time.Time) (o Object, ok bool) {
	i := slices.IndexFunc(objects, func(o Object) bool { return o.Created.After(now.Add(maxAhead)) })
	if i < 0 {
		return Object{}, false
	}
	return objects[i], true
}

// prune prunes one copy. all are the points of all copies: one that is damaged here may be whole elsewhere. strays, by SHA256,
// are another writer's.
func prune(ctx context.Context, h *holding, all []Found, strays map[string]bool, options PruneOptions) (LocationPruning, error) {
	l := newLocationPruning()
	remover, ok := h.copy.Location.(Remover)
	if !ok {
		return l, errors.New("objects cannot be removed from a location of this kind")
	}
	objects, err := h.readable(ctx)
	if err != nil {
		l.Unread = true
		return l, err
	}
	if o, ahead := future(objects, time.Now()); ahead {
		l.Unread = true
		return l, fmt.Errorf("%s was stored at %s, which is in the future: its clock or this machine's is wrong, or was, and nothing can be said to be old",
			o.Name, o.Created.UTC().Format(time.RFC3339))
	}
	plan := planPrune(h, objects, all, strays, options)
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
	slices.SortStableFunc(plan.kept, func(a, b KeptPoint) int { return b.Stored.Compare(a.Stored) })
	l.Kept = plan.kept
	return l, remove.err()
}

// readable lists the copy, if all points there are known.
func (h *holding) readable(ctx context.Context) ([]Object, error) {
	if h.err != nil {
		return nil, h.err
	}
	for _, p := range h.problems {
		if !errors.Is(p.Err, ErrIntegrity) { // not knowing a point is no reason to remove what it needs
			return nil, fmt.Errorf("not every point could be read: %w", p.Err)
		}
	}
	return h.copy.Location.List(ctx, formatRoot)
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
