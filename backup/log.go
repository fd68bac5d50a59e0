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

// logAhead is how many segments are guessed at a time, logAtOnce how many of them at once, and smallSegment the size of an
// object that is guessed whole: of a larger one the beginning is, until that is known to be the one that was signed.
const (
	logAhead     = 64
	logAtOnce    = 8
	smallSegment = 64 << 10
)

// logReader reads a log backwards, as each segment pins the one before.
type logReader struct {
	copies   []Copy
	lineage  string
	want     int64                                 // the position before the first segment
	local    func(seq int64) (sealedSegment, bool) // may be nil
	segments []sealedSegment
	from     []string
}

// readLog returns the segments after the position need up to the one at upTo, in order, and those before them down to want
// as far as they are to be had. Each comes from local, which may be nil, or else from whichever copy has it; upTo pins
// them all. from names the copy that each came from; of local it is empty.
func readLog(ctx context.Context, copies []Copy, lineage string, want, need int64, upTo Position, local func(seq int64) (sealedSegment, bool)) (segments []sealedSegment, from []string, err error) {
	want = min(want, need)
	n := int(upTo.Seq - want)
	if n <= 0 {
		return nil, nil, nil
	}
	r := logReader{copies: Attentive(copies), lineage: lineage, want: want, local: local, segments: make([]sealedSegment, n), from: make([]string, n)}
	for end, pinned := n, upTo.SHA256; end > 0; {
		begin, err := r.window(ctx, max(0, end-logAhead), end, pinned)
		if err != nil && r.seq(begin-1) > need {
			return nil, nil, err
		}
		if err != nil {
			return r.segments[begin:], r.from[begin:], nil
		}
		end, pinned = begin, r.segments[begin].Previous
	}
	return r.segments, r.from, nil
}

// seq is the position of a segment.
func (r *logReader) seq(i int) int64 { return r.want + 1 + int64(i) }

// window reads the segments before end, of which the last is pinned, down to begin. After an error the segments from low on
// are there.
func (r *logReader) window(ctx context.Context, begin, end int, pinned string) (low int, err error) {
	r.each(begin, end, func(i int) {
		if s, ok := r.here(r.seq(i)); ok {
			r.segments[i] = s
			return
		}
		r.segments[i], r.from[i], _ = fetchSegment(ctx, r.copies, r.lineage, r.seq(i), func(s sealedSegment, signed signedContent) error {
			if s.objectSize(signed) > smallSegment {
				return errEnough
			}
			return nil
		})
	})
	sums := make([]string, end-begin)
	for low = end; low > begin; low-- {
		i := low - 1
		if r.segments[i].SHA256 != pinned {
			if r.segments[i], r.from[i], err = fetchSegment(ctx, r.copies, r.lineage, r.seq(i), pinnedBy(pinned)); err != nil {
				break
			}
		}
		sums[i-begin], pinned = pinned, r.segments[i].Previous
	}
	errs := make([]error, end-begin)
	r.each(low, end, func(i int) {
		if r.segments[i].object == nil { // its beginning was enough
			r.segments[i], r.from[i], errs[i-begin] = fetchSegment(ctx, r.copies, r.lineage, r.seq(i), pinnedBy(sums[i-begin]))
		}
	})
	for i := end - 1; i >= low; i-- {
		if errs[i-begin] != nil {
			return i + 1, errs[i-begin]
		}
	}
	return low, err
}

func (r *logReader) here(seq int64) (sealedSegment, bool) {
	if r.local == nil {
		return sealedSegment{}, false
	}
	return r.local(seq)
}

// each does something for each segment of a part, some at once.
func (r *logReader) each(begin, end int, do func(i int)) {
	slots := make(chan struct{}, logAtOnce)
	var wg sync.WaitGroup
	for i := begin; i < end; i++ {
		slots <- struct{}{}
		wg.Go(func() {
			do(i)
			<-slots
		})
	}
	wg.Wait()
}

// fetchSegment returns the segment that check takes from the first copy that has it whole.
func fetchSegment(ctx context.Context, copies []Copy, lineage string, seq int64, check segmentCheck) (sealedSegment, string, error) {
	var good answer[sealedSegment]
	var errs []error
	inTurn(ctx, copies, patience, func(ctx context.Context, c Copy) (sealedSegment, error) {
		s, err := getSegment(ctx, c.Location, lineage, seq, check)
		if errors.Is(err, ErrNotExist) {
			err = fmt.Errorf("%w: %w", ErrIntegrity, err)
		}
		return s, err
	}, func(a answer[sealedSegment]) bool {
		if a.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", a.copy.Name, a.err))
			return false
		}
		good = a
		return true
	})
	if good.value.Seq == 0 {
		errs = append(errs, fmt.Errorf("no location has segment %d of the log", seq))
		return sealedSegment{}, "", errors.Join(errs...)
	}
	return good.value, good.copy.Name, nil
}

// tip is the last segment of one copy's log.
type tip struct {
	sealedSegment
	forks *Forks   // of the copies that answered
	with  []string // names of the copies that are on its branch
}

// newestSegment returns the last segment of the lineage's log at the copies: where writers have continued it differently, that
// of the branch that most of them have, however long another one is.
func newestSegment(ctx context.Context, copies []Copy, lineage string, trusted sshsig.Trusted, patience time.Duration) (tip, error) {
	var tips []tip
	var answered []Copy
	var errs []error
	for _, a := range onEach(ctx, copies, patience, func(ctx context.Context, c Copy) (sealedSegment, error) {
		return lastSegment(ctx, c, lineage, trusted)
	}) {
		if a.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", a.copy.Name, a.err))
			continue
		}
		answered = append(answered, a.copy)
		if !slices.ContainsFunc(tips, func(t tip) bool { return t.SHA256 == a.value.SHA256 }) {
			tips = append(tips, tip{sealedSegment: a.value})
		}
	}
	if len(tips) == 0 {
		return tip{}, errors.Join(errs...)
	}
	forks := NewForks(answered, trusted)
	for i := range tips {
		tips[i].forks = forks
		tips[i].with, _ = forks.judge(ctx, Found{Point: Point{Lineage: lineage, Log: tips[i].position()}})
	}
	return slices.MaxFunc(tips, func(a, b tip) int {
		return cmp.Or(cmp.Compare(len(a.with), len(b.with)), cmp.Compare(a.Seq, b.Seq))
	}), nil
}

// lastSegment returns the last segment of the copy's log that verifies.
func lastSegment(ctx context.Context, c Copy, lineage string, trusted sshsig.Trusted) (sealedSegment, error) {
	objects, err := c.Location.List(ctx, lineageRoot(lineage)+logDir)
	if err != nil {
		return sealedSegment{}, err
	}
	for _, o := range slices.Backward(objects) {
		seq, ok := parseSegmentName(strings.TrimPrefix(o.Name, lineageRoot(lineage)))
		if !ok {
			continue
		}
		s, err := getSegment(ctx, c.Location, lineage, seq, signedBy(trusted))
		if !errors.Is(err, ErrIntegrity) {
			return s, err
		}
	}
	return sealedSegment{}, fmt.Errorf("%w: no segment of the log", ErrNotExist)
}

// hasBelow reports whether the point stands on the tip's branch.
func (t tip) hasBelow(ctx context.Context, point Found) bool {
	if point.Log.Seq >= t.Seq {
		return point.Log == t.position()
	}
	with, _ := t.forks.judge(ctx, point)
	return slices.ContainsFunc(t.with, func(name string) bool { return slices.Contains(with, name) })
}
