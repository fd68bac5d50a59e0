package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"gwdr/internal/sshsig"
)

// tailReader reads a log forwards.
type tailReader struct {
	found    Found
	trusted  sshsig.Trusted
	bound    TailBound
	copies   []Copy                    // that answer
	listed   map[string]map[int64]bool // positions after the point, by the copy's name
	known    []int64                   // all of them, in order
	last     int64                     // the highest
	problems []Problem

	mu     sync.Mutex
	read   map[tailKey]tailRead
	silent map[string]error // copies that did not answer, by name: they are asked no more
}

type tailKey struct {
	copy string
	seq  int64
}

type tailRead struct {
	segment sealedSegment
	err     error
}

// branch is one way on from the point.
type branch struct {
	segments []sealedSegment
	from     []string
	stop     string
	gaps     []TailGap
	support  int              // copies that are on it
	strayed  map[string]int64 // copies that are not, and where they have something else
}

// list asks the copies what they have of the log. The error is that of all of them.
func (r *tailReader) list(ctx context.Context, copies []Copy) error {
	r.listed, r.last = map[string]map[int64]bool{}, r.found.Log.Seq
	root := lineageRoot(r.found.Lineage)
	var errs []error
	for _, a := range onEach(ctx, copies, patience, func(ctx context.Context, c Copy) ([]Object, error) {
		return c.Location.List(ctx, root+logDir)
	}) {
		if a.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", a.copy.Name, a.err))
			r.problems = append(r.problems, newProblem(a.copy, "", a.err))
			continue
		}
		r.copies = append(r.copies, a.copy)
		r.listed[a.copy.Name] = map[int64]bool{}
		for _, o := range a.value {
			if seq, ok := parseSegmentName(strings.TrimPrefix(o.Name, root)); ok && seq > r.found.Log.Seq {
				r.listed[a.copy.Name][seq] = true
				r.known = append(r.known, seq)
			}
		}
	}
	slices.Sort(r.known)
	if r.known = slices.Compact(r.known); len(r.known) > 0 {
		r.last = r.known[len(r.known)-1]
	}
	if len(r.copies) == 0 {
		return errors.Join(errs...)
	}
	return nil
}

// walk goes from the point forwards to the bound, asking the copies in their order.
func (r *tailReader) walk(ctx context.Context, order []Copy) (b branch) {
	at, revision, known := r.found.Log, r.found.Revision, r.found.Time
	for seq := at.Seq + 1; seq <= r.last && ctx.Err() == nil && !(r.bound.Before > 0 && revision >= r.bound.Before-1); seq++ {
		if (seq-r.found.Log.Seq)%tailAhead == 1 {
			r.ahead(ctx, order, seq)
		}
		s, from, err := r.next(ctx, order, seq, at, revision)
		if err != nil && (r.bound.AcrossGaps || !r.bound.Time.IsZero()) {
			switch beyond, of, ok := r.beyond(ctx, order, seq+1, revision); {
			case ok && beyond.Seq == seq+1 && r.tooLate(beyond.After): // what is lost is later than what is wanted
				return b
			case ok && r.bound.AcrossGaps:
				b.gaps = append(b.gaps, TailGap{After: revision, To: beyond.From, From: known, Until: beyond.After, Why: err.Error()})
				s, from, err, seq = beyond, of, nil, beyond.Seq
			}
		}
		if err == nil && r.tooLate(s.Time) {
			return b
		}
		if err == nil && s.Gap {
			err = fmt.Errorf("the log has a gap at segment %d", seq)
			if r.bound.AcrossGaps {
				b.gaps = append(b.gaps, TailGap{After: s.From, To: s.To, From: known, Until: s.Time, Why: err.Error()})
				err = nil
			}
		}
		if err != nil {
			b.stop = r.stop(revision, seq, err)
			return b
		}
		b.segments, b.from = append(b.segments, s), append(b.from, from)
		at, revision, known = s.position(), s.To, s.Time
	}
	return b
}

// tooLate reports whether the time is beyond the bound.
func (r *tailReader) tooLate(t time.Time) bool {
	return !r.bound.Time.IsZero() && t.After(r.bound.Time)
}

