package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"gwdr/internal/sshsig"
)

// view is what CheckStatus sees of one copy.
type view struct {
	copy     Copy
	err      error            // it cannot be read
	objects  map[string]int64 // sizes by full name
	points   []string         // full names of points, newest first by their names
	newest   *Found           // the newest valid point
	lacks    []string         // what that needs and is not there: full names
	whole    *Found           // the newest valid point with all that it needs; nil if there is none
	tail     *sealedSegment   // the last segment of the log after whole that is there without a break; nil if there is none
	strayed  bool             // it holds another writer's points; newest and whole are nil
	log      []Segment        // after whole, up to where it breaks off or has a gap
	probed   probed
	problems []Problem
	notes    []string
}

// viewAll looks at all copies at once. Reading and probing take their time side by side, and one that hangs does not hide
// what came of the other. A probe that failed is a problem, unless readOnly says of its error that the credentials are those
// of a reader.
func viewAll(ctx context.Context, copies []Copy, trusted sshsig.Trusted, own lineageEntry, within time.Duration, readOnly func(error) bool) []*view {
	views := make([]*view, len(copies))
	var probes []answer[probed]
	var wg sync.WaitGroup
	wg.Go(func() {
		probes = onEach(ctx, copies, within, tryProbe)
	})
	for i, a := range onEach(ctx, copies, within, func(ctx context.Context, c Copy) (*view, error) { return viewOne(ctx, c, trusted, own) }) {
		if views[i] = a.value; a.err != nil {
			views[i] = &view{copy: copies[i], err: a.err, problems: []Problem{newProblem(copies[i], "", a.err)}}
		}
	}
	wg.Wait()
	for i, v := range views {
		if v.probed = probes[i].value; v.err != nil {
			continue
		}
		switch err := probes[i].err; {
		case err == nil && v.probed.note != "":
			v.notes = append(v.notes, v.probed.note)
		case err != nil && readOnly != nil && readOnly(err):
			v.notes = append(v.notes, "probe failed: "+err.Error())
		case err != nil:
			v.problem("", fmt.Errorf("%w: %w", ErrProbe, err))
		}
	}
	return views
}

// tryProbe is probe, with its error.
func tryProbe(ctx context.Context, c Copy) (p probed, err error) {
	prober, ok := c.Location.(Prober)
	if !ok {
		p.note = "location cannot be probed"
		return p, nil
	}
	var domainErr error
	p.capabilities, err = prober.Probe(ctx)
	p.domain, domainErr = prober.Domain(ctx) // what fails together counts once, tested or not
	return p, cmp.Or(err, domainErr)
}

func viewOne(ctx context.Context, c Copy, trusted sshsig.Trusted, own lineageEntry) (*view, error) {
	v := &view{copy: c, objects: map[string]int64{}}
	listed, err := c.Location.List(ctx, formatRoot)
	if err != nil {
		return nil, err
	}
	for _, o := range listed {
		v.objects[o.Name] = o.Size
		if _, name, ok := splitObject(o.Name); ok && strings.HasPrefix(name, pointsDir) {
			v.points = append(v.points, o.Name)
		}
	}
	// The names begin with the time, in every lineage.
	slices.SortFunc(v.points, func(a, b string) int { return cmp.Compare(path.Base(b), path.Base(a)) })
	if err := v.findPoints(ctx, trusted, &family{own: own, copy: c, trusted: trusted}); err != nil {
		return nil, err
	}
	return v, v.findTail(ctx, trusted)
}

// maxPassedOver bounds how many points without worth CheckStatus reads at one location: whoever can write there can put any
// number of them.
const maxPassedOver = 32

// findPoints reads points, newest first, until one is valid and has all that it needs.
func (v *view) findPoints(ctx context.Context, trusted sshsig.Trusted, family *family) error {
	tried := 0
	for _, object := range v.points {
		lineage, _, _ := splitObject(object)
		if ours, err := family.has(ctx, lineage); err != nil {
			return err
		} else if !ours {
			continue
		}
		if tried++; tried > maxPassedOver {
			v.problem("", fmt.Errorf("none of the %d newest points is of any use, and the others were not read", maxPassedOver))
			return nil
		}
		found, err := fetchPoint(ctx, v.copy, Object{Name: object}, trusted, make(chan struct{}, 1))
		switch {
		case errors.Is(err, ErrIntegrity), errors.Is(err, ErrNotExist):
			v.problem(object, err)
			continue
		case err != nil:
			return err
		}
		if found.Undo {
			continue
		}
		lacks := v.missing(found)
		if v.newest == nil {
			v.newest, v.lacks = &found, lacks
		}
		if len(lacks) == 0 {
			v.whole = &found
			return nil
		}
	}
	return nil
}

// missing returns the objects that the point needs and that are not there in the right size, as far as a listing tells.
func (v *view) missing(f Found) []string {
	var missing []string
	for _, pack := range f.Packs {
		if size, ok := v.objects[f.PackObject(pack)]; !ok || size != pack.Size {
			missing = append(missing, f.PackObject(pack))
		}
	}
	for seq := f.Base.Seq + 1; seq <= f.Log.Seq; seq++ {
		if object := lineageRoot(f.Lineage) + segmentName(seq); v.objects[object] == 0 {
			missing = append(missing, object)
		}
	}
	return missing
}

// findTail finds the end of the log after the point.
func (v *view) findTail(ctx context.Context, trusted sshsig.Trusted) error {
	if v.whole == nil {
		return nil
	}
	seq := v.whole.Log.Seq
	for v.objects[lineageRoot(v.whole.Lineage)+segmentName(seq+1)] > 0 {
		seq++
	}
	if last := v.lastSegment(); last > seq {
		v.problem("", fmt.Errorf("%w: the log breaks off after segment %d, and goes on up to %d", ErrIncomplete, seq, last))
	}
	for passed := 0; seq > v.whole.Log.Seq && passed < maxPassedOver; passed++ {
		object := lineageRoot(v.whole.Lineage) + segmentName(seq)
		s, err := getSegment(ctx, v.copy.Location, v.whole.Lineage, seq, signedBy(trusted))
		switch {
		case err == nil:
			s.object = nil
			v.tail = &s
			return nil
		case errors.Is(err, ErrNotExist):
			err = fmt.Errorf("%w: %w", ErrIntegrity, err)
		case !errors.Is(err, ErrIntegrity):
			return err
		}
		v.problem(object, err)
		seq--
	}
	return nil
}

// lastSegment returns the number of the last segment of the lineage of whole.
func (v *view) lastSegment() (last int64) {
	for object := range v.objects {
		if name, ok := strings.CutPrefix(object, lineageRoot(v.whole.Lineage)); ok {
			if seq, ok := parseSegmentName(name); ok {
				last = max(last, seq)
			}
		}
	}
	return last
}

func (v *view) problem(object string, err error) {
	v.problems = append(v.problems, newProblem(v.copy, object, err))
}

// complete reports whether the newest valid point has all that it needs.
func (v *view) complete() bool {
	return v.newest != nil && v.whole != nil && v.newest.SHA256 == v.whole.SHA256
}

// restorable is what the copy gives by itself. There must be a whole point.
func (v *view) restorable() *Restorable {
	p := v.whole
	r := &Restorable{
		Lineage: p.Lineage, Store: p.Store, Point: p.Name, Segments: int64(len(v.log)), Revision: p.Revision, Time: p.Time,
		Entities: p.Counts, Unreachable: p.Unreachable,
	}
	if n := len(v.log); n > 0 {
		r.Revision, r.Time = v.log[n-1].To, v.log[n-1].Time
	}
	return r
}
