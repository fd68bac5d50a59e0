package backup

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// class is what an object is. The order is that in which objects are put back: a point comes after what it needs.
type class int

const (
	classRepo class = iota // repo.tar, which signs
	classBase              // README.txt, restore.sh
	classPack
	classSegment
	classAttest
	classPoint
)

// wanted is an object that every copy should have.
type wanted struct {
	class   class
	object  string // full name
	lineage string
	size    int64 // as signed, or else as the largest is listed
	skip    bool  // the sample leaves it out

	point  *Found   // of a pack: one that needs it; of a point: itself, nil if it is valid nowhere
	pack   Pack     // of a pack
	seq    int64    // of a segment
	needed bool     // of a segment: by a point, on top of its packs
	sums   []string // of a base file: what is signed of it, by whichever repo.tar
}

// maxReplay bounds how many segments a point may need.
const maxReplay = 1 << 20

// plan lists what is to be read.
func (r *verifying) plan(context.Context) error {
	r.index = map[string]*wanted{}
	r.sights, r.down = make([]map[string]sight, len(r.copies)), make([]error, len(r.copies))
	if r.scope = r.found; r.v.Scope == scopeNewest {
		r.scope = r.newest()
	}
	r.v.Known = len(r.found)
	for i := range r.scope {
		r.planPoint(&r.scope[i])
	}
	if r.v.Scope != scopeNewest {
		r.planListed()
	}
	r.planDamaged()
	for _, h := range r.holdings {
		for object, size := range h.objects {
			if w, ok := r.index[object]; ok && w.class != classPack {
				w.size = max(w.size, size)
			}
		}
	}
	r.wanted = slices.SortedFunc(maps.Values(r.index), func(a, b *wanted) int {
		return cmp.Or(cmp.Compare(a.class, b.class), cmp.Compare(a.object, b.object))
	})
	if r.Sample != nil {
		r.draw()
	}
	r.begin()
	return nil
}

// newest returns the newest point, and if not most of the copies have it (others were away, or it is another writer's), the
// newest that most have.
func (r *verifying) newest() []Found {
	var scope []Found
	for _, f := range r.found {
		most := len(f.Copies)*2 > len(r.copies)
		if len(scope) == 0 || most {
			scope = append(scope, f)
		}
		if most {
			break
		}
	}
	return scope
}

func (r *verifying) want(w wanted) {
	if _, ok := r.index[w.object]; !ok {
		r.index[w.object] = &w
	}
}

// planPoint wants the point, what it needs, and what its lineage has once.
func (r *verifying) planPoint(f *Found) {
	r.want(wanted{class: classPoint, object: f.Object(), lineage: f.Lineage, point: f})
	r.planBase(f.Lineage)
	for _, pack := range f.Packs {
		r.want(wanted{class: classPack, object: f.PackObject(pack), lineage: f.Lineage, size: pack.Size, pack: pack, point: f})
	}
	for _, seq := range r.segmentsOf(f) {
		r.planSegment(f.Lineage, seq)
		w := r.index[lineageRoot(f.Lineage)+segmentName(seq)]
		w.needed = w.needed || seq > f.Base.Seq
	}
}

// segmentsOf returns the positions of the segments that belong to the point, from the newest back: those that it needs on top of
// its packs; and the one at which it stands, which a point of packs can do without, but a fork shows there.
func (r *verifying) segmentsOf(f *Found) []int64 {
	var span []int64
	if f.Log.Seq == f.Base.Seq && r.listed(lineageRoot(f.Lineage)+segmentName(f.Log.Seq)) {
		return []int64{f.Log.Seq}
	}
	for seq := f.Log.Seq; seq > max(f.Base.Seq, f.Log.Seq-maxReplay); seq-- {
		span = append(span, seq)
	}
	return span
}

func (r *verifying) planBase(lineage string) {
	for _, name := range baseFiles() {
		class := classBase
		if name == repoFile {
			class = classRepo
		}
		r.want(wanted{class: class, object: lineageRoot(lineage) + name, lineage: lineage})
	}
}

func (r *verifying) planSegment(lineage string, seq int64) {
	r.want(wanted{class: classSegment, object: lineageRoot(lineage) + segmentName(seq), lineage: lineage, seq: seq})
}

// planListed wants whatever else is there: the log that no point needs, and attestations.
func (r *verifying) planListed() {
	for _, h := range r.holdings {
		for object := range h.objects {
			lineage, name, ok := splitObject(object)
			if !ok {
				continue
			}
			if seq, ok := parseSegmentName(name); ok {
				r.planBase(lineage)
				r.planSegment(lineage, seq)
			}
			if strings.HasPrefix(name, attestDir) {
				r.want(wanted{class: classAttest, object: object, lineage: lineage})
			}
		}
	}
}

// planDamaged wants the points that some copy has only damaged, of which another may have a whole one.
func (r *verifying) planDamaged() {
	valid := map[string]*Found{}
	for i := range r.found {
		valid[r.found[i].Object()] = &r.found[i]
	}
	for _, h := range r.holdings {
		for object := range h.damaged {
			lineage, _, _ := splitObject(object)
			r.want(wanted{class: classPoint, object: object, lineage: lineage, point: valid[object]})
		}
	}
}

// begin notes what the survey has shown already.
func (r *verifying) begin() {
	for i, h := range r.holdings {
		r.sights[i] = map[string]sight{}
		r.down[i] = h.err
		if h.err != nil {
			continue
		}
		for _, f := range h.points {
			r.sights[i][f.Object()] = sight{read: true, size: h.objects[f.Object()]}
		}
		for _, p := range h.problems {
			r.sights[i][p.Object] = sight{read: true, size: h.objects[p.Object], err: p.Err}
		}
		for _, w := range r.wanted {
			if _, listed := h.objects[w.object]; w.skip && !listed {
				r.sights[i][w.object] = sight{err: ErrNotExist}
			}
		}
	}
}

// Sample is a random part of all objects that are not points or repo.tar, which are always read. An object is in it if
// the SHA-256 of its seed in decimal, a space and its full name is among the smallest, so that whoever knows the seed can
// repeat it.
type Sample struct {
	Percent float64 // of the objects; or, if 0,
	Count   int
	Seed    uint64
}

// SampleResult is what a Sample came to.
type SampleResult struct {
	Objects int    `json:"objects"`
	Of      int    `json:"of"`
	Seed    uint64 `json:"seed"`
}

func (s Sample) validate() error {
	if s.Percent == 0 && s.Count > 0 || s.Count == 0 && s.Percent > 0 && s.Percent <= 100 {
		return nil
	}
	return errors.New("a sample is a number of objects, or up to 100 % of them")
}

// size is the number of objects of a sample of n.
func (s Sample) size(n int) int {
	if s.Percent > 0 {
		return int(math.Ceil(float64(n) * s.Percent / 100))
	}
	return min(s.Count, n)
}

// draw marks what is not in the sample.
func (r *verifying) draw() {
	type ticket struct {
		rank [sha256.Size]byte
		w    *wanted
	}
	var tickets []ticket
	for _, w := range r.wanted {
		if w.class != classPoint && w.class != classRepo {
			tickets = append(tickets, ticket{sha256.Sum256(fmt.Appendf(nil, "%d %s", r.Sample.Seed, w.object)), w})
		}
	}
	slices.SortFunc(tickets, func(a, b ticket) int { return bytes.Compare(a.rank[:], b.rank[:]) })
	k := r.Sample.size(len(tickets))
	for _, t := range tickets[k:] {
		t.w.skip = true
	}
	r.v.Sample = &SampleResult{Objects: k, Of: len(tickets), Seed: r.Sample.Seed}
}
