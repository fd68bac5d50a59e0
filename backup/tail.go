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

// TailBound says how far a log is to be read, and how. The zero value is to its end, or to the first gap.
type TailBound struct {
	Time       time.Time // no segment that is later; zero: no bound
	Before     int64     // no change of this revision, or of a later one; 0: no bound
	AcrossGaps bool      // go on behind changes that are not known
}

// Tail is what the log tells after a point, up to its bound.
type Tail struct {
	Revision int64     // where it ends; that of the point if it is empty
	Time     time.Time // UTC: whatever was acknowledged by then is in the point or in here
	Segments int
	Changes  int
	Stop     string    // why it ends before its bound; empty: it does not
	Gaps     []TailGap // that were crossed
	Problems []Problem // of copies: what they lack, hold damaged, or hold of another writer
	Strayed  []string  // names of the copies that hold another writer's

	start    Point
	before   int64
	segments []sealedSegment
	from     []string // names of the copies that each came from
}

// TailGap is a part of a log whose changes are not known.
type TailGap struct {
	After int64     `json:"after_revision"`
	To    int64     `json:"to_revision"`
	From  time.Time `json:"from"` // UTC: what was acknowledged by then is known
	Until time.Time `json:"until"`
	Why   string    `json:"why"`
}

// String names the gap.
func (g TailGap) String() string {
	return fmt.Sprintf("the changes after revision %d up to %d, of %s to %s, are not known: %s",
		g.After, g.To, g.From.UTC().Format(time.RFC3339), g.Until.UTC().Format(time.RFC3339), g.Why)
}

// ReadTail returns the segments after the point that verify, each from whichever copy has it whole. A segment that is
// damaged, or not signed by a trusted signer, does not exist. Where copies continue the log differently, because there were
// two writers, that counts which most of them have.
func ReadTail(ctx context.Context, found Found, copies []Copy, trusted sshsig.Trusted, bound TailBound) (*Tail, error) {
	r := tailReader{found: found, trusted: trusted, bound: bound, read: map[tailKey]tailRead{}, silent: map[string]bool{}}
	if err := r.list(ctx, likeliest(found, Attentive(copies))); err != nil {
		return nil, fmt.Errorf("read log after %s: %w", found.Name, err)
	}
	best := r.walk(ctx, r.copies)
	tried := r.vote(ctx, &best)
	for i := 0; i < len(r.copies); i++ { // each that is on another branch may lead to a better one
		c := r.copies[i]
		if tried[c.Name] != foreign {
			continue
		}
		other := r.walk(ctx, slices.Concat(r.copies[i:i+1], r.copies[:i], r.copies[i+1:]))
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
	r.mu.Lock()
	defer r.mu.Unlock()
	t := &Tail{Stop: b.stop, Gaps: b.gaps, start: r.found.Point, before: r.bound.Before, segments: b.segments, from: b.from, Problems: r.problems}
	t.Strayed = slices.Sorted(maps.Keys(b.strayed))
	for _, name := range t.Strayed {
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
		if t.Changes += s.Count; t.before > 0 && s.To >= t.before {
			t.Revision = t.before - 1 // of its time no more is known than that of the segment before it
			break
		}
		t.Revision, t.Time = s.To, s.Time
	}
}

// EndsAt reports whether the tail ends where the point stands: then it leads to what the point holds.
func (t *Tail) EndsAt(point Found) bool {
	n := len(t.segments)
	return n > 0 && point.Lineage == t.start.Lineage && t.segments[n-1].position() == point.Log && t.Revision == point.Revision
}
