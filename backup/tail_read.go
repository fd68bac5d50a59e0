package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

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
	silent map[string]bool // copies that did not answer, by name: that is a problem once
}

type tailKey struct {
	copy string
	seq  int64
}

type tailRead struct {
	segment sealedSegment
	err     error
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

// tailAhead is how many segments are fetched at a time, tailAtOnce how many of them at once.
const (
	tailAhead  = 64
	tailAtOnce = 8
)

// ahead fetches the next segments, each from the first copy that lists it and gives it.
func (r *tailReader) ahead(ctx context.Context, order []Copy, seq int64) {
	slots := make(chan struct{}, tailAtOnce)
	var wg sync.WaitGroup
	for n := seq; n < seq+tailAhead && n <= r.last; n++ {
		slots <- struct{}{}
		wg.Go(func() {
			r.first(ctx, order, n, func(sealedSegment) bool { return true })
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
	s, from, err = r.first(ctx, order, seq, func(s sealedSegment) bool { return s.Previous == at.SHA256 && s.From == revision })
	if err != nil {
		err = fmt.Errorf("segment %d of the log %w", seq, err)
	}
	return s, from, err
}

// first returns the segment at the position that fits, from the first copy that has it. The error is errLacking, or
// errStranger if there is one that does not fit.
func (r *tailReader) first(ctx context.Context, order []Copy, seq int64, fits func(sealedSegment) bool) (s sealedSegment, from string, err error) {
	err = errLacking
	take := func(a answer[sealedSegment]) bool {
		switch {
		case a.err != nil:
			return false
		case !fits(a.value):
			err = errStranger
			return false
		}
		s, from, err = a.value, a.copy.Name, nil
		return true
	}
	var unread []Copy
	for _, c := range order {
		switch known, ok := r.seen(c, seq); {
		case !r.listed[c.Name][seq]:
		case !ok || len(unread) > 0:
			unread = append(unread, c)
		case take(answer[sealedSegment]{copy: c, value: known.segment, err: known.err}):
			return s, from, nil
		}
	}
	inTurn(ctx, unread, patience, r.get(seq), func(a answer[sealedSegment]) bool { return take(r.keep(ctx, a, seq)) })
	return s, from, err
}

// seen returns what the copy gave at the position, if it was asked.
func (r *tailReader) seen(c Copy, seq int64) (tailRead, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, ok := r.read[tailKey{c.Name, seq}]
	return known, ok
}

// fetch reads and verifies the copy's segment, once.
func (r *tailReader) fetch(ctx context.Context, c Copy, seq int64) (sealedSegment, error) {
	known, ok := r.seen(c, seq)
	if !ok {
		a := r.keep(ctx, onOne(ctx, c, patience, r.get(seq)), seq)
		return a.value, a.err
	}
	return known.segment, known.err
}

// get returns what reads and verifies a copy's segment, if that was not done before.
func (r *tailReader) get(seq int64) func(context.Context, Copy) (sealedSegment, error) {
	return func(ctx context.Context, c Copy) (sealedSegment, error) {
		if known, ok := r.seen(c, seq); ok {
			return known.segment, known.err
		}
		return getSegment(ctx, c.Location, r.found.Lineage, seq, signedBy(r.trusted))
	}
}

// keep remembers what the copy gave, and what is wrong with that: of a silent copy once, and of what nobody waits for any more
// nothing.
func (r *tailReader) keep(ctx context.Context, a answer[sealedSegment], seq int64) answer[sealedSegment] {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := tailKey{a.copy.Name, seq}
	if _, known := r.read[key]; known || ctx.Err() != nil {
		return a
	}
	r.read[key] = tailRead{a.value, a.err}
	mute := errors.Is(a.err, ErrSilent)
	if a.err != nil && !(mute && r.silent[a.copy.Name]) {
		r.problems = append(r.problems, newProblem(a.copy, lineageRoot(r.found.Lineage)+segmentName(seq), a.err))
	}
	r.silent[a.copy.Name] = r.silent[a.copy.Name] || mute
	return a
}

// vote asks each copy for the newest segment that it has whole, as far as the branch goes, and returns who is on the branch
// (ours) and who is on another one (foreign). A copy that is further behind says nothing.
func (r *tailReader) vote(ctx context.Context, b *branch) map[string]vote {
	var mu sync.Mutex
	strayed := map[string]int64{}
	votes := poll(ctx, r.copies, func(ctx context.Context, c Copy) vote {
		for i := range slices.Backward(b.segments) {
			seq := b.segments[i].Seq
			if !r.listed[c.Name][seq] {
				continue
			}
			s, err := r.fetch(ctx, c, seq)
			if err != nil {
				continue
			}
			if s.SHA256 == b.segments[i].SHA256 {
				return ours
			}
			mu.Lock()
			defer mu.Unlock()
			strayed[c.Name] = seq
			return foreign
		}
		return silent
	})
	mu.Lock()
	defer mu.Unlock()
	b.support, b.strayed = 0, map[string]int64{}
	for name, v := range votes {
		switch v {
		case ours:
			b.support++
		case foreign:
			b.strayed[name] = strayed[name]
		}
	}
	return votes
}
