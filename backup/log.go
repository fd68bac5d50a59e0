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

// readLog returns the segments after the position need up to the one at upTo, in order, and those before them down to want
// as far as they are to be had. Each comes from local, which may be nil, or else from whichever copy has it; upTo pins
// them all. from names the copy that each came from; of local it is empty.
func readLog(ctx context.Context, copies []Copy, lineage string, want, need int64, upTo Position, local func(seq int64) (sealedSegment, bool)) (segments []sealedSegment, from []string, err error) {
	want = min(want, need)
	n := int(upTo.Seq - want)
	if n <= 0 {
		return nil, nil, nil
	}
	guesses := make([]sealedSegment, n)
	from = make([]string, n)
	const atOnce = 8
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i := range n {
		seq := want + 1 + int64(i)
		if s, ok := localSegment(local, seq); ok {
			guesses[i] = s
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			guesses[i], from[i], _ = fetchSegment(ctx, copies, lineage, seq, "")
		})
	}
	wg.Wait()
	pinned := upTo.SHA256
	for i := n - 1; i >= 0; i-- {
		seq := want + 1 + int64(i)
		if guesses[i].SHA256 != pinned {
			if guesses[i], from[i], err = fetchSegment(ctx, copies, lineage, seq, pinned); err != nil && seq > need {
				return nil, nil, err
			}
			if err != nil {
				return guesses[i+1:], from[i+1:], nil
			}
		}
		pinned = guesses[i].Previous
	}
	return guesses, from, nil
}

func localSegment(local func(int64) (sealedSegment, bool), seq int64) (sealedSegment, bool) {
	if local == nil {
		return sealedSegment{}, false
	}
	return local(seq)
}

// fetchSegment returns the segment from the first copy that has it whole. sum is the SHA-256 of its seg.json, which the
// one after it, or a point, pins; empty takes any, for the caller to check.
func fetchSegment(ctx context.Context, copies []Copy, lineage string, seq int64, sum string) (sealedSegment, string, error) {
	var errs []error
	for _, c := range copies {
		a := onOne(ctx, c, patience, func(ctx context.Context, c Copy) (sealedSegment, error) {
			object, err := readObject(ctx, c.Location, lineageRoot(lineage)+segmentName(seq), maxSegment)
			if errors.Is(err, ErrNotExist) {
				return sealedSegment{}, fmt.Errorf("%w: %w", ErrIntegrity, err)
			}
			if err != nil {
				return sealedSegment{}, err
			}
			s, _, err := parseSegment(object, lineage, seq)
			if err == nil && sum != "" && s.SHA256 != sum {
				err = errors.New("it is not the one that was signed")
			}
			if err != nil {
				err = fmt.Errorf("%w: %w", ErrIntegrity, err)
			}
			return s, err
		})
		if a.err == nil {
			return a.value, c.Name, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", c.Name, a.err))
	}
	errs = append(errs, fmt.Errorf("no location has segment %d of the log", seq))
	return sealedSegment{}, "", errors.Join(errs...)
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
		object, err := readObject(ctx, c.Location, o.Name, maxSegment)
		if err != nil {
			return sealedSegment{}, err
		}
		if s, err := readSegment(object, lineage, seq, trusted); err == nil {
			return s, nil
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
