package backup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"gwdr/internal/sshsig"
)

// Tail is what the log tells after a point, as far as it leads without a gap.
type Tail struct {
	Revision int64     // where it ends; that of the point if it is empty
	Time     time.Time // UTC: whatever was acknowledged by then is in the point or in here
	Segments int
	Changes  int
	Stop     string    // why it ends before the log does; empty: it is all there is
	Problems []Problem // of copies: what they lack, hold damaged, or hold of another writer

	start    Point
	segments []sealedSegment
	from     []string // names of the copies that each came from
}

// ReadTail returns the segments after the point that verify, each from whichever copy has it whole. A segment that is
// damaged, or not signed by a trusted signer, does not exist. Where copies continue the log differently, because there were
// two writers, that counts which most of them have.
func ReadTail(ctx context.Context, found Found, copies []Copy, trusted sshsig.Trusted) (*Tail, error) {
	r := tailReader{found: found, trusted: trusted, read: map[tailKey]tailRead{}, silent: map[string]error{}}
	if err := r.list(ctx, likeliest(found, copies)); err != nil {
		return nil, fmt.Errorf("read log after %s: %w", found.Name, err)
	}
	best := r.walk(ctx, r.copies)
	tried := r.vote(ctx, &best)
	for i := 0; i < len(r.copies); i++ { // each that is on another branch may lead to a better one
		c := r.copies[i]
		if tried[c.Name] != foreign {
			continue
		}
		other := r.walk(ctx, append([]Copy{c}, r.copies...))
		votes := r.vote(ctx, &other)
		for name, v := range votes {
			if v == ours {
				tried[name] = ours
			}
		}
		if other.support > best.support || other.support == best.support && len(other.segments) > len(best.segments) {
			best = other
		}
	}
	r.vote(ctx, &best)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read log after %s: %w", found.Name, err)
	}
	return r.tail(best), nil
}

// tail is what is told of the branch.
func (r *tailReader) tail(b branch) *Tail {
	t := &Tail{Stop: b.stop, start: r.found.Point, segments: b.segments, from: b.from, Problems: r.problems}
	for _, name := range slices.Sorted(maps.Keys(b.strayed)) {
		t.Problems = append(t.Problems, newProblem(Copy{Name: name}, lineageRoot(r.found.Lineage)+segmentName(b.strayed[name]),
			errors.New("another writer continued the log here: passed over")))
	}
	t.sum()
	return t
}

// sum fills in where the segments lead.
func (t *Tail) sum() {
	t.Revision, t.Time, t.Segments, t.Changes = t.start.Revision, t.start.Time, len(t.segments), 0
	for _, s := range t.segments {
		t.Revision, t.Time, t.Changes = s.To, s.Time, t.Changes+s.Count
	}
}