// stop says why the log cannot be followed.
func (r *tailReader) stop(revision, seq int64, err error) string {
	if seq == r.last {
		return fmt.Sprintf("the changes after revision %d are not known: %v", revision, err)
	}
	return fmt.Sprintf("the changes after revision %d are not known: %v; there are more segments, up to %d", revision, err, r.last)
}

// beyond returns the first segment from the position on that any copy has whole, and that does not go back behind the
// revision.
func (r *tailReader) beyond(ctx context.Context, order []Copy, seq, revision int64) (s sealedSegment, from string, ok bool) {
	next, _ := slices.BinarySearch(r.known, seq)
	for _, seq := range r.known[next:] { // not one by one: whoever puts anything there chooses how far it is
		for _, c := range order {
			if !r.listed[c.Name][seq] || ctx.Err() != nil {
				continue
			}
			if s, err := r.fetch(ctx, c, seq); err == nil && s.From >= revision {
				return s, c.Name, true
			}
		}
	}
	return s, "", false
}

// tailAhead is how many segments are fetched at a time, tailAtOnce how many of them at once.
const (
	tailAhead  = 64
	tailAtOnce = 8
)

// ahead fetches the next segments, each from the first copy that lists it.
func (r *tailReader) ahead(ctx context.Context, order []Copy, seq int64) {
	slots := make(chan struct{}, tailAtOnce)
	var wg sync.WaitGroup
	for n := seq; n < seq+tailAhead && n <= r.last; n++ {
		i := slices.IndexFunc(order, func(c Copy) bool { return r.listed[c.Name][n] })
		if i < 0 {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			r.fetch(ctx, order[i], n)
			<-slots
		})
	}
	wg.Wait()
}

var (
	errLacking  = errors.New("is whole at no location")
	errStranger = errors.New("is another writer's")
)

// next returns the segment at the position that continues what comes before it.
func (r *tailReader) next(ctx context.Context, order []Copy, seq int64, at Position, revision int64) (s sealedSegment, from string, err error) {
	err = errLacking
	for _, c := range order {
		if !r.listed[c.Name][seq] {
			continue
		}
		s, fetchErr := r.fetch(ctx, c, seq)
		if fetchErr != nil {
			continue
		}
		if s.Previous == at.SHA256 && s.From == revision {
			return s, c.Name, nil
		}
		err = errStranger
	}
	return s, "", fmt.Errorf("segment %d of the log %w", seq, err)
}

// fetch reads and verifies the copy's segment, once.
func (r *tailReader) fetch(ctx context.Context, c Copy, seq int64) (sealedSegment, error) {
	key := tailKey{c.Name, seq}
	r.mu.Lock()
	known, ok := r.read[key]
	silent := r.silent[c.Name]
	r.mu.Unlock()
	if ok || silent != nil {
		return known.segment, cmp.Or(known.err, silent)
	}
	object := lineageRoot(r.found.Lineage) + segmentName(seq)
	a := onOne(ctx, c, patience, func(ctx context.Context, c Copy) (sealedSegment, error) {
		return getSegment(ctx, c.Location, r.found.Lineage, seq, signedBy(r.trusted))
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read[key] = tailRead{a.value, a.err}
	if errors.Is(a.err, errSilent) {
		r.silent[c.Name] = a.err
	}
	if a.err != nil && ctx.Err() == nil {
		r.problems = append(r.problems, newProblem(c, object, a.err))
	}
	return a.value, a.err
}

// vote asks each copy for the newest segment that it has whole, as far as the branch goes, and returns who is on the branch
// (ours) and who is on another one (foreign). A copy that is further behind says nothing.
func (r *tailReader) vote(ctx context.Context, b *branch) map[string]vote {
	votes := map[string]vote{}
	b.support, b.strayed = 0, map[string]int64{}
	for _, c := range r.copies {
		for i := range slices.Backward(b.segments) {
			seq := b.segments[i].Seq
			if !r.listed[c.Name][seq] {
				continue
			}
			s, err := r.fetch(ctx, c, seq)
			if err != nil {
				continue
			}
			votes[c.Name] = ours
			if b.support++; s.SHA256 != b.segments[i].SHA256 {
				b.support--
				votes[c.Name], b.strayed[c.Name] = foreign, seq
			}
			break
		}
	}
	return votes
}
