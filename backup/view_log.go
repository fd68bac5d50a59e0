package backup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gwdr/internal/sshsig"
)

// errForked is the problem of a log that does not go on from the point, or the segment, before.
var errForked = errors.New("it does not go on from what is before it")

// stretch is a part of a log that some copies have alike: it is read once.
type stretch struct {
	lineage  string
	from, to Position
}

// readTails reads the log after the newest point of each copy. Copies whose log ends with the same segment have the same
// log, as each segment pins the one before: one of them tells, and the others are held against their listings.
func readTails(ctx context.Context, views []*view, trusted sshsig.Trusted, within time.Duration) {
	alike := map[stretch][]*view{}
	for _, v := range views {
		if v.tail == nil {
			continue
		}
		s := stretch{v.whole.Lineage, v.whole.Log, v.tail.position()}
		alike[s] = append(alike[s], v)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, within, ErrSilent)
	defer cancel()
	var wg sync.WaitGroup
	for s, views := range alike {
		wg.Go(func() {
			segments, err := s.read(ctx, views, trusted)
			for _, v := range views {
				v.takeLog(segments, err)
			}
		})
	}
	wg.Wait()
}

// stretched is a segment of a stretch, or why no copy has it.
type stretched struct {
	sealedSegment
	size int64
	err  error
}

// read returns the segments, up to the first that no copy has whole: err says why.
func (s stretch) read(ctx context.Context, views []*view, trusted sshsig.Trusted) (segments []stretched, err error) {
	segments = make([]stretched, s.to.Seq-s.from.Seq)
	const atOnce = 8
	slots := make(chan struct{}, atOnce)
	var wg sync.WaitGroup
	for i := range segments {
		slots <- struct{}{}
		wg.Go(func() {
			segments[i] = s.fetch(ctx, views, s.from.Seq+1+int64(i), trusted)
			<-slots
		})
	}
	wg.Wait()
	last := s.from.SHA256
	for i, segment := range segments {
		if segment.err == nil && segment.Previous != last {
			segment.err = fmt.Errorf("%w: %w", ErrIntegrity, errForked)
		}
		if segment.err != nil {
			return segments[:i], fmt.Errorf("read segment %d of the log: %w", s.from.Seq+1+int64(i), segment.err)
		}
		last = segment.SHA256
	}
	return segments, nil
}

// fetch reads one segment from the first of the copies that has it whole.
func (s stretch) fetch(ctx context.Context, views []*view, seq int64, trusted sshsig.Trusted) stretched {
	var errs []error
	for _, v := range views {
		a := onOne(ctx, v.copy, patience, func(ctx context.Context, c Copy) (stretched, error) {
			segment, err := getSegment(ctx, c.Location, s.lineage, seq, signedBy(trusted))
			size := int64(len(segment.object))
			segment.object = nil
			return stretched{sealedSegment: segment, size: size}, err
		})
		if a.err == nil {
			return a.value
		}
		errs = append(errs, fmt.Errorf("%s: %w", v.copy.Name, a.err))
	}
	return stretched{err: errors.Join(errs...)}
}

// takeLog takes the segments as far as they lead anywhere: after a gap only a point does. err is why there are no more.
func (v *view) takeLog(segments []stretched, err error) {
	for _, s := range segments {
		if s.Gap {
			v.notes = append(v.notes, fmt.Sprintf("the log after the newest point has a gap at segment %d: the next point closes it", s.Seq))
			return
		}
		if v.objects[s.Object()] != s.size {
			v.problem(s.Object(), fmt.Errorf("%w: it has %d bytes here, not %d", ErrIntegrity, v.objects[s.Object()], s.size))
			return
		}
		v.log = append(v.log, s.Segment)
	}
	if err != nil {
		v.problem("", err)
	}
}
